# SPDX-License-Identifier: Apache-2.0
"""Blocks leave a Kubo node: after a removal, after a refusal, and where a damaged one must make room for a good one.

`block/rm` takes no block that a pin reaches, checked under the lock that imports hold too. But it goes by CID, while
the node keeps blocks by their hash: one set of bytes can be a leaf of one file and a node of another. Whoever may
remove the one must not thereby take the other away, so bytes that can be read both ways go only where neither is
pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Final

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.kubo_pins import KuboPins
from consentum.adapters.ipfs.kubo_rpc import KuboRpc
from consentum.domain.cid import DAG_PB, RAW, Cid
from consentum.errors import CorruptError, MalformedError, NotFoundError, UnavailableError

MAX_NODE: Final = 1 << 17
"""No file node is as long: 1024 links and sizes at their longest come to 64 KiB."""
_BATCH: Final = 1_000
_MOST_PINS: Final = 1_000


def is_two_faced(cid: Cid, block: bytes) -> bool:
    """Whether the bytes of `block` can be a block of another codec too."""
    if cid.codec != RAW:
        return True  # any bytes can be a leaf
    if len(block) > MAX_NODE or not block.startswith(b"\x12"):
        return False
    try:
        unixfs.decode_node(Cid.of(DAG_PB, block), block)
    except CorruptError:
        return False
    return True


class Removal:
    """removing: held while blocks go. An import that was pinned meanwhile is read back once it is free."""

    def __init__(self, rpc: KuboRpc, pins: KuboPins, removing: Lock) -> None:
        self._rpc, self._pins, self._removing = rpc, pins, removing

    def of(self, root: Cid) -> None:
        """Unpins `root` and removes what no other pin reaches; NotFoundError if there is nothing of it to remove.

        If it fails halfway, doing it again goes on where it stopped.
        """
        pinned = self._pins.holds(root)
        if not pinned:
            self._rpc.block(root)  # NotFoundError; a damaged one goes like any other
        plain, doubtful = self._under(root)
        if pinned:
            self._pins.remove(root)
        # The root goes last: as long as it is here, what is left can be found.
        if not self._remove(plain, doubtful[::-1]) and not pinned:
            raise NotFoundError(f"{root} is not pinned here")

    def drop(self, plain: list[Cid]) -> None:
        """Removes those of `plain` blocks that no pin reaches."""
        self._remove(plain, [])

    def make_room(self, roots: Sequence[Cid], damaged: Sequence[Cid], others: list[Cid]) -> None:
        """Unpins what reaches the `damaged` blocks and removes these: a node keeps the bytes it has over better ones.

        Adds to `others` what is to be pinned again beside `roots`, also where it fails halfway.
        """
        with self._removing:
            for root in roots:
                self._pins.remove(root)
            for cid in damaged:
                while (said := self._rm([cid]).get(cid)) is not None:
                    if len(others) == _MOST_PINS:
                        raise UnavailableError(f"the damaged block {cid} is pinned too often to be replaced")
                    other = _pinner(cid, said)
                    others.append(other)
                    self._pins.remove(other)

    def pin_again(self, others: Sequence[Cid]) -> None:
        """Pins what `make_room` unpinned. UnavailableError if one cannot be, after all others are."""
        failed: UnavailableError | None = None
        for other in others:
            try:
                self._pins.add(other)
            except UnavailableError as error:
                failed = error
        if failed is not None:
            raise failed

    def _under(self, root: Cid) -> tuple[list[Cid], list[Cid]]:
        """What lies under `root`, as far as it is here: plain blocks and two-faced ones."""
        plain: list[Cid] = []
        doubtful: list[Cid] = []
        waiting = [unixfs.Link(root, 0, 0)]
        seen = {root}
        while waiting:
            link = waiting.pop()
            if link.cid.codec == RAW and link.size > MAX_NODE:
                plain.append(link.cid)
                continue
            block = self._block(link.cid)
            (doubtful if block is None or is_two_faced(link.cid, block) else plain).append(link.cid)
            if link.cid.codec != RAW and block is not None:
                fresh = {child.cid: child for child in unixfs.decode_node(link.cid, block) if child.cid not in seen}
                seen.update(fresh)
                waiting.extend(fresh.values())
        return plain, doubtful

    def _block(self, cid: Cid) -> bytes | None:
        try:
            block = self._rpc.block(cid)
            cid.verify(block)
        except (NotFoundError, CorruptError):
            return None
        return block

    def _remove(self, plain: list[Cid], doubtful: list[Cid]) -> int:
        """How many blocks went."""
        with self._removing:
            free = [cid for cid in doubtful if not self._pins.covers(_other_face(cid))]
            going = plain + free
            return sum(
                len(batch) - len(self._rm(batch))
                for batch in (going[start : start + _BATCH] for start in range(0, len(going), _BATCH))
            )

    def _rm(self, cids: Sequence[Cid]) -> dict[Cid, str]:
        """Removes those of `cids` that no pin reaches, and says why the others stay."""
        stay: dict[Cid, str] = {}
        told = self._rpc.call("block/rm", [str(cid) for cid in cids], force="true")
        for line in told:
            if line.get("Error"):
                stay[Cid.parse(str(line.get("Hash", "")))] = str(line["Error"])
        return stay


def _other_face(cid: Cid) -> Cid:
    return Cid(bytes((1, DAG_PB if cid.codec == RAW else RAW)) + cid.raw[2:])


def _pinner(cid: Cid, said: str) -> Cid:
    """The root that keeps `cid`, from 'pinned via ROOT' or 'pinned: recursive'."""
    if said.startswith("pinned: recursive"):
        return cid
    try:
        return Cid.parse(said.removeprefix("pinned via "))
    except MalformedError:
        raise UnavailableError(f"the damaged block {cid} is pinned by somebody else") from None
