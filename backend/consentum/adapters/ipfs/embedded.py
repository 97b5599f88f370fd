# SPDX-License-Identifier: Apache-2.0
"""A content store in one SQLite file: no daemon, no network, the same CIDs as Kubo.

What a write adds appears in one transaction or not at all, also after a power cut (WAL, synchronous=FULL). A block is
settled when it and all beneath it are present and sound; only settled blocks have links, and only those a pin reaches
outlive their transaction. Blocks are therefore free to go exactly when no pin and no link names them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, LifoQueue
from threading import Lock
from typing import BinaryIO, Final

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.by_block import ByBlock
from consentum.adapters.ipfs.car import read_blocks, read_header
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, NotFoundError, UnavailableError

_SCHEMA_VERSION: Final = 1
_BUSY_SECONDS: Final = 30.0
_PRAGMAS: Final = (
    # Blocks are large: writing them is 2.7 times faster than with SQLite's 4096.
    "page_size = 32768",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    # A record that was taken back must not live on in pages the file merely calls free.
    "secure_delete = ON",
)
_SCHEMA: Final = (
    # `data` comes last: SQLite finds the columns before it without following the pages of a large value.
    """CREATE TABLE IF NOT EXISTS blocks (
        id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE CHECK (length(cid) = 36),
        size INTEGER, height INTEGER, data BLOB NOT NULL) STRICT""",
    """CREATE TABLE IF NOT EXISTS links (
        parent INTEGER NOT NULL REFERENCES blocks ON DELETE CASCADE,
        child INTEGER NOT NULL REFERENCES blocks, PRIMARY KEY (parent, child)) STRICT, WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS links_by_child ON links (child)",
    "CREATE TABLE IF NOT EXISTS pins (root INTEGER PRIMARY KEY REFERENCES blocks) STRICT",
    f"PRAGMA user_version = {_SCHEMA_VERSION}",
)
_IS_FREE: Final = """NOT EXISTS (SELECT 1 FROM links WHERE child = blocks.id)
    AND NOT EXISTS (SELECT 1 FROM pins WHERE root = blocks.id)"""
_HAS: Final = """WITH RECURSIVE reached (id) AS (
        SELECT id FROM blocks WHERE cid = ?
        UNION SELECT child FROM links JOIN reached ON parent = reached.id)
    SELECT count(*), count(blocks.id) FROM reached LEFT JOIN blocks USING (id)"""


class EmbeddedStore(ByBlock):
    """`ports.content.ContentStore` in the SQLite file at `path`, made if it is not there, readable by its owner alone.

    One writer at a time (others wait up to 30 s, then UnavailableError); readers never wait.
    Raises CorruptError if `path` is no such store, UnavailableError if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._writing = Lock()
        self._closed = False
        try:
            path.touch(mode=0o600)
        except OSError as error:
            raise UnavailableError(f"the content store cannot be opened: {error.strerror}") from None
        with self._write() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, _SCHEMA_VERSION}:
                raise CorruptError("the content store is of another version")
            for statement in _SCHEMA:
                db.execute(statement)

    def put(self, source: BinaryIO) -> Cid:
        """See the port."""
        with self._write() as db:
            mark = _last_id(db)
            for cid, block in unixfs.build(source):
                _insert(db, cid, block)
            _pin(db, [cid], mark)
        return cid

    def put_car(self, car: BinaryIO) -> list[Cid]:
        """See the port."""
        with self._write() as db:
            mark = _last_id(db)
            roots = read_header(car)
            for cid, block in read_blocks(car):
                _insert(db, cid, block)
            _pin(db, roots, mark)
        return roots

    def block(self, cid: Cid) -> bytes:
        """See the port."""
        with self._read() as db:
            return _fetch(db, cid)

    def has(self, cid: Cid) -> bool:
        """See the port."""
        with self._read() as db:
            reached, present = db.execute(_HAS, (cid.raw,)).fetchone()
        return bool(reached == present > 0)

    def pinned(self, root: Cid) -> bool:
        """See `ports.copies.Pins`."""
        with self._read() as db:
            query = "SELECT 1 FROM pins JOIN blocks ON root = id WHERE cid = ?"
            return db.execute(query, (root.raw,)).fetchone() is not None

    def remove(self, root: Cid) -> None:
        """See the port. Freed pages are overwritten."""
        with self._write() as db:
            row = db.execute("SELECT root FROM pins JOIN blocks ON root = id WHERE cid = ?", (root.raw,)).fetchone()
            if row is None:
                raise NotFoundError(f"{root} is not pinned here")
            db.execute("DELETE FROM pins WHERE root = ?", row)
            suspects = [row[0]]
            while suspects:
                suspect = suspects.pop()
                children = db.execute("SELECT child FROM links WHERE parent = ?", (suspect,)).fetchall()
                if db.execute(f"DELETE FROM blocks WHERE id = ? AND {_IS_FREE}", (suspect,)).rowcount:  # noqa: S608 — a constant
                    suspects.extend(child for (child,) in children)

    def close(self) -> None:
        """See the port."""
        self._closed = True
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def _connect(self) -> sqlite3.Connection:
        # A connection serves one thread at a time, though not always the same one.
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        return db

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """A connection of one's own. SQLite's errors become ours."""
        if self._closed:
            raise UnavailableError("the content store is closed")
        try:
            try:
                db = self._idle.get_nowait()
            except Empty:
                db = self._connect()
            try:
                yield db
            finally:
                self._idle.put(db)
                if self._closed:
                    self.close()
        except sqlite3.OperationalError as error:
            raise UnavailableError(f"the content store does not answer: {error}") from error
        except sqlite3.DatabaseError as error:
            raise CorruptError(f"the content store is damaged: {error}") from error

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end of the block, rolled back by any error. Threads queue for it."""
        with self._writing, self._read() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise


class _Shelf:
    """What `unixfs.settle` sees of an open transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def shape(self, cid: Cid) -> unixfs.Shape | None:
        query = "SELECT size, height FROM blocks WHERE cid = ? AND size IS NOT NULL"
        row = self._db.execute(query, (cid.raw,)).fetchone()
        return None if row is None else unixfs.Shape(*row)

    def block(self, cid: Cid) -> bytes:
        return _fetch(self._db, cid)

    def settled(self, cid: Cid, shape: unixfs.Shape, children: list[Cid]) -> None:
        self._db.execute("UPDATE blocks SET size = ?, height = ? WHERE cid = ?", (shape.size, shape.height, cid.raw))
        self._db.executemany(
            "INSERT INTO links SELECT parent.id, child.id FROM blocks parent, blocks child"
            " WHERE parent.cid = ? AND child.cid = ?",
            ((cid.raw, child.raw) for child in children),
        )


def _fetch(db: sqlite3.Connection, cid: Cid) -> bytes:
    row = db.execute("SELECT data FROM blocks WHERE cid = ?", (cid.raw,)).fetchone()
    if row is None:
        raise NotFoundError(f"block {cid} is not here")
    block: bytes = row[0]
    cid.verify(block)
    return block


def _last_id(db: sqlite3.Connection) -> int:
    last: int = db.execute("SELECT coalesce(max(id), 0) FROM blocks").fetchone()[0]
    return last


def _insert(db: sqlite3.Connection, cid: Cid, block: bytes) -> None:
    """Add a verified block; one held already is repaired if its bytes have rotted. Leaves are settled at once."""
    shape = (len(block), 0) if cid.codec == RAW else (None, None)
    db.execute(
        "INSERT INTO blocks (cid, size, height, data) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (cid) DO UPDATE SET data = excluded.data WHERE data IS NOT excluded.data",
        (cid.raw, *shape, block),
    )


def _pin(db: sqlite3.Connection, roots: Sequence[Cid], mark: int) -> None:
    """Settle and pin `roots`; of the blocks added since `mark`, drop what they do not reach."""
    for root in roots:
        unixfs.settle(_Shelf(db), root)
        db.execute("INSERT OR IGNORE INTO pins SELECT id FROM blocks WHERE cid = ?", (root.raw,))
    # Only settled blocks have links, so what is not reached is free at once, not link by link.
    db.execute(f"DELETE FROM blocks WHERE id > ? AND {_IS_FREE}", (mark,))  # noqa: S608 — a constant
