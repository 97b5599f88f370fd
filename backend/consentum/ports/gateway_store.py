# SPDX-License-Identifier: Apache-2.0
"""What a gateway keeps: openings, form texts, record metadata, pending deposits, and messages for the chain.

It never holds a share, a key or a record. Everything is durable on return and encrypted at rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from consentum.domain.cid import Cid
from consentum.domain.messages import Consent
from consentum.domain.records import Record

# What ends something is sent before everything else, and from the last of the money.
ENDINGS = ("Freeze", "RevokeAll", "Revoke")
# Of these the one that reaches furthest says all that the others of the same subject do.
SUPERSEDING = ("Freeze", "RevokeAll")
# How many endings of one subject are given out at once: her flood delays only herself.
ENDINGS_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Relayed:
    """A signed message for the chain. kind: the struct's name, or RecoverOwner, FinalizeOwner or CreateBoard; subject:
    whom or what it is about, sent in order; value: a commitment (0x), a time, or the message as JSON; state: queued,
    mined or refused."""

    id: bytes
    kind: str
    subject: str
    value: str
    signature: bytes
    state: str

    @property
    def until(self) -> int:
        """How far one of SUPERSEDING reaches, UTC seconds; 0 for others."""
        return int(self.value) if self.kind in SUPERSEDING else 0


@dataclass(frozen=True, slots=True)
class PendingDeposit:
    """A deposit that not all servers have acknowledged: requests by server address, receipts so far."""

    records_root: bytes
    custodian: str
    records: tuple[Record, ...]
    requests: Mapping[str, Any]
    receipts: Mapping[str, Any]

    @property
    def acknowledged(self) -> bool:
        return set(self.receipts) == set(self.requests)


class GatewayStore(Protocol):
    """The gateway's database."""

    def add_opening(self, commitment: bytes, consent: Consent) -> None: ...

    def opening(self, commitment: bytes) -> Consent:
        """NotFoundError if this gateway does not have it."""
        ...

    def openings_of(self, subjects: Sequence[str]) -> dict[str, list[Consent]]: ...

    def add_form(self, form: bytes, text: str) -> None: ...

    def form(self, form: bytes) -> str:
        """NotFoundError if this gateway does not have it."""
        ...

    def enqueue(self, message: Relayed) -> Relayed:
        """Keeps a message to relay; a known one is returned as it stands, but a refused one is queued again."""
        ...

    def queued(self, limit: int) -> list[Relayed]:
        """What ends something first. Then in turn: every subject's first before anybody's second; of a subject's, those
        with the fewest failed attempts first, then the oldest. Of her SUPERSEDING messages only the furthest of each
        kind, others while they have failed less; of her ENDINGS at most ENDINGS_AT_ONCE."""
        ...

    def waiting(self, subject: str, kind: str) -> int:
        """How many of a subject's messages of that kind, one of ENDINGS, are queued."""
        ...

    def failed(self, identity: bytes, at_most: int) -> None:
        """Counts a failed attempt; the message is refused after `at_most`."""
        ...

    def mark(self, ids: Sequence[bytes], state: str) -> None:
        """What is mined takes along what it covers: of SUPERSEDING, the queued of its subject that reach no further."""
        ...

    def relayed(self, identity: bytes) -> Relayed:
        """NotFoundError if there is no such message."""
        ...

    def add_deposit(self, deposit: PendingDeposit) -> PendingDeposit:
        """Keeps a deposit; a known one is returned with the receipts it has."""
        ...

    def add_receipt(self, records_root: bytes, server: str, receipt: Mapping[str, Any]) -> PendingDeposit: ...

    def drop_deposit(self, records_root: bytes) -> None:
        """Forgets a deposit that was refused for good; an acknowledged one stays."""
        ...

    def deposit(self, records_root: bytes) -> PendingDeposit:
        """A deposit as it stands, acknowledged or not. NotFoundError if there is none."""
        ...

    def pending_deposits(self) -> list[PendingDeposit]: ...

    def records(self, categories: int) -> list[Record]:
        """Acknowledged records all of whose categories are in the mask, in the order of their ids; none that
        was retracted."""
        ...

    def records_of(self, subject: str) -> list[tuple[Record, int]]:
        """A subject's acknowledged records in the order of their ids, each with when it arrived here, UTC seconds.
        None that is retracted."""
        ...

    def uses(self, content: Cid) -> bool:
        """Whether a record, acknowledged or on its way, that is not retracted has this content."""
        ...

    def records_by_id(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        """Those that are known and not retracted."""
        ...
