# SPDX-License-Identifier: Apache-2.0
"""What a key server keeps: vault, notices, once-only rows, debits and journal. Everything is durable on return.

One transaction per method. UnavailableError (code STORE) when the database is locked or the disk is full: then
nothing of the call has happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from consentum.domain.journal import Entry
from consentum.domain.records import Record

# Of these the notice that reaches furthest says all that the others of the same subject do.
SUPERSEDING = ("Freeze", "RevokeAll")
# How many notices about one subject are given out at once to be put on chain: her flood delays only her own.
ON_CHAIN_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class VaultRow:
    """A record and this server's share of its data key (32 bytes)."""

    record: Record
    share: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A signed revocation in this server's hands. kind is Revoke, RevokeAll or Freeze; judged is False while no node
    could say whether its signer may: it blocks all the same."""

    kind: str
    subject: str
    commitment: bytes
    until: int
    message: str
    signature: bytes
    judged: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """A notice in the order of its coming: numbers only grow and none is given twice. at: UTC seconds."""

    number: int
    at: int
    notice: NoticeRow


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A record whose share is destroyed. successor: the id of the record that supersedes it, or 32 zero bytes."""

    record: bytes
    custodian: str
    successor: bytes
    signed_at: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """Who asks once: the release digest, and the (runner, nonce) that no other digest may use."""

    digest: bytes
    runner: str
    nonce: bytes
    requester: str
    job: bytes


@dataclass(frozen=True, slots=True)
class Debit:
    """Privacy budget that a job takes from a consent, once however many records and retries: at most `limit` in all.
    position: of the record in the page that it is taken for."""

    job: bytes
    commitment: bytes
    epsilon_milli: int
    limit: int
    position: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """All that R5 makes durable at once. entries[i] is about the i-th record of the page; notices is how many notices
    about the subjects the decision knew of."""

    key: ReleaseKey
    entries: Sequence[Entry]
    debits: Sequence[Debit]
    daily_cap: int
    subjects: frozenset[str] = frozenset()
    notices: int = 0


@dataclass(frozen=True, slots=True)
class Committed:
    """Where the page stands in the journal: leaf index per record, and the tree after it. reasons: what was written,
    per record: the decision's, or BUDGET or LIMIT where that had run out."""

    leaves: tuple[int, ...]
    size: int
    root: bytes
    reasons: tuple[int, ...]


class ServerStore(Protocol):
    """The key server's database."""

    def add_deposit(
        self, records_root: bytes, rows: Sequence[VaultRow], enrolments: Mapping[bytes, tuple[str, str]]
    ) -> None:
        """Stores a batch with its shares. The same batch again is harmless and changes nothing, and brings no retracted
        record back; with other shares, or a known or retracted record under another root, it is a ConflictError and
        nothing is stored."""
        ...

    def has_deposit(self, records_root: bytes) -> bool: ...

    def vault(self, ids: Sequence[bytes], committee: bytes) -> dict[bytes, Record]:
        """What is known of each id under that committee; unknown ids are missing."""
        ...

    def shares(self, ids: Sequence[bytes]) -> list[bytes]:
        """The shares in order, unwrapped. CorruptError for one that does not open."""
        ...

    def retract(self, tombstone: Tombstone) -> Tombstone:
        """Destroys a record's share and the key it is wrapped with, and keeps the tombstone for ever. Again gives the
        first tombstone. NotFoundError: this custodian has no such record here; field `successor`: nor such a successor.
        ConflictError: retracted in favour of another record."""
        ...

    def add_notice(self, notice: NoticeRow, at: int = 0) -> bool:
        """Keeps a notice for ever, as come at `at`; whether it was new. Again is harmless; judged, it stays so."""
        ...

    def arrivals(self, after: int, limit: int) -> list[Arrival]:
        """The notices in the order of their coming, from the first whose number is above `after`."""
        ...

    def unsettled(self, until: int, limit: int) -> list[Arrival]:
        """Judged notices that came until then, about a subject of this server's vault or enrolments, that nobody has
        said to be on chain yet. In turn: every subject's first before anybody's second, hers tried least first; of her
        SUPERSEDING notices only the furthest of each kind, others while they were tried less; ON_CHAIN_AT_ONCE of hers
        at most."""
        ...

    def settle(self, numbers: Sequence[int]) -> None:
        """Notes that these are on chain, and with them, of SUPERSEDING, those of the same subject that reach no
        further."""
        ...

    def tried(self, numbers: Sequence[int], at_most: int) -> None:
        """Counts a vain attempt to put each on chain; after `at_most` it is settled."""
        ...

    def passed_on(self, peer: str) -> int:
        """The number of the last notice that this peer was given; 0 for none."""
        ...

    def pass_on(self, peer: str, number: int) -> None: ...

    def notices(self, subjects: Sequence[str]) -> dict[str, list[NoticeRow]]:
        """The notices of each subject that has any."""
        ...

    def unjudged(self) -> list[NoticeRow]: ...

    def drop_unjudged(self, notice: NoticeRow) -> None:
        """Forgets a notice that turned out to be signed by nobody entitled."""
        ...

    def commit(self, decision: Decision) -> Committed:
        """R5. First time: one leaf per entry. Again under the same key: the same leaves, and a further leaf for each
        record whose outcome changed. A record over its consent's epsilon is written as BUDGET, one over the velocity
        cap as LIMIT, the others as decided. ReplayedError: the nonce belongs to another digest. OutdatedError: a notice
        about one of the subjects came or went since, or one of the records was retracted. On any error nothing is
        written."""
        ...

    def journal_size(self) -> int: ...

    def root(self, size: int | None = None) -> bytes: ...

    def entry(self, index: int) -> Entry:
        """NotFoundError beyond the end."""
        ...

    def entries_of(self, subject: str) -> list[tuple[int, Entry]]: ...

    def inclusion(self, index: int, size: int) -> list[bytes]: ...

    def consistency(self, old: int, new: int) -> list[bytes]: ...

    def audit(self) -> list[int]:
        """Indexes of entries that are missing, or no longer what their leaf and their subject's column say; reads
        everything from disk."""
        ...

    def ping(self) -> None:
        """UnavailableError if nothing could be written now."""
        ...
