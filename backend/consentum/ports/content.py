# SPDX-License-Identifier: Apache-2.0
"""What the flows need from a store of content: sealed records, named by their CIDs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO, Protocol

from consentum.domain.cid import Cid


class ContentStore(Protocol):
    """Files as UnixFS DAGs of profile unixfs-v1-2025. Safe to share between threads.

    Nothing a store holds is believed: every block is checked against its CID, and every size against what its parent
    declares, each time it is read. Only whole files are kept: after any call, whatever is reachable from a pin is
    there, and (but for a store shared with others) nothing else is. Pins are a set: pinned twice, one removal suffices.

    NotFoundError: the block is not here. CorruptError: bytes that fail their hash or structure; the message names the
    CID. MalformedError: input that no store of ours would take. UnavailableError: the store did not answer; retry.
    """

    def put(self, source: BinaryIO) -> Cid:
        """Read `source` to its end, keep it as one file, pin it, and return its root. Durable once returned.

        The CID is a function of the bytes alone, the same in every store. Constant memory. Other writers may wait
        while `source` is read, so it should be a file or a buffer rather than a slow peer. If it fails, nothing stays.
        MalformedError above 1 TiB.
        """
        ...

    def put_car(self, car: BinaryIO) -> list[Cid]:
        """Read a CARv1 to its end, keep the files of all its roots, pin them, and return the roots in its order.

        All or nothing. Every block is verified; blocks no root reaches are dropped. A root may lean on blocks the store
        has already. CorruptError: truncated, a block that is not its CID's, a block missing, a size declared falsely,
        too deep or too wide. MalformedError: another header, codec or hash, a block above 2 MiB. The length of the
        whole is for the caller to bound.
        """
        ...

    def export_car(self, roots: Sequence[Cid], sink: BinaryIO) -> None:
        """Write a CARv1 of all blocks under `roots` to `sink`: parents first, each block once.

        What `sink` received before an error must be thrown away. Missing roots are found before the first byte is
        written. Memory grows by about 100 bytes a block. MalformedError without roots, with doubles, or above 1024.
        """
        ...

    def block(self, cid: Cid) -> bytes:
        """The bytes of one block, verified."""
        ...

    def read(self, cid: Cid, sink: BinaryIO) -> None:
        """Write the whole file under `cid` to `sink`, verified block by block, in constant memory.

        What `sink` received before an error is a true prefix, but not the file: throw it away. Ask `size` first.
        """
        ...

    def read_at(self, cid: Cid, offset: int, length: int) -> bytes:
        """Bytes [offset, offset + length) of the file, fewer at its end, none beyond it; reads only blocks it needs.

        MalformedError if `offset` or `length` is negative.
        """
        ...

    def size(self, cid: Cid) -> int:
        """The length of the file in bytes, as its verified root declares it."""
        ...

    def has(self, cid: Cid) -> bool:
        """Whether every block under `cid` is here. Presence only: nothing is verified."""
        ...

    def remove(self, root: Cid) -> None:
        """Unpin `root` and drop the blocks no other pin reaches. NotFoundError if it is not pinned here."""
        ...

    def close(self) -> None:
        """Let go of files and connections; later calls raise UnavailableError. Closing twice is fine."""
        ...
