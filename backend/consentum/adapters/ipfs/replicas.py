# SPDX-License-Identifier: Apache-2.0
"""Several stores as one: what is acknowledged is held by as many of them as asked for, and reads need any one.

Order of a write: refuse bad input here, before a node hears of it; note the intent; write to the nodes and look at
what they hold; acknowledge. A write that dies on the way leaves its note, and the scrubber takes back what it wrote. A
removal notes a debt of every node first, so that a node that is down is asked again until it has paid.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.ahead import Ahead
from consentum.adapters.ipfs.by_block import ByBlock
from consentum.adapters.ipfs.car import header, read_header
from consentum.adapters.ipfs.failover import Failover
from consentum.adapters.ipfs.spool import Pieces, Spool, as_file
from consentum.adapters.ipfs.upload import Upload
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, CorruptError, MalformedError, NotFoundError, UnavailableError
from consentum.ports.content import ContentStore
from consentum.ports.copies import CopyLedger, CopyState, LostError, Replica

log = logging.getLogger("consentum.replicas")
WORKERS: Final = 4
LOCK_SECONDS: Final = 30.0
# Of what a node says it holds so many roots, and so many blocks of each, are read back before it counts.
SAMPLES: Final = 8
_NOTHING: Final = Cid.of(RAW, b"")
Send = Callable[[ContentStore], Sequence[Cid]]


class ReplicaStore(ByBlock):
    """`ports.content.ContentStore` over `nodes`. A put returns when `copies` distinct nodes hold the file.

    folder: where input is kept while it is written. services: further holders, by name, from which what is removed must
    go too. UnavailableError if fewer than `copies` nodes take a file: then it is taken back from those that did.
    """

    def __init__(
        self, nodes: Sequence[Replica], copies: int, ledger: CopyLedger, folder: Path, services: Sequence[str] = ()
    ) -> None:
        if not 1 <= copies <= sum(not node.retired for node in nodes) or len({n.name for n in nodes}) != len(nodes):
            raise MalformedError("a set of replicas has distinct names, and as many nodes as copies or more")
        self.nodes, self.copies, self.ledger = tuple(nodes), copies, ledger
        self.folder, self._services = folder, tuple(services)
        self._reads = Failover(self.nodes)
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="replicas")
        self._closed = False

    def put(self, source: BinaryIO) -> Cid:
        """See the port."""
        self._must_be_open()
        with Spool(source, self.folder) as spool:
            root = unixfs.cid_of(spool.open())
            self._write([root], lambda store: [store.put(spool.open())])
        return root

    def put_car(self, car: BinaryIO) -> list[Cid]:
        """See the port. What a root leans on is read from whichever node has it, and written with it."""
        self._must_be_open()
        with Spool(car, self.folder) as spool:
            roots = read_header(spool.open())
            upload = Upload(spool, len(header(roots)), self.block)
            for root in roots:
                unixfs.settle(upload, root)
            self._write(roots, lambda store: store.put_car(as_file(Pieces(lambda: upload.car(roots)))))
        return roots

    def block(self, cid: Cid) -> bytes:
        """See the port."""
        self._must_be_open()
        return self._reads.trail()(cid)

    def read(self, cid: Cid, sink: BinaryIO) -> None:
        """See the port. One node reads as fast as it can; where it fails the others go on, block by block."""
        self._must_be_open()
        self._reads.read(cid, sink)

    def read_at(self, cid: Cid, offset: int, length: int) -> bytes:
        """See the port."""
        self._must_be_open()
        if offset < 0 or length < 0:
            raise MalformedError("an offset or a length is negative")
        return b"".join(unixfs.read_range(self._reads.trail(), cid, offset, offset + length))

    def _walking(self) -> unixfs.Fetch:
        return Ahead(self._reads.trail(), self._pool)

    def has(self, cid: Cid) -> bool:
        """See the port. Also true where no node has every block, but together they do."""
        self._must_be_open()
        return self._reads.has(cid)

    def remove(self, root: Cid) -> None:
        """See the port. A node that does not answer owes the removal, which is then done by the scrubber.

        UnavailableError: somebody writes it just now; or a node is down, none of the others had it, and it was never
        acknowledged here: the removal is owed all the same.
        """
        self._must_be_open()
        with self.ledger.hold([root], alone=True, seconds=LOCK_SECONDS):
            before = self.ledger.state(root)
            self.ledger.leave([root], self._holders())
            found = self._collect(root)
        if before == CopyState.KEPT or any(found):
            return
        if None in found and before != CopyState.LEAVING:
            raise UnavailableError("a node that does not answer may have it; it will be removed there")
        raise NotFoundError(f"{root} is not here")

    def take_back(self, root: Cid) -> None:
        """Removes what was written of a record that was never acknowledged, unless somebody writes it just now."""
        with suppress(UnavailableError), self.ledger.hold([root], alone=True, seconds=0):
            if self.ledger.state(root) == CopyState.WRITING:
                self.ledger.leave([root], self._holders())
                self._collect(root)

    def heal(self, root: Cid, node: Replica) -> None:
        """Writes the record to `node` again, from whichever nodes have it, every block verified before `node` hears of
        it. LostError if they do not have it all, UnavailableError if perhaps one that is silent has; what `node` itself
        raises where it does not take it."""
        with TemporaryFile(dir=self.folder) as file:
            try:
                self.export_car([root], file)
            except (NotFoundError, CorruptError) as error:
                raise LostError(str(error)) from None
            file.seek(0)
            check(node.store, [root], node.store.put_car(file))

    def answering(self) -> int:
        """How many of the nodes that are written to answer now."""

        def answers(node: Replica) -> bool:
            try:
                node.store.has(_NOTHING)
            except ConsentumError:
                return False
            return True

        nodes = [node for node in self.nodes if not node.retired]
        with ThreadPoolExecutor(len(nodes)) as pool:
            return sum(pool.map(answers, nodes))

    def candidates(self, root: Cid) -> list[Replica]:
        """The nodes in the order in which they are asked to hold `root`: another one for each record."""
        return [node for node in self._reads.spread(root) if not node.retired]

    def close(self) -> None:
        """See the port. Closes the nodes' stores and the ledger too."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for node in self.nodes:
            node.store.close()
        self.ledger.close()

    def _collect(self, root: Cid) -> list[bool | None]:
        """Removes `root`, of which it is noted that it should go, from every node: whether each had it, None where it
        could not be asked. Only while the record is held alone."""

        def ask(node: Replica) -> bool | None:
            try:
                node.store.remove(root)
            except NotFoundError:
                had = False
            except ConsentumError as error:
                log.warning("a node owes a removal: %s", error.code)
                return None
            else:
                had = True
            self.ledger.paid(root, node.name)
            return had

        with ThreadPoolExecutor(len(self.nodes)) as pool:
            return list(pool.map(ask, self.nodes))

    def _holders(self) -> list[str]:
        return [*(node.name for node in self.nodes), *self._services]

    def _must_be_open(self) -> None:
        if self._closed:
            raise UnavailableError("the content store is closed")

    def _write(self, roots: Sequence[Cid], send: Send) -> None:
        with self.ledger.hold(roots, alone=False, seconds=LOCK_SECONDS):
            self.ledger.begin(roots)
            holding = self._send(roots, send)
            if len(holding) >= self.copies:
                self.ledger.keep(roots, holding)
                return
        for root in roots:
            self.take_back(root)
        raise UnavailableError(f"{len(holding)} of {self.copies} nodes took it; nothing was kept")

    def _send(self, roots: Sequence[Cid], send: Send) -> list[str]:
        """Writes to nodes until enough hold it or none is left; the names of those that do."""
        spare, holding = list(reversed(self.candidates(roots[0]))), list[str]()

        def one(node: Replica) -> str:
            check(node.store, roots, send(node.store))
            return node.name

        with ThreadPoolExecutor(self.copies) as pool:
            running: dict[Future[str], Replica] = {}
            while len(holding) < self.copies and (spare or running):
                while spare and len(holding) + len(running) < self.copies:
                    node = spare.pop()
                    running[pool.submit(one, node)] = node
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    node = running.pop(done)
                    try:
                        holding.append(done.result())
                    except ConsentumError as error:
                        log.warning("a node did not take a record: %s", error.code)
                        self._reads.failed(node)
        return holding


def check(store: ContentStore, roots: Sequence[Cid], answered: Sequence[Cid]) -> None:
    """CorruptError, NotFoundError if a node acknowledged something else, or does not have what it acknowledged. Looks
    at some; the scrubber looks at everything."""
    if list(answered) != list(roots):
        raise CorruptError("a node acknowledged other content")
    for root in roots if len(roots) <= SAMPLES else random.sample(list(roots), SAMPLES):
        if not store.has(root):
            raise NotFoundError(f"{root} was acknowledged by a node that does not have it")
        size = store.size(root)
        for _ in range(SAMPLES if size > unixfs.MAX_BLOCK else 1):
            store.read_at(root, random.randrange(max(size, 1)), 1)  # noqa: S311 — where to look is no secret
