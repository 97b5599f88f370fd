# SPDX-License-Identifier: Apache-2.0
"""What went past on its way into a store that cannot be asked before it has swallowed it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Self

from consentum.adapters.ipfs import unixfs
from consentum.domain.cid import RAW, Cid


class Manifest:
    """The blocks that were sent, by name and length, and those that are held back, whole: a `unixfs.Shelf`.

    In a database of this process alone that spills to a nameless file, so that its memory does not grow with the number
    of blocks. elsewhere: gives blocks that are neither. was_here: whether the store had a node of it before. For one
    thread.
    """

    def __init__(self, elsewhere: unixfs.Fetch) -> None:
        self._elsewhere = elsewhere
        self.was_here = False
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA cache_size = -8192")
        self._db.execute("BEGIN")
        self._db.execute(
            "CREATE TABLE blocks (cid BLOB PRIMARY KEY, size INTEGER, height INTEGER, held BLOB,"
            " sent INTEGER NOT NULL DEFAULT 0, spared INTEGER NOT NULL DEFAULT 0, reached INTEGER NOT NULL DEFAULT 0)"
            " WITHOUT ROWID"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def send(self, cid: Cid, block: bytes, *, spared: bool) -> bool:
        """A leaf is on its way; False if it was before. spared: it need not be read back."""
        insert = "INSERT OR IGNORE INTO blocks (cid, sent, spared, size, height) VALUES (?, 1, ?, ?, 0)"
        return bool(self._db.execute(insert, (cid.raw, spared, len(block))).rowcount)

    def hold(self, cid: Cid, block: bytes) -> None:
        """A block waits for the others."""
        shape = (len(block), 0) if cid.codec == RAW else (None, None)
        insert = "INSERT OR IGNORE INTO blocks (cid, size, height, held) VALUES (?, ?, ?, ?)"
        self._db.execute(insert, (cid.raw, *shape, block))

    def shape(self, cid: Cid) -> unixfs.Shape | None:
        """See `unixfs.Shelf`."""
        query = "SELECT size, height FROM blocks WHERE cid = ? AND size IS NOT NULL"
        row = self._db.execute(query, (cid.raw,)).fetchone()
        return None if row is None else unixfs.Shape(*row)

    def block(self, cid: Cid) -> bytes:
        """See `unixfs.Shelf`. NotFoundError also where it is elsewhere and cannot be had."""
        row = self._db.execute("SELECT held FROM blocks WHERE cid = ?", (cid.raw,)).fetchone()
        return self._elsewhere(cid) if row is None or row[0] is None else bytes(row[0])

    def settled(self, cid: Cid, shape: unixfs.Shape, children: list[Cid]) -> None:
        """See `unixfs.Shelf`."""
        self._db.execute(
            "INSERT INTO blocks (cid, size, height) VALUES (?, ?, ?)"
            " ON CONFLICT (cid) DO UPDATE SET size = excluded.size, height = excluded.height",
            (cid.raw, shape.size, shape.height),
        )
        for child in children:
            self.reach(child)

    def reach(self, cid: Cid) -> None:
        """`cid` belongs to a file that is kept."""
        self._db.execute("UPDATE blocks SET reached = 1 WHERE cid = ?", (cid.raw,))

    def is_spared(self, cid: Cid) -> bool:
        """Whether it was sent and need not be read back."""
        return self._db.execute("SELECT 1 FROM blocks WHERE cid = ? AND spared", (cid.raw,)).fetchone() is not None

    @property
    def spares(self) -> bool:
        """Whether any leaf need not be read back."""
        return self._db.execute("SELECT 1 FROM blocks WHERE spared LIMIT 1").fetchone() is not None

    @property
    def reached(self) -> int:
        """How many blocks the files that are kept have, each counted once."""
        return int(self._db.execute("SELECT count(*) FROM blocks WHERE reached").fetchone()[0])

    def held(self) -> Iterator[tuple[Cid, bytes]]:
        """What was held back and is needed."""
        rows = self._db.execute("SELECT cid, held FROM blocks WHERE held IS NOT NULL AND reached")
        return ((Cid(raw), bytes(block)) for raw, block in rows)

    def sent(self, *, strays: bool = False) -> list[Cid]:
        """The leaves that were sent; or of them those that no file needs."""
        query = "SELECT cid FROM blocks WHERE sent AND reached <= ?"
        return [Cid(raw) for (raw,) in self._db.execute(query, (int(not strays),))]
