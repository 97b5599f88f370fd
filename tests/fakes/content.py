# SPDX-License-Identifier: Apache-2.0
"""A content store in memory, the port's promises kept in the most obvious way; and hands to damage stores with."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import BinaryIO, Protocol

import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.car import header, read_blocks, read_header, section
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.unixfs import Link
from consentum.domain.cid import DAG_PB, RAW, Cid
from consentum.errors import ConsentumError, MalformedError, NotFoundError, UnavailableError
from consentum.ports.content import ContentStore


class MemoryContentStore:
    """`ports.content.ContentStore`. Tests may damage `blocks` at will."""

    def __init__(self) -> None:
        self.blocks: dict[Cid, bytes] = {}
        self.pins: set[Cid] = set()
        self._lock = RLock()
        self._closed = False

    def put(self, source: BinaryIO) -> Cid:
        added = list(unixfs.build(source))
        return self._adopt(dict(added), [added[-1][0]])[0]

    def put_car(self, car: BinaryIO) -> list[Cid]:
        roots = read_header(car)
        return self._adopt(dict(read_blocks(car)), roots)

    def export_car(self, roots: Sequence[Cid], sink: BinaryIO) -> None:
        head = header(roots)
        for root in roots:
            if not self.has(root):
                raise NotFoundError(f"{root} is not here, or not whole")
        sink.write(head)
        for cid, block in unixfs.under(self.block, roots):
            sink.write(section(cid, block))

    def block(self, cid: Cid) -> bytes:
        with self._lock:
            self._must_be_open()
            if cid not in self.blocks:
                raise NotFoundError(f"block {cid} is not here")
            block = self.blocks[cid]
        cid.verify(block)
        return block

    def read(self, cid: Cid, sink: BinaryIO) -> None:
        for piece in unixfs.read_range(self.block, cid, 0, unixfs.MAX_FILE):
            sink.write(piece)

    def read_at(self, cid: Cid, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise MalformedError("an offset or a length is negative")
        return b"".join(unixfs.read_range(self.block, cid, offset, offset + length))

    def size(self, cid: Cid) -> int:
        return unixfs.size_of(self.block, cid)

    def has(self, cid: Cid) -> bool:
        with self._lock:
            self._must_be_open()
            return self._reach(self.blocks, [cid]) is not None

    def pinned(self, root: Cid) -> bool:
        return root in self.pins

    def remove(self, root: Cid) -> None:
        with self._lock:
            self._must_be_open()
            if root not in self.pins:
                raise NotFoundError(f"{root} is not pinned here")
            self.pins.discard(root)
            self._sweep()

    def close(self) -> None:
        self._closed = True

    def _adopt(self, added: dict[Cid, bytes], roots: list[Cid]) -> list[Cid]:
        with self._lock:
            self._must_be_open()
            shelf = _Shelf(self.blocks | added)
            for root in roots:
                unixfs.settle(shelf, root)
            self.blocks |= added
            self.pins |= set(roots)
            self._sweep()
        return roots

    def _sweep(self) -> None:
        kept = self._reach(self.blocks, list(self.pins), strict=False)
        assert kept is not None
        self.blocks = {cid: block for cid, block in self.blocks.items() if cid in kept}

    @staticmethod
    def _reach(blocks: dict[Cid, bytes], roots: list[Cid], *, strict: bool = True) -> set[Cid] | None:
        """What `roots` reach; None if `strict` and something is missing. A damaged node reaches nothing."""
        reached: set[Cid] = set()
        waiting = list(roots)
        while waiting:
            cid = waiting.pop()
            if cid in reached:
                continue
            if cid not in blocks:
                if strict:
                    return None
                continue
            reached.add(cid)
            if cid.codec != RAW and cid == Cid.of(cid.codec, blocks[cid]):
                waiting.extend(link.cid for link in unixfs.decode_node(cid, blocks[cid]))
        return reached

    def _must_be_open(self) -> None:
        if self._closed:
            raise UnavailableError("the content store is closed")


class _Shelf:
    def __init__(self, blocks: dict[Cid, bytes]) -> None:
        self._blocks = blocks
        self._shapes: dict[Cid, unixfs.Shape] = {}

    def shape(self, cid: Cid) -> unixfs.Shape | None:
        return self._shapes.get(cid)

    def block(self, cid: Cid) -> bytes:
        if cid not in self._blocks:
            raise NotFoundError(f"block {cid} is not here")
        return self._blocks[cid]

    def settled(self, cid: Cid, shape: unixfs.Shape, children: list[Cid]) -> None:
        self._shapes[cid] = shape


class Memory:
    """The fake, and hands to damage it with."""

    def __init__(self) -> None:
        self.fake = MemoryContentStore()
        self.store: ContentStore = self.fake

    def held(self) -> set[Cid]:
        return set(self.fake.blocks)

    def plant(self, cid: Cid, block: bytes) -> None:
        self.fake.blocks[cid] = block

    def drop(self, cid: Cid) -> None:
        del self.fake.blocks[cid]

    def close(self) -> None:
        self.store.close()


class Embedded:
    """The embedded store, and hands to damage its file with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: ContentStore = EmbeddedStore(path)

    def held(self) -> set[Cid]:
        return {Cid(raw) for (raw,) in self._run("SELECT cid FROM blocks")}

    def plant(self, cid: Cid, block: bytes) -> None:
        upsert = "INSERT INTO blocks (cid, data) VALUES (?, ?) ON CONFLICT (cid) DO UPDATE SET data = excluded.data"
        self._run(upsert, cid.raw, block)

    def drop(self, cid: Cid) -> None:
        self._run("DELETE FROM blocks WHERE cid = ?", cid.raw)

    def close(self) -> None:
        self.store.close()

    def _run(self, statement: str, *values: bytes) -> list[tuple[bytes]]:
        db = sqlite3.connect(self.path)
        try:
            with db:
                return db.execute(statement, values).fetchall()
        finally:
            db.close()


class Bench(Protocol):
    """A store that may be damaged."""

    store: ContentStore

    def held(self) -> set[Cid]:
        """The blocks that it has."""

    def plant(self, cid: Cid, block: bytes) -> None:
        """It has `block` under `cid`, whatever that is."""

    def drop(self, cid: Cid) -> None:
        """It has lost `cid`."""

    def close(self) -> None:
        """Closes the store and leaves nothing of it."""


def exported(store: ContentStore, *roots: Cid) -> bytes:
    sink = BytesIO()
    store.export_car(roots, sink)
    return sink.getvalue()


def whole(store: ContentStore, root: Cid) -> bytes:
    sink = BytesIO()
    store.read(root, sink)
    return sink.getvalue()


def car_of(blocks: dict[Cid, bytes], *roots: Cid) -> BytesIO:
    return BytesIO(header(roots) + b"".join(section(cid, block) for cid, block in blocks.items()))


def node(*links: Link) -> tuple[Cid, bytes]:
    block = unixfs.encode_node(list(links))
    return Cid.of(DAG_PB, block), block


def refused(bench: Bench, car: BytesIO, error: type[ConsentumError], match: str | None = None) -> None:
    """The CAR is refused, and leaves nothing behind."""
    before = bench.held()
    with pytest.raises(error, match=match):
        bench.store.put_car(car)
    assert bench.held() == before
