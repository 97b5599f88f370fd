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
