# SPDX-License-Identifier: Apache-2.0
"""The messages people and servers sign: one frozen class per struct of contracts/types.json, same names, same order.

Addresses are checksummed or lower-case hex text, bytes32 are 32 bytes, times are UTC seconds. A test compares the
classes with types.json; crypto.typed checks every value when it turns one into words.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class Message:
    """Something that has an EIP-712 struct hash."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Consent(Message):
    """The terms a subject agrees to. Only its struct hash, the commitment, is ever on chain."""

    subject: str
    policy: str
    scope: bytes
    form: bytes
    purposes: int
    conditions: int
    disease: bytes
    categories: int
    signedAt: int  # noqa: N815 - the field names of the signed struct
    notBefore: int  # noqa: N815 - as above
    expires: int
    access: int
    epsilonMilli: int  # noqa: N815 - as above
    salt: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revoke(Message):
    """Ends one consent, or withdraws one enrolment, by its hash."""

    subject: str
    commitment: bytes


@dataclass(frozen=True, slots=True)
class RevokeAll(Message):
    """Ends every consent signed at or before the cutoff."""

    subject: str
    cutoff: int


@dataclass(frozen=True, slots=True)
class Freeze(Message):
    """Stops every release of the subject's records for a while."""

    subject: str
    until: int


@dataclass(frozen=True, slots=True)
class Enrol(Message):
    """The subject lets this custodian deposit records about her."""

    subject: str
    custodian: str
    patientRef: bytes = field(repr=False)  # noqa: N815 - as above


@dataclass(frozen=True, slots=True)
class Deposit(Message):
    """A custodian's word for a batch of records."""

    custodian: str
    committee: bytes
    recordsRoot: bytes  # noqa: N815 - as above
    count: int
    signedAt: int  # noqa: N815 - as above


@dataclass(frozen=True, slots=True)
class Retract(Message):
    """A custodian takes a record of its own back; successor is the id of the record that supersedes it, or zeros."""

    custodian: str
    record: bytes
    successor: bytes
    signedAt: int  # noqa: N815 - as above


@dataclass(frozen=True, slots=True)
class Job(Message):
    """What a requester wants computed, where, and for which purpose."""

    requester: str
    runner: str
    study: bytes
    code: bytes
    purpose: int
    access: int
    epsilonMilli: int  # noqa: N815 - as above
    deadline: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Release(Message):
    """One page of at most 1,000 records that a runner asks one committee for, under a job."""

    job: bytes
    committee: bytes
    recordsRoot: bytes  # noqa: N815 - as above
    count: int
    responseKeyHash: bytes  # noqa: N815 - as above
    deadline: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Login(Message):
    """A sign-in at one origin, for one challenge."""

    who: str
    origin: str
    challenge: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class AddDelegate(Message):
    """DidRegistry: names a delegate of one type for some seconds."""

    identity: str
    delegateType: bytes  # noqa: N815 - as above
    delegate: str
    validity: int
    nonce: int


@dataclass(frozen=True, slots=True)
class RevokeDelegate(Message):
    """DidRegistry: ends a delegate of one type."""

    identity: str
    delegateType: bytes  # noqa: N815 - as above
    delegate: str
    nonce: int


@dataclass(frozen=True, slots=True)
class SetRecovery(Message):
    """DidRegistry: how many recovery delegates must sign together; 0 for no recovery."""

    identity: str
    threshold: int
    nonce: int


@dataclass(frozen=True, slots=True)
class ProposeOwner(Message):
    """DidRegistry: begins an owner change; signed by the controller, or by recovery delegates together."""

    identity: str
    newOwner: str  # noqa: N815 - as above
    nonce: int


@dataclass(frozen=True, slots=True)
class CancelOwner(Message):
    """DidRegistry: the controller stops a pending owner change."""

    identity: str
    nonce: int


@dataclass(frozen=True, slots=True)
class Terms(Message):
    """What a study does; part of Propose and Amend."""

    purposes: int
    conditions: int
    categories: int
    access: int
    diseases: tuple[bytes, ...]
    protocol: bytes


@dataclass(frozen=True, slots=True)
class Propose(Message):
    """StudyRegistry: a lead proposes a study; the struct hash is the study's id."""

    lead: str
    board: bytes
    terms: Terms
    forms: tuple[bytes, ...]
    salt: bytes


@dataclass(frozen=True, slots=True)
class Amend(Message):
    """StudyRegistry: the lead proposes the next version; the approved one stays in force until the board decides."""

    study: bytes
    version: int
    terms: Terms
    forms: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SetMember(Message):
    """StudyRegistry: the lead lets somebody request under her study, or no longer."""

    study: bytes
    member: str
    allowed: bool
    nonce: int


@dataclass(frozen=True, slots=True)
class Withdraw(Message):
    """StudyRegistry: the lead closes her study for ever."""

    study: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Approve(Message):
    """StudyRegistry: a board approves one version until a time."""

    study: bytes
    version: int
    until: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Reject(Message):
    """StudyRegistry: a board rejects one version; reason is the hash of a text."""

    study: bytes
    version: int
    reason: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Suspend(Message):
    """StudyRegistry: a board suspends an approved study, until it approves it again."""

    study: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Close(Message):
    """StudyRegistry: a board closes a study for ever."""

    study: bytes
    nonce: int


@dataclass(frozen=True, slots=True)
class Accredit(Message):
    """StudyRegistry: a board lets a runner run its studies' jobs until a time."""

    board: bytes
    runner: str
    until: int
    nonce: int


@dataclass(frozen=True, slots=True)
class AcceptForm(Message):
    """StudyRegistry: a board accepts a form for broad consents, or drops it."""

    board: bytes
    form: bytes
    accepted: bool
    nonce: int


@dataclass(frozen=True, slots=True)
class ChangeBoard(Message):
    """StudyRegistry: a board changes its own members and quorum."""

    board: bytes
    members: tuple[str, ...]
    quorum: int
    nonce: int


MESSAGES: dict[str, type[Message]] = {
    cls.__name__: cls
    for cls in (
        *(Consent, Revoke, RevokeAll, Freeze, Enrol, Deposit, Retract, Job, Release, Login),
        *(AddDelegate, RevokeDelegate, SetRecovery, ProposeOwner, CancelOwner),
        *(Terms, Propose, Amend, SetMember, Withdraw),
        *(Approve, Reject, Suspend, Close, Accredit, AcceptForm, ChangeBoard),
    )
}
