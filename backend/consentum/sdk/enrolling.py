# SPDX-License-Identifier: Apache-2.0
"""Accepting a custodian's invite: the patient signs that it may deposit records about her."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from consentum.crypto import typed
from consentum.domain.invites import Invite, parse_invite, proof_of
from consentum.domain.messages import Enrol
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError, InviteError, NotFoundError, RefusedError, UnavailableError
from consentum.flow.client import terms
from consentum.flow.wire import Enrolment
from consentum.ports.home import Kept
from consentum.wiring.patient import PatientHome

KIND = "enrolment"


@dataclass(frozen=True, slots=True)
class Accepted:
    """enrolment: the Enrol's struct hash; recognised: whether the custodian has said it knows her."""

    enrolment: bytes
    custodian: str
    recognised: bool


def check(home: PatientHome, text: str) -> Invite:
    """The invite behind a text, if this home can accept it. InviteError: INVITE_MISTYPED, INVITE_FOREIGN (another
    gateway's), INVITE_EXPIRED, INVITE_USED (here, already)."""
    invite = parse_invite(text)
    if invite.gateway.rstrip("/") != home.connection.settings.gateway.rstrip("/"):
        raise InviteError("INVITE_FOREIGN", f"this invite is for {invite.gateway}, which is not your home's gateway")
    kept = home.book.find(KIND, _identity(invite))
    if kept is not None and kept.arrived:
        raise InviteError("INVITE_USED", "you have accepted this invite already")
    if invite.expires <= home.connection.ledger.view().latest.timestamp:
        raise InviteError("INVITE_EXPIRED", "this invite has expired; ask for a new one")
    return invite


def accept(home: PatientHome, invite: Invite) -> Accepted:
    """Signs and hands in the enrolment. It is kept before it is sent: interrupted, the same command sends it again.
    InviteError(INVITE_FOREIGN) if the gateway does not serve this custodian, INVITE_EXPIRED if it knows no such open
    invite; then nothing is kept."""
    connection = home.connection
    signed = terms.accept(connection.deployment.user_domain, connection.key, connection.identity, invite)
    assert isinstance(signed.message, Enrol)
    body = Enrolment(signed.message, signed.signature).to_json()
    kept = home.book.keep(Kept(KIND, _identity(invite), body))
    try:
        answer = home.client().post("/v1/enrolments", {**kept.body, "proof": hexed(proof_of(invite.code))})
    except (UnavailableError, RefusedError):
        raise
    except NotFoundError as error:
        home.book.drop(KIND, kept.id)
        if error.field == "proof":
            raise InviteError("INVITE_EXPIRED", "your hospital's invite is open no more; ask for a new one") from None
        raise InviteError("INVITE_FOREIGN", "your gateway does not serve this custodian") from None
    except ConsentumError:
        home.book.drop(KIND, kept.id)
        raise
    home.book.arrived(KIND, kept.id)
    return Accepted(signed.hash, invite.custodian, answer.get("recognised") is True)


def enrolments(home: PatientHome) -> list[dict[str, Any]]:
    """What she signed for which custodian, and whether the gateway has it."""
    rows = []
    for kept in home.book.all(KIND):
        enrolment = Enrolment.parse(dict(kept.body))
        hashed = hexed(typed.struct_hash(enrolment.enrol))
        rows.append({**kept.body, "enrolment": hashed, "arrived": kept.arrived})
    return rows


def _identity(invite: Invite) -> bytes:
    """A code's name in the book: not the code, which is nobody else's business."""
    return hashlib.sha256(b"consentum/accepted/1\0" + invite.code).digest()
