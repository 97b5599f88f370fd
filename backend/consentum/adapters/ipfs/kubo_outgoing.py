# SPDX-License-Identifier: Apache-2.0
"""What is sent to a Kubo node: one request with two CARs, the blocks first and, when all is known to be sound, the
roots."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

from consentum.adapters.ipfs import kubo_rpc, unixfs
from consentum.adapters.ipfs.car import header, no_roots, read_blocks, read_header, section, section_head
from consentum.adapters.ipfs.kubo_removal import is_two_faced
from consentum.adapters.ipfs.manifest import Manifest
from consentum.domain.cid import RAW, Cid

READ_BACK: Final = 16 << 20
"""Bytes of a put that are read back, all of them; of the leaves beyond, one in SAMPLE is."""
SAMPLE: Final = 64

Feed = Callable[[BinaryIO, Manifest, list[Cid]], Iterator[tuple[Cid, bytes]]]
"""From a source the blocks to send; when they are through, the roots are in the list, and all beneath them is sound."""


def file_blocks(source: BinaryIO, manifest: Manifest, roots: list[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """The Feed of a file."""
    for cid, block in unixfs.build(source):
        yield cid, block
        manifest.reach(cid)
        roots[:] = [cid]


def car_blocks(source: BinaryIO, manifest: Manifest, roots: list[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """The Feed of a CAR."""
    named = read_header(source)
    yield from read_blocks(source)
    for root in named:
        unixfs.settle(manifest, root)
        manifest.reach(root)
    roots.extend(named)


class Outgoing:
    """A request: leaves as they come, nodes when all is known to be sound, then the roots.

    What may not be removed again in case of need (`is_two_faced`) is held back until then. failed: why there was
    nothing to be pinned; the request then ends without roots, but in order: a node goes on writing after one that was
    broken off, and what it writes then nobody would remove.
    """

    def __init__(self, blocks: Iterable[tuple[Cid, bytes]], manifest: Manifest, is_here: Callable[[Cid], bool]) -> None:
        self._blocks, self._manifest, self._is_here = blocks, manifest, is_here
        self._bytes = 0
        self.failed: Exception | None = None

    def body(self, roots: list[Cid]) -> Iterator[bytes]:
        """Its bytes. `roots` is filled by the time the blocks are through."""
        yield from kubo_rpc.part(self._sections())
        if self.failed is None:
            yield from kubo_rpc.part([header(roots)])
        yield kubo_rpc.end()

    def _sections(self) -> Iterator[bytes]:
        yield no_roots()
        try:
            for cid, block in self._blocks:
                if is_two_faced(cid, block):
                    self._manifest.hold(cid, block)
                elif self._manifest.send(cid, block, spared=self._is_spared(len(block))):
                    yield section_head(cid, block)
                    yield block
        except Exception as reason:  # noqa: BLE001 - raised again when the request has ended
            self.failed = reason
            return
        for cid, block in self._manifest.held():
            # A node keeps the bytes it has over better ones: where it has a node, it may have leaves, and damaged.
            self._manifest.was_here = self._manifest.was_here or (cid.codec != RAW and self._is_here(cid))
            yield section(cid, block)

    def _is_spared(self, length: int) -> bool:
        """Whether the next leaf need not be read back. Secret chance: no node knows which will be asked for."""
        self._bytes += length
        return self._bytes > READ_BACK and secrets.randbelow(SAMPLE) > 0
