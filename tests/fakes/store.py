# SPDX-License-Identifier: Apache-2.0
"""A key server's store in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from collections import Counter
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
from consentum.ports.server_store import (
    ON_CHAIN_AT_ONCE,
    SUPERSEDING,
    Arrival,
    Committed,
    Decision,
    NoticeRow,
    Tombstone,
    VaultRow,
)

DAY_SECONDS = 86_400
Outcome = tuple[int, bool]  # leaf, allowed


class MemoryServerStore:
    """`ports.server_store.ServerStore`. broken: every call refuses, as with a full disk. Tests may look inside."""

    def __init__(self) -> None:
        self.deposits: set[bytes] = set()
        self.rows: dict[bytes, VaultRow] = {}
        self.kept: list[NoticeRow] = []
        self.came: dict[tuple[str, str, bytes], tuple[int, int]] = {}
        self.numbers = 0
        self.settled: set[int] = set()
        self.attempts: dict[int, int] = {}
        self.passed: dict[str, int] = {}
        self.enrolled: set[str] = set()
        self.tombstones: dict[bytes, Tombstone] = {}
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
            gone = self.tombstones.keys()
            if records_root in self.deposits:
                left = [row for row in rows if row.record.id not in gone]
                if any(self.rows[row.record.id].share != row.share for row in left):
                    raise ConflictError("this batch is known with other shares", field="sealed")
                return
            if any(row.record.id in self.rows or row.record.id in gone for row in rows):
                raise ConflictError("a record of this batch is known from another", field="records")
            self.deposits.add(records_root)
            self.rows.update({row.record.id: row for row in rows})
            self.enrolled |= {subject for subject, _ in enrolments.values()}

    def retract(self, tombstone: Tombstone) -> Tombstone:
        self.ping()
        with self._lock:
            known = self.tombstones.get(tombstone.record)
            if known is not None and known.custodian == tombstone.custodian:
                if known.successor != tombstone.successor:
                    raise ConflictError("retracted already, in favour of another record", field="successor")
                return known
            self._of(tombstone.record, tombstone.custodian, "record")
            if any(tombstone.successor):
                self._of(tombstone.successor, tombstone.custodian, "successor")
            del self.rows[tombstone.record]
            self.tombstones[tombstone.record] = tombstone
            return tombstone

    def _of(self, record: bytes, custodian: str, field: str) -> None:
        if record not in self.rows or self.rows[record].record.custodian != custodian:
            raise NotFoundError("no such record", field=field)

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

    def add_notice(self, notice: NoticeRow, at: int = 0) -> bool:
        """A notice is its message and its signature: a forged one must not stand in for the real one."""
        self.ping()
        with self._lock:
            same = [n for n in self.kept if _identity(n) == _identity(notice)]
            if not same:
                self.kept.append(notice)
                self.numbers += 1
                self.came[_identity(notice)] = (self.numbers, at)
            elif notice.judged:
                self.kept[self.kept.index(same[0])] = replace(same[0], judged=True)
            return not same

    def arrivals(self, after: int, limit: int) -> list[Arrival]:
        self.ping()
        found = [Arrival(*self.came.get(_identity(n), (0, 0)), n) for n in self.kept]
        return sorted((a for a in found if a.number > after), key=lambda a: a.number)[:limit]

    def unsettled(self, until: int, limit: int) -> list[Arrival]:
        known = {row.record.subject for row in self.rows.values()} | self.enrolled
        found = [a for a in self.arrivals(0, len(self.kept)) if a.notice.subject in known and a.notice.judged]
        waiting = [a for a in found if a.number not in self.settled and a.at <= until]
        best: dict[tuple[str, str], Arrival] = {}
        for one in waiting:
            known_best = best.setdefault((one.notice.subject, one.notice.kind), one)
            if self._reach(one) > self._reach(known_best):
                best[one.notice.subject, one.notice.kind] = one
        turns: Counter[str] = Counter()
        found_in_turn: list[tuple[tuple[int, int, int], Arrival]] = []
        tried = self.attempts
        for one in sorted(waiting, key=lambda a: (a.notice.kind not in SUPERSEDING, tried.get(a.number, 0), a.number)):
            if one.notice.kind not in SUPERSEDING or best[one.notice.subject, one.notice.kind] is one:
                turns[one.notice.subject] += 1
                found_in_turn.append(((turns[one.notice.subject], tried.get(one.number, 0), one.number), one))
        return [a for place, a in sorted(found_in_turn, key=lambda f: f[0]) if place[0] <= ON_CHAIN_AT_ONCE][:limit]

    def _reach(self, arrival: Arrival) -> tuple[int, int]:
        return -self.attempts.get(arrival.number, 0), arrival.notice.until

    def settle(self, numbers: Sequence[int]) -> None:
        self.settled |= set(numbers)
        everything = self.arrivals(0, len(self.kept))
        for done in [a.notice for a in everything if a.number in numbers and a.notice.kind in SUPERSEDING]:
            same = [a for a in everything if (a.notice.subject, a.notice.kind) == (done.subject, done.kind)]
            self.settled |= {a.number for a in same if a.notice.until <= done.until}

    def tried(self, numbers: Sequence[int], at_most: int) -> None:
        for number in numbers:
            self.attempts[number] = self.attempts.get(number, 0) + 1
            if self.attempts[number] >= at_most:
                self.settled.add(number)

    def passed_on(self, peer: str) -> int:
        return self.passed.get(peer, 0)

    def pass_on(self, peer: str, number: int) -> None:
        self.passed[peer] = number

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
            self._nothing_came_between(decision)
            before = self.pages.get(key.digest, [])
            entries = self._within_cap(decision, self._within_budget(decision), before)
            allowed = [entry.reason == Reason.ALLOWED for entry in entries]
            stands = [i < len(before) and before[i][1] == allowed[i] for i in range(len(allowed))]
            fresh = [i for i, same in enumerate(stands) if not same]
            leaves = [before[i][0] if same else size + fresh.index(i) for i, same in enumerate(stands)]
            for debit in decision.debits:
                if allowed[debit.position]:
                    self.spent.setdefault(debit.commitment, {})[debit.job] = debit.epsilon_milli
            self.nonces[key.runner, key.nonce] = key.digest
            self.pages[key.digest] = list(zip(leaves, allowed, strict=True))
            self.journal += [entries[i].to_bytes() for i in fresh]
            reasons = tuple(entry.reason for entry in entries)
            return Committed(tuple(leaves), len(self.journal), self.root(), reasons)

    def _nothing_came_between(self, decision: Decision) -> None:
        wanted = [bytes.fromhex(e.record[2:]) for e in decision.entries if e.reason == Reason.ALLOWED]
        if self.tombstones.keys() & set(wanted):
            raise OutdatedError
        if sum(map(len, self.notices(sorted(decision.subjects)).values())) != decision.notices:
            raise OutdatedError

    def _within_budget(self, decision: Decision) -> list[Entry]:
        entries = list(decision.entries)
        for debit in decision.debits:
            others = {job: spent for job, spent in self.spent.get(debit.commitment, {}).items() if job != debit.job}
            if sum(others.values()) + debit.epsilon_milli > debit.limit:
                entries[debit.position] = replace(entries[debit.position], reason=int(Reason.BUDGET))
        return entries

    def _within_cap(self, decision: Decision, entries: list[Entry], before: list[Outcome]) -> list[Entry]:
        """At most daily_cap records to a requester in a day; a page counts with the most it was ever granted, and what
        it was granted before comes first."""
        key, now = decision.key, entries[0].decided_at
        _, since, most = self.grants.get(key.digest, (key.requester, now, 0))
        others = [grant for digest, grant in self.grants.items() if digest != key.digest]
        spent = sum(count for who, at, count in others if who == key.requester and at > now - DAY_SECONDS)
        room = max(most, decision.daily_cap - spent)
        had = [i for i, (_, allowed) in enumerate(before) if allowed]
        wanting = [i for i, entry in enumerate(entries) if entry.reason == Reason.ALLOWED]
        first = [i for i in wanting if i in had] + [i for i in wanting if i not in had]
        for position in first[max(room, 0) :]:
            entries[position] = replace(entries[position], reason=int(Reason.LIMIT))
        granted = len(first[: max(room, 0)])
        self.grants[key.digest] = (key.requester, since, max(most, granted))
        return entries

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
