# SPDX-License-Identifier: Apache-2.0
"""The custodian's side of enrolment: which of those who enrolled are its patients."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consentum.crypto import typed
from consentum.crypto.typed import Domain
from consentum.domain.invites import CODE_BYTES, Invite, patient_ref, proof_of, ticket_of
from consentum.domain.parsing import hexed
from consentum.errors import ConflictError, MalformedError
from consentum.flow.wire import Enrolment
from consentum.ports.chain import Claim, Ledger, Roles
from consentum.ports.custody import CustodyBook, Invited
from consentum.ports.enrolments import SignedEnrol

MAX_NUMBER_CHARACTERS = 64
_CONFLICTS = {"number": "TWO_PATIENTS_ONE_NUMBER", "subject": "ONE_PATIENT_TWO_NUMBERS", "invite": "INVITE_USED"}


def number_of(text: str) -> str:
    """A hospital number as it is kept. MalformedError if it is empty, long or has control characters."""
    number = text.strip()
    if not 0 < len(number) <= MAX_NUMBER_CHARACTERS or not number.isprintable():
        raise MalformedError(f"a number has 1 to {MAX_NUMBER_CHARACTERS} printable characters", field="number")
    return number


def invite(book: CustodyBook, number: str, custodian: str, gateway: str, expires: int) -> Invite:
    """A fresh one-time code for a number, written down before it is shown. ConflictError if it has a patient."""
    made = Invite(secrets.token_bytes(CODE_BYTES), custodian.lower(), gateway, expires)
    book.add_invite(number_of(number), made)
    return made


def tickets(invites: Iterable[Invite]) -> list[dict[str, Any]]:
    """What the gateway is left of invites: enough to know who has a code, not enough to make one."""
    return [{"ticket": hexed(ticket_of(proof_of(one.code), one.custodian)), "expires": one.expires} for one in invites]


def open_invites(book: CustodyBook, now: int) -> list[Invite]:
    return [one.invite for one in book.invites() if standing_of(one, now) == "open"]


@dataclass(frozen=True, slots=True)
class Turned:
    """An enrolment that was not taken in, and why."""

    number: str
    subject: str
    code: str


@dataclass(frozen=True, slots=True)
class TakenIn:
    """linked: how many new patients; turned: enrolments under our codes that were refused; strangers: under no code."""

    linked: int
    turned: tuple[Turned, ...]
    strangers: int


def take_in(
    ledger: Ledger, domain: Domain, book: CustodyBook, custodian: str, enrolments: Sequence[SignedEnrol]
) -> TakenIn:
    """Matches enrolments to invites by patientRef, verifies their signatures on chain, and links number and subject.

    A code that two subjects used is nobody's: neither is linked. What is refused leaves nothing in the book.
    """
    known = {typed.struct_hash(patient.enrolment.enrol) for patient in book.patients()}
    new = [e for e in enrolments if typed.struct_hash(e.enrol) not in known and e.enrol.custodian.lower() == custodian]
    invites = book.invites()
    matched = {place: found for place, e in enumerate(new) if (found := _match(invites, e)) is not None}
    view = ledger.view()
    users: dict[bytes, set[str]] = {}
    for place, invited in matched.items():
        users.setdefault(invited.invite.code, set()).add(new[place].enrol.subject.lower())
    claims = [Claim(e.enrol.subject, Roles.CONSENT, typed.digest(domain, e.enrol), e.signature) for e in new]
    signed = ledger.signed_by(view.latest, claims) if claims else []
    linked, turned = 0, []
    for place, invited in matched.items():
        alone = len(users[invited.invite.code]) == 1
        taken = any(patient.number == invited.number for patient in book.patients())
        code = _refusal(invited, signed[place], alone, taken, view.latest.timestamp)
        code = code or _link(book, invited, new[place])
        if code:
            turned.append(Turned(invited.number, new[place].enrol.subject.lower(), code))
        else:
            linked += 1
    return TakenIn(linked, tuple(turned), len(new) - len(matched))


def _match(invites: Iterable[Invited], enrolment: SignedEnrol) -> Invited | None:
    enrol = enrolment.enrol
    for one in invites:
        if patient_ref(one.invite.code, enrol.custodian, enrol.subject) == enrol.patientRef:
            return one
    return None


def _refusal(invited: Invited, signed: bool, alone: bool, taken: bool, now: int) -> str:
    """The code of what is wrong, or "". alone: nobody else used the code; taken: its number has a patient."""
    if not signed:
        return "SIGNATURE"
    if invited.state == "replaced" and taken:
        return "TWO_PATIENTS_ONE_NUMBER"
    if invited.state != "open" or not alone:
        return "INVITE_USED"
    return "INVITE_EXPIRED" if invited.invite.expires <= now else ""


def _link(book: CustodyBook, invited: Invited, enrolment: SignedEnrol) -> str:
    try:
        # Whether the gateway knows is noted when we told it ourselves.
        book.link(invited.invite.code, replace(enrolment, recognised=False))
    except ConflictError as error:
        return _CONFLICTS[error.field or "invite"]
    return ""


def standing_of(invited: Invited, now: int) -> str:
    """open, accepted, expired or replaced, in the word a custodian is shown."""
    if invited.state == "open" and invited.invite.expires <= now:
        return "expired"
    return {"used": "accepted"}.get(invited.state, invited.state)


def enrolments_by_number(book: CustodyBook) -> Mapping[str, Enrolment]:
    """What goes with a deposit, by hospital number."""
    return {p.number: Enrolment(p.enrolment.enrol, p.enrolment.signature) for p in book.patients()}
