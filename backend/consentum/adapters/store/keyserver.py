# SPDX-License-Identifier: Apache-2.0
"""The ServerStore port on SQLAlchemy: vault, notices, once-only rows, debits and journal in one database.

The Merkle tree of the journal is kept in memory beside the table and grows only after the transaction that wrote its
leaves; FolderLock keeps a second process away.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from consentum.adapters.store import tables, vault
from consentum.adapters.store.engine import open_engine, reading, transaction
from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.domain.records import Record
from consentum.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    OutdatedError,
    Reason,
    RefusedError,
    ReplayedError,
)
from consentum.ports.server_store import Committed, Decision, NoticeRow, ReleaseKey, VaultRow

DAY_SECONDS = 86_400


class KeyServerStore:
    """One key server's database file. master is the 32-byte key that wraps the records' keys."""

    def __init__(self, path: Path, master: bytes) -> None:
        self._engine = open_engine(path, tables.metadata)
        self._master = master
        self._lock = threading.Lock()
        self._tree = merkle.Tree()
        self._growing = threading.Lock()  # a root read while leaves are added would be of no tree
        with reading(self._engine) as connection:
            rows = connection.execute(select(tables.journal.c.leaf_hash).order_by(tables.journal.c.position))
            self._tree.extend([row.leaf_hash for row in rows])

    def close(self) -> None:
        self._engine.dispose()

    # Vault

    def add_deposit(
        self, records_root: bytes, rows: Sequence[VaultRow], enrolments: Mapping[bytes, tuple[str, str]]
    ) -> None:
        with self._lock, transaction(self._engine) as connection:
            ids = [row.record.id for row in rows]
            if _has(connection, records_root):
                # The signature covers the records, not the shares: whoever came first must not be taken for the other.
                if vault.open_shares(connection, self._master, ids) != [row.share for row in rows]:
                    raise ConflictError("this batch is known with other shares", field="sealed")
                return
            if vault.find_records(connection, ids, rows[0].record.committee):
                raise ConflictError("a record of this batch is known from another", field="records")
            connection.execute(insert(tables.deposits), {"records_root": records_root})
            vault.insert_rows(connection, self._master, records_root, rows)
            for hashed, (subject, custodian) in enrolments.items():
                values = {"hash": hashed, "subject": subject, "custodian": custodian}
                connection.execute(insert(tables.enrolments).prefix_with("OR IGNORE"), values)

    def has_deposit(self, records_root: bytes) -> bool:
        with reading(self._engine) as connection:
            return _has(connection, records_root)

    def vault(self, ids: Sequence[bytes], committee: bytes) -> dict[bytes, Record]:
        with reading(self._engine) as connection:
            return vault.find_records(connection, ids, committee)

    def shares(self, ids: Sequence[bytes]) -> list[bytes]:
        with reading(self._engine) as connection:
            return vault.open_shares(connection, self._master, ids)

    # Notices

    def add_notice(self, notice: NoticeRow) -> None:
        identity, t = _notice_id(notice), tables.notices
        with self._lock, transaction(self._engine) as connection:
            known = connection.execute(select(t.c.judged).where(t.c.id == identity)).first()
            if known is None:
                values = {name: getattr(notice, name) for name in NoticeRow.__slots__}
                connection.execute(insert(t), {"id": identity, **values})
            elif notice.judged and not known.judged:
                connection.execute(update(t).where(t.c.id == identity).values(judged=True))

    def notices(self, subjects: Sequence[str]) -> dict[str, list[NoticeRow]]:
        wanted: BindParameter[str] = bindparam("subjects", expanding=True)
        query = select(tables.notices).where(tables.notices.c.subject.in_(wanted))
        found: dict[str, list[NoticeRow]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(query, {"subjects": sorted({s.lower() for s in subjects})}):
                found.setdefault(row.subject, []).append(_notice(row))
        return found

    def unjudged(self) -> list[NoticeRow]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(tables.notices).where(tables.notices.c.judged.is_(False)).limit(1_000))
            return [_notice(row) for row in rows]

    def drop_unjudged(self, notice: NoticeRow) -> None:
        t = tables.notices
        with self._lock, transaction(self._engine) as connection:
            connection.execute(delete(t).where(t.c.id == _notice_id(notice), t.c.judged.is_(False)))

    # Release

    def commit(self, decision: Decision) -> Committed:
        with self._lock:
            size = self._tree.size
            with transaction(self._engine) as connection:
                known = _seen(connection, decision.key)
                leaves, fresh = _place(known, decision.entries, size)
                _nothing_came_between(connection, decision)
                _debit(connection, decision)
                granted = [entry.reason == Reason.ALLOWED for entry in decision.entries]
                _write_once(connection, decision, leaves, granted, known is None)
                hashes = _write_leaves(connection, [decision.entries[i] for i in fresh], size)
            with self._growing:
                self._tree.extend(hashes)
            return Committed(tuple(leaves), self._tree.size, self._tree.root())

    # Journal

    def journal_size(self) -> int:
        with self._growing:
            return self._tree.size

    def root(self, size: int | None = None) -> bytes:
        with self._growing:
            return self._tree.root(size)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        if not 0 <= index < size <= self._tree.size:
            raise NotFoundError("no such entry", field="index")
        with self._growing:
            return self._tree.inclusion_proof(index, size)

    def consistency(self, old: int, new: int) -> list[bytes]:
        if not 0 <= old <= new <= self._tree.size:
            raise NotFoundError("no such size", field="size")
        with self._growing:
            return self._tree.consistency_proof(old, new)

    def entry(self, index: int) -> Entry:
        with reading(self._engine) as connection:
            t = tables.journal
            row = connection.execute(select(t.c.entry).where(t.c.position == index)).first()
        if row is None:
            raise NotFoundError("no such entry", field="index")
        return Entry.from_bytes(row.entry)

    def entries_of(self, subject: str) -> list[tuple[int, Entry]]:
        t = tables.journal
        query = select(t.c.position, t.c.entry).where(t.c.subject == subject.lower()).order_by(t.c.position)
        with reading(self._engine) as connection:
            return [(row.position, Entry.from_bytes(row.entry)) for row in connection.execute(query)]

    def audit(self) -> list[int]:
        t = tables.journal
        with reading(self._engine) as connection:
            rows = connection.execute(select(t).order_by(t.c.position)).all()
        altered = {row.position for row in rows if not _is_intact(row)}
        altered |= set(range(self._tree.size)) ^ {row.position for row in rows}
        return sorted(altered)

    def ping(self) -> None:
        with transaction(self._engine) as connection:
            connection.execute(insert(tables.pulse).prefix_with("OR REPLACE"), {"id": 1, "beats": secrets.randbits(31)})


def _is_intact(row: Any) -> bool:
    try:
        subject = Entry.from_bytes(row.entry).subject
    except MalformedError:
        return False
    return bool(subject == row.subject and merkle.leaf_hash(row.entry) == row.leaf_hash)


def _has(connection: Connection, records_root: bytes) -> bool:
    t = tables.deposits
    return connection.execute(select(t).where(t.c.records_root == records_root)).first() is not None


def _notice_id(notice: NoticeRow) -> bytes:
    # With the signature: a forged notice must not stand in for the genuine one.
    return hashlib.sha256(f"{notice.kind}\n{notice.message}\n".encode() + notice.signature).digest()


def _notice(row: object) -> NoticeRow:
    return NoticeRow(**{name: getattr(row, name) for name in NoticeRow.__slots__})


def _seen(connection: Connection, key: ReleaseKey) -> dict[int, tuple[int, bool]] | None:
    """The page's earlier outcomes by position; None the first time. A nonce belongs to one digest for ever."""
    t = tables.releases
    row = connection.execute(select(t.c.digest).where(t.c.runner == key.runner, t.c.nonce == key.nonce)).first()
    if row is None:
        return None
    if row.digest != key.digest:
        raise ReplayedError(field="nonce")
    items = tables.release_items
    found = connection.execute(select(items).where(items.c.digest == key.digest))
    return {item.position: (item.leaf, item.allowed) for item in found}


def _place(
    known: dict[int, tuple[int, bool]] | None, entries: Sequence[Entry], size: int
) -> tuple[list[int], list[int]]:
    """Leaf per record, and the positions that need a new one: all at first, later those with another outcome."""
    leaves: list[int] = []
    fresh: list[int] = []
    for position, entry in enumerate(entries):
        before = (known or {}).get(position)
        if before is not None and before[1] == (entry.reason == Reason.ALLOWED):
            leaves.append(before[0])
        else:
            leaves.append(size + len(fresh))
            fresh.append(position)
    return leaves, fresh


def _nothing_came_between(connection: Connection, decision: Decision) -> None:
    """A notice that was acknowledged before this transaction counts, even if it came after the decision."""
    wanted: BindParameter[str] = bindparam("subjects", expanding=True)
    query = select(func.count()).select_from(tables.notices).where(tables.notices.c.subject.in_(wanted))
    if connection.execute(query, {"subjects": list(decision.subjects)}).scalar_one() != decision.notices:
        raise OutdatedError


def _debit(connection: Connection, decision: Decision) -> None:
    t = tables.debits
    for debit in decision.debits:
        spent = connection.execute(
            select(func.coalesce(func.sum(t.c.epsilon_milli), 0)).where(
                t.c.commitment == debit.commitment, t.c.job != debit.job
            )
        ).scalar_one()
        if spent + debit.epsilon_milli > debit.limit:
            raise RefusedError(Reason.BUDGET)
        values = {"commitment": debit.commitment, "job": debit.job, "epsilon_milli": debit.epsilon_milli}
        connection.execute(insert(t).prefix_with("OR IGNORE"), values)


def _write_once(
    connection: Connection, decision: Decision, leaves: Sequence[int], granted: Sequence[bool], first: bool
) -> None:
    key, t, items = decision.key, tables.releases, tables.release_items
    now, many = decision.entries[0].decided_at, sum(granted)
    before = 0
    if not first:
        before = connection.execute(select(t.c.granted).where(t.c.digest == key.digest)).scalar_one()
    recent = select(func.coalesce(func.sum(t.c.granted), 0)).where(
        t.c.requester == key.requester, t.c.decided_at > now - DAY_SECONDS, t.c.digest != key.digest
    )
    # A page counts with the most it was ever granted: asking first without openings must not pass the cap.
    if many > before and connection.execute(recent).scalar_one() + many > decision.daily_cap:
        raise RefusedError(Reason.LIMIT)
    if first:
        values = {"digest": key.digest, "runner": key.runner, "nonce": key.nonce, "requester": key.requester}
        connection.execute(insert(t), {**values, "decided_at": now, "granted": many})
    else:
        connection.execute(update(t).where(t.c.digest == key.digest).values(granted=max(before, many)))
        connection.execute(delete(items).where(items.c.digest == key.digest))
    rows = [
        {"digest": key.digest, "position": position, "leaf": leaf, "allowed": allowed}
        for position, (leaf, allowed) in enumerate(zip(leaves, granted, strict=True))
    ]
    connection.execute(insert(items), rows)


def _write_leaves(connection: Connection, entries: Sequence[Entry], size: int) -> list[bytes]:
    rows = []
    for offset, entry in enumerate(entries):
        raw = entry.to_bytes()
        leaf = {"position": size + offset, "leaf_hash": merkle.leaf_hash(raw), "subject": entry.subject, "entry": raw}
        rows.append(leaf)
    if rows:
        connection.execute(insert(tables.journal), rows)
    return [bytes(row["leaf_hash"]) for row in rows]  # type: ignore[call-overload]
