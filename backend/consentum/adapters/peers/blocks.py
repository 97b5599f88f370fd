# SPDX-License-Identifier: Apache-2.0
"""Reading contents block by block from an IPFS trustless gateway, ours or a Kubo's; nothing it gives is believed.

`BlockReader` fetches single blocks; `open_record` makes a file of them, to read and seek in, that fetches only what is
read, and a little ahead where it is read in order.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from consentum.adapters.ipfs.tree import Leaf, Tree
from consentum.adapters.ipfs.unixfs import MAX_BLOCK
from consentum.adapters.peers.http import HttpClient
from consentum.adapters.peers.kept import Kept
from consentum.crypto.ranged import RangedFile
from consentum.domain.cid import Cid
from consentum.errors import CorruptError, UnavailableError

AHEAD = 8
"""Blocks under way at once, each of at most 2 MiB."""
HELD = 4
"""Blocks that stay in memory: an envelope is opened by its first and its last."""
MAX_TRIES = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
RAW_TYPE = "application/vnd.ipld.raw"


class BlockReader:
    """Blocks from the gateway at `url`, over connections that are kept; safe between threads. client: one to that URL
    that is there already."""

    def __init__(self, url: str, client: HttpClient | None = None) -> None:
        self._client, self._is_ours = client or HttpClient(url), client is None
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def block(self, cid: Cid) -> bytes:
        """One block, verified. NotFoundError; CorruptError if it is another each time; UnavailableError if the gateway
        does not answer, or asks to wait, several times."""
        for trial in range(1, MAX_TRIES + 1):
            try:
                found = self._client.fetch(f"/ipfs/{cid}?format=raw", RAW_TYPE, MAX_BLOCK)
                cid.verify(found)
            except (UnavailableError, CorruptError):
                if trial == MAX_TRIES:
                    raise
            else:
                return found
            time.sleep(min(FIRST_PAUSE * 2**trial, LONGEST_PAUSE))
        raise AssertionError  # the last trial returns or raises

    def begin(self, cid: Cid, kept: Kept | None = None) -> Future[bytes]:
        """The same, meanwhile."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AHEAD, "blocks")
            return self._pool.submit(self.through, cid, kept)

    def through(self, cid: Cid, kept: Kept | None) -> bytes:
        """The block from what is kept, else fetched, and kept."""
        block = kept.get(cid) if kept is not None else None
        if block is None:
            block = self.block(cid)
            if kept is not None:
                kept.add(cid, block)
        return block

    def close(self) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        if self._is_ours:
            self._client.close()


def open_record(reader: BlockReader, cid: Cid, kept: Kept | None = None) -> RecordFile:
    """The content under `cid` as a file. kept: where its blocks are kept until the whole of it has arrived. Closing the
    file closes both."""
    try:
        return RecordFile(reader, cid, kept)
    except BaseException:
        reader.close()
        if kept is not None:
            kept.close()
        raise


class RecordFile(RangedFile):
    """A sealed record, verified block by block; not for several threads. CorruptError, NotFoundError, UnavailableError
    when it is read."""

    def __init__(self, reader: BlockReader, cid: Cid, kept: Kept | None) -> None:
        self._reader, self._kept = reader, kept
        self._tree = Tree(lambda one: reader.through(one, kept), cid)
        super().__init__(self._range, self._tree.size)
        self._held: OrderedDict[int, tuple[Leaf, bytes]] = OrderedDict()
        self._last: Leaf | None = None
        self._in_order = 0
        self._coming: OrderedDict[int, Future[bytes]] = OrderedDict()

    def _range(self, offset: int, length: int) -> bytes:
        end, parts = offset + length, []
        while offset < end:
            leaf, block = self._leaf_at(offset)
            parts.append(block[offset - leaf.start : min(end - leaf.start, leaf.size)])
            offset += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        if self.closed:
            return
        super().close()
        self._cancel()
        self._reader.close()
        if self._kept is not None:
            self._kept.close(drop=not 0 < self._kept.leaf_bytes < self.size)

    def _leaf_at(self, offset: int) -> tuple[Leaf, bytes]:
        if self._last is not None and self._last.start <= offset < self._last.start + self._last.size:
            return self._held[self._last.start]
        leaf = self._tree.leaf_at(offset)
        follows = self._last is not None and leaf.start == self._last.start + self._last.size
        self._in_order = self._in_order + 1 if follows else 0
        if leaf.start not in self._held:
            self._held[leaf.start] = leaf, self._block(leaf)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(leaf.start)
        self._last = leaf
        return self._held[leaf.start]

    def _block(self, leaf: Leaf) -> bytes:
        coming = self._coming.pop(leaf.start, None)
        if coming is None:  # somewhere else: what was asked for ahead is not what is read
            self._cancel()
        self._ask_ahead(leaf)
        block = self._reader.through(leaf.cid, self._kept) if coming is None else coming.result()
        if len(block) != leaf.size:
            raise CorruptError(f"block {leaf.cid} is not of the size its parent declares")
        return block

    def _cancel(self) -> None:
        while self._coming:
            self._coming.popitem()[1].cancel()

    def _ask_ahead(self, leaf: Leaf) -> None:
        """Nothing until three blocks were read in order, then two, four, eight."""
        wanted = min(AHEAD, 1 << self._in_order - 1) if self._in_order >= 2 else 0
        at = leaf.start + leaf.size
        for _ in range(wanted):
            if at >= self.size:
                return
            following = self._tree.leaf_at(at)
            if at not in self._coming:
                self._coming[at] = self._reader.begin(following.cid, self._kept)
            at += following.size
