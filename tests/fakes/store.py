# SPDX-License-Identifier: Apache-2.0
"""A key server's store in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import RLock

from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.domain.records import Record
from consentum.errors import (
    ConflictError,
    CorruptError,
    NotFoundError,
    OutdatedError,
    Reason,
    RefusedError,
    ReplayedError,
)
from consentum.ports.server_store import Committed, Debit, Decision, NoticeRow, VaultRow

DAY_SECONDS = 86_400
Outcome = tuple[int, bool]  # leaf, allowed


class MemoryServerStore:
    """`ports.server_store.ServerStore`. broken: every call refuses, as with a full disk. Tests may look inside."""

    def __init__(self) -> None:
        self.deposits: set[bytes] = set()
        self.rows: dict[bytes, VaultRow] = {}
        self.kept: list[NoticeRow] = []
        self.pages: dict[bytes, list[Outcome]] = {}
        self.nonces: dict[tuple[str, bytes], bytes] = {}
        self.spent: dict[bytes, dict[bytes, int]] = {}
        self.grants: dict[bytes, tuple[str, int, int]] = {}
        self.journal: list[bytes] = []
        self.broken = False
        self._lock = RLock()

    def add_deposit(
        self, records_root: bytes, rows: Sequence[VaultRow], enrolments: Mapping[bytes, tuple[str, str]]
    ) -> None:
        self.ping()
        with self._lock:
            if records_root in self.deposits:
                if any(self.rows[row.record.id].share != row.share for row in rows):
                    raise ConflictError("this batch is known with other shares", field="sealed")
                return
            if any(row.record.id in self.rows for row in rows):
                raise ConflictError("a record of this batch is known from another", field="records")
            self.deposits.add(records_root)
            self.rows.update({row.record.id: row for row in rows})

    def has_deposit(self, records_root: bytes) -> bool:
        return records_root in self.deposits

    def vault(self, ids: Sequence[bytes], committee: bytes) -> dict[bytes, Record]:
        self.ping()
        known = {identity: self.rows[identity].record for identity in ids if identity in self.rows}
        return {identity: record for identity, record in known.items() if record.committee == committee}

    def shares(self, ids: Sequence[bytes]) -> list[bytes]:
        self.ping()
        if any(identity not in self.rows for identity in ids):
            raise CorruptError("a share in the vault does not open")
        return [self.rows[identity].share for identity in ids]

    def add_notice(self, notice: NoticeRow) -> None:
        """A notice is its message and its signature: a forged one must not stand in for the real one."""
        self.ping()
        with self._lock:
            same = [n for n in self.kept if _identity(n) == _identity(notice)]
            if not same:
                self.kept.append(notice)
            elif notice.judged:
                self.kept[self.kept.index(same[0])] = replace(same[0], judged=True)

    def notices(self, subjects: Sequence[str]) -> dict[str, list[NoticeRow]]:
        self.ping()
        found: dict[str, list[NoticeRow]] = {}
        for notice in self.kept:
            if notice.subject in {subject.lower() for subject in subjects}:
                found.setdefault(notice.subject, []).append(notice)
        return found

    def unjudged(self) -> list[NoticeRow]:
        self.ping()
        return [notice for notice in self.kept if not notice.judged]

    def drop_unjudged(self, notice: NoticeRow) -> None:
        self.ping()
        with self._lock:
            self.kept = [n for n in self.kept if n.judged or _identity(n) != _identity(notice)]

    def commit(self, decision: Decision) -> Committed:
        self.ping()
        with self._lock:
            key, size = decision.key, len(self.journal)
            if self.nonces.get((key.runner, key.nonce), key.digest) != key.digest:
                raise ReplayedError(field="nonce")
            if sum(map(len, self.notices(sorted(decision.subjects)).values())) != decision.notices:
                raise OutdatedError
            before = self.pages.get(key.digest, [])
            allowed = [entry.reason == Reason.ALLOWED for entry in decision.entries]
            stands = [i < len(before) and before[i][1] == allowed[i] for i in range(len(allowed))]
            fresh = [i for i, same in enumerate(stands) if not same]
            leaves = [before[i][0] if same else size + fresh.index(i) for i, same in enumerate(stands)]
            self._within_budget(decision.debits)
            self._within_cap(decision, sum(allowed))
            for debit in decision.debits:
                self.spent.setdefault(debit.commitment, {})[debit.job] = debit.epsilon_milli
            self.nonces[key.runner, key.nonce] = key.digest
            self.pages[key.digest] = list(zip(leaves, allowed, strict=True))
            self.journal += [decision.entries[i].to_bytes() for i in fresh]
            return Committed(tuple(leaves), len(self.journal), self.root())

    def _within_budget(self, debits: Sequence[Debit]) -> None:
        for debit in debits:
            others = {job: spent for job, spent in self.spent.get(debit.commitment, {}).items() if job != debit.job}
            if sum(others.values()) + debit.epsilon_milli > debit.limit:
                raise RefusedError(Reason.BUDGET)

    def _within_cap(self, decision: Decision, granted: int) -> None:
        """At most daily_cap records to a requester in a day; a page counts with the most it was ever granted."""
        key, now = decision.key, decision.entries[0].decided_at
        _, since, most = self.grants.get(key.digest, (key.requester, now, 0))
        grown = (key.requester, since, max(most, granted))
        recent = {**self.grants, key.digest: grown}.values()
        total = sum(count for who, at, count in recent if who == key.requester and at > now - DAY_SECONDS)
        if granted > most and total > decision.daily_cap:
            raise RefusedError(Reason.LIMIT)
        self.grants[key.digest] = grown

    def journal_size(self) -> int:
        return len(self.journal)

    def root(self, size: int | None = None) -> bytes:
        return self._tree().root(size)

    def entry(self, index: int) -> Entry:
        if not 0 <= index < len(self.journal):
            raise NotFoundError("no such entry", field="index")
        return Entry.from_bytes(self.journal[index])

    def entries_of(self, subject: str) -> list[tuple[int, Entry]]:
        found = enumerate(map(Entry.from_bytes, self.journal))
        return [(index, entry) for index, entry in found if entry.subject == subject.lower()]

    def inclusion(self, index: int, size: int) -> list[bytes]:
        if not 0 <= index < size <= len(self.journal):
            raise NotFoundError("no such entry", field="index")
        return self._tree().inclusion_proof(index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        if not 0 <= old <= new <= len(self.journal):
            raise NotFoundError("no such size", field="size")
        return self._tree().consistency_proof(old, new)

    def audit(self) -> list[int]:
        return []

    def ping(self) -> None:
        if self.broken:
            raise RefusedError(Reason.STORE_UNAVAILABLE, "OperationalError")

    def _tree(self) -> merkle.Tree:
        return merkle.Tree([merkle.leaf_hash(raw) for raw in self.journal])


def _identity(notice: NoticeRow) -> tuple[str, str, bytes]:
    return notice.kind, notice.message, notice.signature
