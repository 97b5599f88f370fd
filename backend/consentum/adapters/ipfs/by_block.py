# SPDX-License-Identifier: Apache-2.0
"""What every store does alike that gives blocks one by one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.car import header, section
from consentum.domain.cid import Cid
from consentum.errors import MalformedError, NotFoundError


class ByBlock(ABC):
    """The reading half of `ports.content.ContentStore`, over `block` and `has`."""

    @abstractmethod
    def block(self, cid: Cid) -> bytes:
        """See the port."""

    @abstractmethod
    def has(self, cid: Cid) -> bool:
        """See the port."""

    def _walking(self) -> unixfs.Fetch:
        """What gives the blocks of one walk through whole files."""
        return self.block

    def export_car(self, roots: Sequence[Cid], sink: BinaryIO) -> None:
        """See the port."""
        head = header(roots)
        for root in roots:
            if not self.has(root):
                raise NotFoundError(f"{root} is not here, or not whole")
        sink.write(head)
        for cid, block in unixfs.under(self._walking(), roots):
            sink.write(section(cid, block))

    def read(self, cid: Cid, sink: BinaryIO) -> None:
        """See the port. Blocks are asked for one by one: a slow `sink` holds nothing open."""
        for piece in unixfs.read_range(self._walking(), cid, 0, unixfs.MAX_FILE):
            sink.write(piece)

    def read_at(self, cid: Cid, offset: int, length: int) -> bytes:
        """See the port."""
        if offset < 0 or length < 0:
            raise MalformedError("an offset or a length is negative")
        return b"".join(unixfs.read_range(self.block, cid, offset, offset + length))

    def size(self, cid: Cid) -> int:
        """See the port."""
        return unixfs.size_of(self.block, cid)
