# SPDX-License-Identifier: Apache-2.0
"""Reading from several stores: the first that answers with verified bytes, the others where it does not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from threading import Lock
from typing import BinaryIO, Final, cast

from consentum.adapters.ipfs import unixfs
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, CorruptError, NotFoundError, UnavailableError
from consentum.ports.copies import Replica

# For so long a node that failed is asked last.
AVOID_SECONDS: Final = 60.0


class Failover:
    """Reads over `nodes`, each of which verifies what it gives."""

    def __init__(self, nodes: Sequence[Replica], clock: Callable[[], float] = time.monotonic) -> None:
        self._nodes, self._clock = tuple(nodes), clock
        self._avoided: dict[str, float] = {}

    def failed(self, node: Replica) -> None:
        """The node is asked last for a while."""
        self._avoided[node.name] = self._clock() + AVOID_SECONDS

    def order(self) -> list[Replica]:
        """As named, those that failed of late last, and retired ones behind them."""
        return sorted(self._nodes, key=lambda node: (node.retired, self._ill(node)))

    def spread(self, root: Cid) -> list[Replica]:
        """In an order that is `root`'s own, those that failed of late last."""
        own = sorted(self._nodes, key=lambda node: sha256(root.raw + node.name.encode()).digest())
        return sorted(own, key=self._ill)

    def trail(self) -> Trail:
        """A reader of blocks for one purpose."""
        return Trail(self)

    def read(self, cid: Cid, sink: BinaryIO) -> None:
        """The whole file to `sink`: by one node's own way, and from where that failed block by block."""
        counting = _Counting(sink)
        for node in self.order():
            try:
                node.store.read(cid, cast(BinaryIO, counting))
            except ConsentumError as error:
                if not isinstance(error, NotFoundError):
                    self.failed(node)
                if counting.count:
                    break
            else:
                return
        for piece in unixfs.read_range(self.trail(), cid, counting.count, unixfs.MAX_FILE):
            sink.write(piece)

    def has(self, cid: Cid) -> bool:
        """Whether some node has every block under `cid`, or the nodes together do. UnavailableError: perhaps one does
        that does not answer; CorruptError: what one has is damaged, and none of the others has it."""
        silent, corrupt = False, None
        for node in self.order():
            try:
                if node.store.has(cid):
                    return True
            except ConsentumError as error:
                self.failed(node)
                corrupt = error if isinstance(error, CorruptError) else corrupt
                silent |= not isinstance(error, CorruptError)
        if self._together(cid):
            return True
        if silent:
            raise UnavailableError("a node that may have it does not answer")
        if corrupt is not None:
            raise corrupt
        return False

    def _together(self, cid: Cid) -> bool:
        if cid.codec == RAW:
            return False
        try:
            links = unixfs.decode_node(cid, self.trail()(cid))
        except ConsentumError:
            return False
        return all(self.has(child) for child in dict.fromkeys(link.cid for link in links))

    def _ill(self, node: Replica) -> bool:
        return self._avoided.get(node.name, 0.0) > self._clock()


class Trail:
    """`unixfs.Fetch`: asks the node that answered last first, and goes through the others where it fails.

    NotFoundError if no node has the block; UnavailableError if one that may have it does not answer; CorruptError if
    it is damaged wherever it is. Several threads may ask at once.
    """

    def __init__(self, failover: Failover) -> None:
        self._failover, self._order, self._lock = failover, failover.order(), Lock()

    def __call__(self, cid: Cid) -> bytes:
        errors: list[ConsentumError] = []
        for node in list(self._order):
            try:
                return node.store.block(cid)
            except NotFoundError as error:
                errors.append(error)
            except ConsentumError as error:
                errors.append(error)
                self._failover.failed(node)
            with self._lock:
                self._order.remove(node)
                self._order.append(node)
        raise _worst(cid, errors)


class _Counting:
    """A sink that knows how much went into it."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self.count = sink, 0

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        self.count += len(data)
        return len(data)


def _worst(cid: Cid, errors: Sequence[ConsentumError]) -> ConsentumError:
    """What to say where no node gave a block: asking again may help, else it is damaged, else it is not there."""
    if any(not isinstance(error, CorruptError | NotFoundError) for error in errors):
        return UnavailableError(f"block {cid}: a node that may have it does not answer")
    return next((error for error in errors if isinstance(error, CorruptError)), errors[0])
