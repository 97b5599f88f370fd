# SPDX-License-Identifier: Apache-2.0
"""A content store in a Kubo node, by its RPC. The node keeps blocks and pins; it is believed in neither.

In: one `dag/import` of two CARs. The first has no roots and carries the blocks as they are made or read; the second
has the roots and no blocks, and is sent only when all that went before was found sound, so that whatever is refused is
never pinned. The node locks out garbage collection and removal for the whole of such a request; it verifies each block
of a CAR. Before anything is acknowledged, the pins are asked for, the node has to find as many blocks as there are, and
the nodes, the first 16 MiB and a random sample of the other leaves are read back and verified; all of them, where the
node had some of it before and may have kept damaged bytes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import BinaryIO, Final

from consentum.adapters.ipfs import kubo_rpc, unixfs
from consentum.adapters.ipfs.ahead import Ahead
from consentum.adapters.ipfs.by_block import ByBlock
from consentum.adapters.ipfs.kubo_http import ATTEMPTS, NodeBusy, NodeRefused, pause
from consentum.adapters.ipfs.kubo_outgoing import Feed, Outgoing, car_blocks, file_blocks
from consentum.adapters.ipfs.kubo_pins import KuboPins
from consentum.adapters.ipfs.kubo_removal import Removal
from consentum.adapters.ipfs.manifest import Manifest
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, NotFoundError, UnavailableError

_WORKERS: Final = 4
_IMPORT = "dag/import?pin-roots=true"


class KuboStore(ByBlock):
    """`ports.content.ContentStore` on the node whose RPC is `url`. timeout: seconds the node may take for one answer.

    What others keep in the node is left alone, also where they keep the same blocks. The node asks no other node for
    what it lacks. SettingsError if `url` is none; whether the node is there shows at the first call, or by `check`.
    """

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        self.url = url
        self._rpc = kubo_rpc.KuboRpc(url, timeout)
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="kubo")
        self._pins = KuboPins(url, timeout, self._pool)
        self._removing = Lock()
        self._removal = Removal(self._rpc, self._pins, self._removing)
        self._closed = False

    def check(self) -> str:
        """The node's version. UnavailableError if it does not answer."""
        self._must_be_open()
        return self._pins.version()

    def put(self, source: BinaryIO) -> Cid:
        """See the port. A source that can be rewound is read again where the node was busy or lost a block."""
        return self._keep(source, file_blocks)[0]

    def put_car(self, car: BinaryIO) -> list[Cid]:
        """See the port, and `put`."""
        return self._keep(car, car_blocks)

    def block(self, cid: Cid) -> bytes:
        """See the port."""
        self._must_be_open()
        block = self._rpc.block(cid)
        cid.verify(block)
        return block

    def _walking(self) -> unixfs.Fetch:
        """Up to eight blocks are fetched ahead of a slow reader."""
        return Ahead(self.block, self._pool)

    def has(self, cid: Cid) -> bool:
        """See the port. Nodes are read, leaves are asked for by name."""
        self._must_be_open()
        nodes, leaves = [cid], dict.fromkeys([cid] if cid.codec == RAW else [])
        seen = set(nodes)
        while nodes:
            node = nodes.pop()
            if node.codec == RAW:
                continue
            try:
                links = unixfs.decode_node(node, self.block(node))
            except NotFoundError:
                return False
            for link in links:
                leaves.update(dict.fromkeys([link.cid] if link.cid.codec == RAW else []))
                nodes.extend({link.cid} - seen)
                seen.add(link.cid)
        return all(self._pool.map(self._is_here, leaves))

    def pinned(self, root: Cid) -> bool:
        """See `ports.copies.Pins`."""
        self._must_be_open()
        return self._pins.holds(root)

    def remove(self, root: Cid) -> None:
        """See the port. Also finishes a removal that was interrupted."""
        self._must_be_open()
        self._removal.of(root)

    def close(self) -> None:
        """See the port."""
        self._closed = True
        self._rpc.close()
        self._pins.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _keep(self, source: BinaryIO, feed: Feed) -> list[Cid]:
        """Imports, pins, reads back; again, within limits, where the node was busy or what came back is not whole."""
        self._must_be_open()
        start = source.tell() if source.seekable() else None
        others: list[Cid] = []
        try:
            for turn in range(ATTEMPTS):
                last = start is None or turn == ATTEMPTS - 1
                try:
                    with Manifest(self.block) as manifest:
                        roots, damaged = self._try(source, feed, manifest)
                    if not damaged:
                        return roots
                    self._removal.make_room(roots, damaged, others)
                    if last:
                        raise UnavailableError(f"the IPFS node had lost or damaged block {damaged[0]}: put it again")
                except NodeBusy as busy:
                    if last:
                        raise
                    time.sleep(pause(busy, turn))
                assert start is not None
                source.seek(start)
        finally:
            self._removal.pin_again(others)
        raise AssertionError("the last turn returns or raises")

    def _try(self, source: BinaryIO, feed: Feed, manifest: Manifest) -> tuple[list[Cid], list[Cid]]:
        """The roots, pinned, and which blocks under them are not as they should be."""
        roots: list[Cid] = []
        try:
            self._import(source, feed, manifest, roots)
        except NodeBusy:
            raise
        except UnavailableError:
            # What the node had of a root, and keeps, may be damaged so that it cannot be pinned.
            damaged = self._damaged(roots, manifest) if manifest.was_here else []
            if not damaged:
                raise
            return roots, damaged
        return roots, self._damaged(roots, manifest)

    def _import(self, source: BinaryIO, feed: Feed, manifest: Manifest, roots: list[Cid]) -> None:
        """One request. What is refused, or fails, is not pinned, and removed as far as it is there."""
        outgoing = Outgoing(feed(source, manifest, roots), manifest, self._may_be_here)
        try:
            told = self._rpc.upload(_IMPORT, outgoing.body(roots))
            if outgoing.failed is None:
                self._must_be_pinned(roots, told)
        except UnavailableError as error:
            outgoing.failed = outgoing.failed or error
        self._tidy(manifest, strays=outgoing.failed is None)
        if outgoing.failed is not None:
            raise outgoing.failed

    def _tidy(self, manifest: Manifest, *, strays: bool = False) -> None:
        with suppress(UnavailableError):  # what stays is garbage, which the node collects at its own time
            self._removal.drop(manifest.sent(strays=strays))

    def _must_be_pinned(self, roots: Sequence[Cid], told: Sequence[dict[str, object]]) -> None:
        pinned = {kubo_rpc.root_of(line) for line in told}
        if not all(str(root) in pinned and self._pins.holds(root) for root in roots):
            raise UnavailableError("the IPFS node does not pin what it was given")

    def _damaged(self, roots: Sequence[Cid], manifest: Manifest) -> list[Cid]:
        """Which blocks under `roots` are not here as they should be: all such leaves, or the first such node.

        Leaves that are not in the sample are not read, if the node counts as many blocks as were sent.
        """
        # A removal that began before our pin may yet end after it (see Removal); behind this lock it has ended.
        with self._removing:
            pass
        damaged: list[Cid] = []

        def fetch(cid: Cid) -> bytes:
            try:
                return self.block(cid)
            except (CorruptError, NotFoundError):
                damaged.append(cid)
                if cid.codec != RAW:
                    raise
                return b""

        spared = manifest.is_spared if self._counts_all(roots, manifest) else lambda _: False
        with suppress(CorruptError, NotFoundError):
            for _ in unixfs.under(Ahead(fetch, self._pool, spared), roots):
                pass
        return damaged

    def _counts_all(self, roots: Sequence[Cid], manifest: Manifest) -> bool:
        """Whether the node, which reads each of them for this, finds as many blocks as there are under `roots`."""
        if manifest.was_here or not manifest.spares:
            return False
        wanted = manifest.reached
        with suppress(NodeRefused):
            return self._rpc.blocks_under(roots, wanted) == wanted
        return False

    def _may_be_here(self, node: Cid) -> bool:
        with suppress(UnavailableError):
            return self._is_here(node)
        return True

    def _is_here(self, leaf: Cid) -> bool:
        try:
            return bool(self._rpc.call("block/stat", [str(leaf)], offline="true"))
        except NodeRefused as error:
            if "not found" in error.text:
                return False
            raise

    def _must_be_open(self) -> None:
        if self._closed:
            raise UnavailableError("the content store is closed")
