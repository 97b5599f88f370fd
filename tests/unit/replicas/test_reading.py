# SPDX-License-Identifier: Apache-2.0
"""Reads need one good copy of each block, wherever it is; who fails costs time and is asked last for a while."""

from __future__ import annotations

from io import BytesIO

import pytest

from consentum.adapters.ipfs.failover import AVOID_SECONDS, Failover
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, NotFoundError, UnavailableError
from consentum.ports.copies import Replica
from tests.fakes.content import exported, whole
from tests.fakes.replicas import Replicas

MIB = 1 << 20
DATA = b"".join(bytes([n]) * MIB for n in range(3))
LEAVES = [Cid.of(RAW, bytes([n]) * MIB) for n in range(3)]


def test_a_file_is_put_together_from_nodes_that_each_lost_another_block(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    car = exported(three.store, root)
    for bench, leaf in zip(three.benches, LEAVES, strict=True):
        bench.drop(leaf)
    assert not any(bench.store.has(root) for bench in three.benches)
    assert three.store.has(root)
    assert whole(three.store, root) == DATA
    assert exported(three.store, root) == car
    assert three.store.read_at(root, MIB - 5, 2 * MIB) == DATA[MIB - 5 : 3 * MIB - 5]


def test_flipped_blocks_never_reach_the_reader(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    for bench, leaf in zip(three.benches, LEAVES, strict=True):
        bench.plant(leaf, b"\xff" * MIB)
    assert whole(three.store, root) == DATA
    three.plant(LEAVES[1], b"\xff" * MIB)
    sink = BytesIO()
    with pytest.raises(CorruptError, match=str(LEAVES[1])):
        three.store.read(root, sink)
    assert sink.getvalue() == DATA[:MIB]


def test_one_node_of_three_is_enough_to_read(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    for switch in three.nodes[:2]:
        switch.down()
    assert (three.store.has(root), three.store.size(root)) == (True, len(DATA))
    assert whole(three.store, root) == DATA


def test_a_node_that_dies_in_the_middle_of_a_file_is_followed_by_another(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    three.benches[0].drop(LEAVES[1])
    assert whole(three.store, root) == DATA


def test_whoever_failed_is_asked_last_until_some_time_has_passed() -> None:
    now = [0.0]
    nodes = [Replica(name, None) for name in "abc"]  # type: ignore[arg-type]
    failover = Failover(nodes, lambda: now[0])
    failover.failed(nodes[0])
    assert [node.name for node in failover.order()] == ["b", "c", "a"]
    assert failover.spread(LEAVES[0])[-1].name == "a"
    now[0] = AVOID_SECONDS
    assert [node.name for node in failover.order()] == ["a", "b", "c"]


def test_a_dead_node_is_not_asked_by_the_next_read(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    three.nodes[0].down()
    assert whole(three.store, root) == DATA
    three.nodes[0].up()
    three.nodes[0].calls.clear()
    assert whole(three.store, root) == DATA
    assert three.nodes[0].calls == []


def test_a_node_that_failed_at_one_block_is_not_asked_for_the_next(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    three.nodes[0].down("block")
    assert three.store.read_at(root, 0, 5) == DATA[:5]
    three.nodes[0].up()
    three.nodes[0].calls.clear()
    assert three.store.read_at(root, MIB, 5) == DATA[MIB : MIB + 5]
    assert three.nodes[0].calls == []


def test_what_a_silent_node_may_have_is_not_called_absent(three: Replicas) -> None:
    absent = Cid.of(RAW, b"absent")
    three.nodes[1].down()
    for call in (three.store.has, three.store.size, three.store.block):
        with pytest.raises(UnavailableError):
            call(absent)
    three.nodes[1].up()
    assert not three.store.has(absent)
    with pytest.raises(NotFoundError):
        three.store.size(absent)


def test_damage_on_some_and_absence_on_others_is_said_to_be_damage(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    three.benches[0].plant(LEAVES[0], b"flipped")
    for bench in three.benches[1:]:
        bench.drop(LEAVES[0])
    with pytest.raises(CorruptError, match=str(LEAVES[0])):
        whole(three.store, root)
