# SPDX-License-Identifier: Apache-2.0
"""The messages that change the registries: who may act for an identity (DidRegistry), and boards and their studies
(StudyRegistry). One frozen class per struct, as in domain.messages; each carries a nonce or becomes an id.
"""

from __future__ import annotations

from dataclasses import dataclass

from consentum.domain.messages import Message


@dataclass(frozen=True, slots=True)
class AddDelegate(Message):
    """DidRegistry: names a delegate of one type for some seconds."""

    identity: str
    delegateType: bytes  # noqa: N815 - the field names of the signed struct
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
