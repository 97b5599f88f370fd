# SPDX-License-Identifier: Apache-2.0
"""A CAR on disk, every block of it verified, to be written out again as often as there are stores to take it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.car import header, read_blocks, section
from consentum.adapters.ipfs.spool import Spool
from consentum.domain.cid import CID_LENGTH, RAW, Cid


class Upload:
    """`unixfs.Shelf` over the blocks behind byte `start` of a spool; others come from `elsewhere`.

    Memory grows by about 200 bytes a block. CorruptError, MalformedError: see `car.read_blocks`.
    """

    def __init__(self, spool: Spool, start: int, elsewhere: unixfs.Fetch) -> None:
        self._spool, self._elsewhere = spool, elsewhere
        self._places: dict[Cid, tuple[int, int]] = {}
        self._shapes: dict[Cid, unixfs.Shape] = {}
        self._index(start)

    def shape(self, cid: Cid) -> unixfs.Shape | None:
        if cid.codec == RAW and cid in self._places:
            return unixfs.Shape(self._places[cid][1], 0)
        return self._shapes.get(cid)

    def block(self, cid: Cid) -> bytes:
        if cid in self._places:
            return self._spool.pread(*self._places[cid])
        return self._elsewhere(cid)

    def settled(self, cid: Cid, shape: unixfs.Shape, children: list[Cid]) -> None:
        del children
        self._shapes[cid] = shape

    def car(self, roots: Sequence[Cid]) -> Iterator[bytes]:
        """All blocks under the roots, parents first, each once, and none besides."""
        yield header(roots)
        for cid, block in unixfs.under(self.block, roots):
            yield section(cid, block)

    def _index(self, start: int) -> None:
        at = start
        for cid, block in read_blocks(self._spool.open(start)):
            at += len(unixfs.uvarint(CID_LENGTH + len(block))) + CID_LENGTH
            self._places[cid] = (at, len(block))
            at += len(block)
