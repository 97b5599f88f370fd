# SPDX-License-Identifier: Apache-2.0
"""The patient's side: terms in, a signed message out. Nothing here is sent."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.invites import Invite, patient_ref
from consentum.domain.messages import Consent, Enrol, Message, Revoke
from consentum.domain.terms import Access, Category, Condition, Purpose, expand, words_of
from consentum.errors import MalformedError

MAX_CLOCK_DISTANCE_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What a patient chooses. scope: a study id, a board id, or an address in 32 bytes; form: the hash of the text she
    read; times in UTC seconds."""

    scope: bytes
    form: bytes
    purposes: Purpose
    categories: Category
    access: Access
    expires: int
    not_before: int = 0
    conditions: Condition | None = None
    disease: bytes = bytes(32)
    epsilon_milli: int = 0


@dataclass(frozen=True, slots=True)
class Signed:
    """A message and its signature."""

    message: Message
    signature: bytes

    @property
    def hash(self) -> bytes:
        return typed.struct_hash(self.message)


def consent(choice: Choice, policy: str, subject: str, chain_time: int, own_time: int) -> Consent:
    """The Consent to sign: purposes expanded through DUO's hierarchy, dated by the chain's clock, freshly salted.

    MalformedError if that clock is minutes away from our own: a consent dated wrongly may never count.
    """
    if abs(chain_time - own_time) > MAX_CLOCK_DISTANCE_SECONDS:
        raise MalformedError("the chain's clock is minutes away from this one", field="signedAt")
    return Consent(
        subject=subject,
        policy=policy,
        scope=choice.scope,
        form=choice.form,
        purposes=int(expand(choice.purposes)),
        conditions=int(choice.conditions or 0),
        disease=choice.disease,
        categories=int(choice.categories),
        signedAt=chain_time,
        notBefore=choice.not_before,
        expires=choice.expires,
        access=int(choice.access),
        epsilonMilli=choice.epsilon_milli,
        salt=secrets.token_bytes(32),
    )


def sign(domain: Domain, message: Message, signer: Signer) -> Signed:
    """The message with its signature under a domain."""
    return Signed(message, signer.sign(typed.digest(domain, message)))


def enrol(domain: Domain, signer: Signer, custodian: str) -> Signed:
    """The subject's word that this custodian may deposit records about her."""
    return sign(domain, Enrol(signer.address.lower(), custodian.lower(), secrets.token_bytes(32)), signer)


def revoke(domain: Domain, signer: Signer, subject: str, commitment: bytes) -> Signed:
    """Ends one consent; valid whether or not its grant has arrived."""
    return sign(domain, Revoke(subject.lower(), commitment), signer)


def accept(domain: Domain, signer: Signer, subject: str, invite: Invite) -> Signed:
    """The subject's word under an invite: only who holds its code can have made the reference."""
    reference = patient_ref(invite.code, invite.custodian, subject)
    return sign(domain, Enrol(subject.lower(), invite.custodian, reference), signer)


_ACCESS = {
    Access.AGGREGATE: "count and average them, with others'; no record is opened to anybody",
    Access.COMPUTE: "compute on them inside an accredited runner; nobody reads them",
    Access.DOWNLOAD: "download and read them",
}


def in_words(consent: Consent) -> list[str]:
    """What a consent says, one line for each term."""
    conditions = words_of(Condition(consent.conditions))
    begins = f"from {_day(consent.notBefore)} " if consent.notBefore else ""
    return [
        "for: " + ", ".join(words_of(Purpose(consent.purposes))),
        "records: " + ", ".join(words_of(Category(consent.categories))),
        "they may: " + _ACCESS[Access(consent.access)],
        f"valid: {begins}until {_day(consent.expires)}",
        *(["only if: " + ", ".join(conditions)] if conditions else []),
    ]


def _day(seconds: int) -> str:
    return time.strftime("%d %B %Y, %H:%M UTC", time.gmtime(seconds))
