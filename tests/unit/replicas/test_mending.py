# SPDX-License-Identifier: Apache-2.0
"""How damaged copies are replaced: never at the cost of a good block, also where a node stumbles over what it has."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, UnavailableError
from consentum.flow.gateway.scrub import Scrubber
from consentum.ports.copies import Replica
from tests.fakes.content import MemoryContentStore, whole
from tests.fakes.copies import MemoryCopyLedger
from tests.fakes.replicas import Replicas

MIB = 1 << 20
DATA = b"".join(bytes([n]) * MIB for n in range(3))


class Stubborn(MemoryContentStore):
    """Takes nothing while anything that it holds is damaged, as a node does that walks all its pins."""

    def put_car(self, car: BinaryIO) -> list[Cid]:
        for cid, block in self.blocks.items():
            try:
                cid.verify(block)
            except ConsentumError:
                raise UnavailableError("a pin is broken") from None
        return super().put_car(car)


def test_a_node_whose_every_record_is_damaged_is_mended_in_one_pass(tmp_path: Path) -> None:
    stores = [Stubborn(), Stubborn(), MemoryContentStore()]
    named = [Replica(f"node-{number}", store) for number, store in enumerate(stores)]
    replicas = ReplicaStore(named, 3, MemoryCopyLedger(), tmp_path)
    roots = [replicas.put(BytesIO(DATA + bytes([n]))) for n in range(4)]
    for store in stores[:2]:
        store.blocks = dict.fromkeys(store.blocks, b"ransom")
    report = Scrubber(replicas, 0).full()
    assert (report.records, report.copies, report.healed, report.missing, report.lost) == (4, 12, 8, 0, [])
    assert all(whole(store, root) == DATA + bytes([n]) for store in stores for n, root in enumerate(roots))


def test_a_node_that_never_takes_its_copy_is_told_of_as_missing_it_once(tmp_path: Path) -> None:
    stores = [MemoryContentStore(), MemoryContentStore()]
    named = [Replica(f"node-{number}", store) for number, store in enumerate(stores)]
    replicas = ReplicaStore(named, 2, MemoryCopyLedger(), tmp_path)
    for n in range(3):
        replicas.put(BytesIO(b"%d" % n))
    stores[0].blocks.clear()
    stores[0].put_car = lambda car: 1 / 0 if car is None else _full()  # type: ignore[method-assign]
    report = Scrubber(replicas, 0).full()
    assert (report.records, report.healed, report.missing, report.lost) == (3, 0, 3, [])
    assert Scrubber(replicas, 0).tally().missing == 3


def _full() -> list[Cid]:
    raise UnavailableError("its disk is full")


def test_no_copy_is_cleared_away_before_another_is_whole(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    for number, bench in enumerate(three.benches):
        bench.plant(Cid.of(RAW, bytes([number]) * MIB), b"ransom")
    for switch in three.nodes:
        switch.calls.clear()
    report = Scrubber(three.replicas, 0).full()
    assert (report.healed, report.missing, report.lost) == (3, 0, [])
    first = min(three.nodes, key=lambda switch: switch.calls.count("remove"))
    assert first.calls.count("remove") == 0, "the first to be mended had a block that no other had"
    assert [whole(bench.store, root) for bench in three.benches] == [DATA] * 3
