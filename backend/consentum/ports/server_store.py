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
class ReleaseKey:
    """Who asks once: the release digest, and the (runner, nonce) that no other digest may use."""

    digest: bytes
    runner: str
    nonce: bytes
    requester: str
    job: bytes


@dataclass(frozen=True, slots=True)
class Debit:
    """Privacy budget that a job takes from a consent, once however many records and retries: at most `limit` in all."""

    job: bytes
    commitment: bytes
    epsilon_milli: int
    limit: int


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
    """Where the page stands in the journal: leaf index per record, and the tree after it."""

    leaves: tuple[int, ...]
    size: int
    root: bytes


class ServerStore(Protocol):
    """The key server's database."""

    def add_deposit(
        self, records_root: bytes, rows: Sequence[VaultRow], enrolments: Mapping[bytes, tuple[str, str]]
    ) -> None:
        """Stores a batch with its shares. The same batch again is harmless and changes nothing; with other shares, or a
        known record under another root, it is a ConflictError and nothing is stored."""
        ...

    def has_deposit(self, records_root: bytes) -> bool: ...

    def vault(self, ids: Sequence[bytes], committee: bytes) -> dict[bytes, Record]:
        """What is known of each id under that committee; unknown ids are missing."""
        ...

    def shares(self, ids: Sequence[bytes]) -> list[bytes]:
        """The shares in order, unwrapped. CorruptError for one that does not open."""
        ...

    def add_notice(self, notice: NoticeRow) -> None:
        """Keeps a notice for ever; again is harmless, and a judged one stays judged."""
        ...

    def notices(self, subjects: Sequence[str]) -> dict[str, list[NoticeRow]]:
        """The notices of each subject that has any."""
        ...

    def unjudged(self) -> list[NoticeRow]: ...

    def drop_unjudged(self, notice: NoticeRow) -> None:
        """Forgets a notice that turned out to be signed by nobody entitled."""
        ...

    def commit(self, decision: Decision) -> Committed:
        """R5. First time: one leaf per entry. Again under the same key: the same leaves, and a further leaf for each
        record whose outcome changed. ReplayedError: the nonce belongs to another digest. RefusedError: LIMIT over the
        velocity cap, BUDGET over a consent's epsilon. OutdatedError: a notice about one of the subjects came or went
        since. On any error nothing is written."""
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
