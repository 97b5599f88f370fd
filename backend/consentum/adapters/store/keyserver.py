# SPDX-License-Identifier: Apache-2.0
"""The ServerStore port on SQLAlchemy: vault, notices, once-only rows, debits and journal in one database.

The Merkle tree of the journal is kept in memory beside the table and grows only after the transaction that wrote its
leaves; FolderLock keeps a second process away.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from consentum.adapters.store import limits, notices, tables, vault
from consentum.adapters.store.engine import empty_log, open_engine, reading, transaction
from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.domain.records import Record
from consentum.errors import ConflictError, MalformedError, NotFoundError, Reason
from consentum.ports.server_store import Committed, Decision, Tombstone, VaultRow


class KeyServerStore(notices.NoticeShelf):
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
        with transaction(self._engine) as connection:
            notices.number_all(connection)

    def close(self) -> None:
        self._engine.dispose()

    # Vault

    def add_deposit(
        self, records_root: bytes, rows: Sequence[VaultRow], enrolments: Mapping[bytes, tuple[str, str]]
    ) -> None:
        with self._lock, transaction(self._engine) as connection:
            ids = [row.record.id for row in rows]
            gone = vault.retracted(connection, ids)
            if _has(connection, records_root):
                left = [row for row in rows if row.record.id not in gone]
                # The signature covers the records, not the shares: whoever came first must not be taken for the other.
                held = vault.open_shares(connection, self._master, [row.record.id for row in left])
                if held != [row.share for row in left]:
                    raise ConflictError("this batch is known with other shares", field="sealed")
                return
            if gone or vault.find_records(connection, ids, rows[0].record.committee):
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

    def retract(self, tombstone: Tombstone) -> Tombstone:
        with self._lock:
            with transaction(self._engine) as connection:
                kept = vault.bury(connection, tombstone)
            empty_log(self._engine)
        return kept

    # Release

    def commit(self, decision: Decision) -> Committed:
        with self._lock:
            size = self._tree.size
            with transaction(self._engine) as connection:
                known = limits.seen(connection, decision.key)
                limits.nothing_came_between(connection, decision)
                entries = limits.within_budgets(connection, decision.entries, decision.debits)
                entries = limits.within_cap(connection, decision, entries, known)
                limits.debit(connection, decision, entries)
                leaves, fresh = limits.place(known, entries, size)
                granted = [entry.reason == Reason.ALLOWED for entry in entries]
                limits.write_once(connection, decision, leaves, granted, known is None)
                hashes = _write_leaves(connection, [entries[i] for i in fresh], size)
            with self._growing:
                self._tree.extend(hashes)
            reasons = tuple(entry.reason for entry in entries)
            return Committed(tuple(leaves), self._tree.size, self._tree.root(), reasons)

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


def _write_leaves(connection: Connection, entries: Sequence[Entry], size: int) -> list[bytes]:
    rows = []
    for offset, entry in enumerate(entries):
        raw = entry.to_bytes()
        leaf = {"position": size + offset, "leaf_hash": merkle.leaf_hash(raw), "subject": entry.subject, "entry": raw}
        rows.append(leaf)
    if rows:
        connection.execute(insert(tables.journal), rows)
    return [bytes(row["leaf_hash"]) for row in rows]  # type: ignore[call-overload]
