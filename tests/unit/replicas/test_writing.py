# SPDX-License-Identifier: Apache-2.0
"""A record is acknowledged when enough nodes hold it; what is not acknowledged leaves nothing."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.ipfs.unixfs import Link
from consentum.adapters.store.copies import CopyBook
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, MalformedError, NotFoundError, UnavailableError
from consentum.flow.gateway.scrub import Scrubber
from consentum.ports.copies import CopyState, Replica
from tests.fakes.content import MemoryContentStore, car_of, exported, node, whole
from tests.fakes.replicas import Replicas
from tests.unit.replicas.conftest import Make

STORES = ("copies", "blocks-0", "blocks-1", "blocks-2")
LEFT_BY_SQLITE = {f"{name}.db-{end}" for name in STORES for end in ("wal", "shm")}
DATA = bytes(range(256)) * 12_000


def test_a_record_is_on_every_node_once_it_is_acknowledged(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    assert [whole(bench.store, root) for bench in three.benches] == [DATA] * 3
    assert three.ledger.state(root) == CopyState.KEPT
    assert three.ledger.tally(["node-0", "node-1", "node-2"], 3).missing == 0


@pytest.mark.parametrize("put", ["put", "put_car"])
def test_with_a_node_down_and_no_other_nothing_is_acknowledged_and_nothing_stays(three: Replicas, put: str) -> None:
    three.nodes[1].down("put", "put_car")
    blocks = dict(unixfs.build(BytesIO(DATA)))
    source = BytesIO(DATA) if put == "put" else car_of(blocks, list(blocks)[-1])
    with pytest.raises(UnavailableError, match="2 of 3"):
        getattr(three.store, put)(source)
    assert three.held() == set()
    assert three.ledger.state(list(blocks)[-1]) is None


def test_a_node_that_is_down_is_passed_over_while_others_are_left(make: Make) -> None:
    five = make(5, 3)
    for dead in (0, 3):
        five.nodes[dead].down()
    root = five.store.put(BytesIO(DATA))
    holding = [n for n in (1, 2, 4) if five.benches[n].held()]
    assert holding == [1, 2, 4]
    five.nodes[1].down()
    with pytest.raises(UnavailableError, match="2 of 3"):
        five.store.put(BytesIO(b"another"))
    assert five.ledger.find(root) is not None


def test_records_spread_over_all_nodes(make: Make) -> None:
    five = make(5, 2)
    for number in range(20):
        five.store.put(BytesIO(b"%d" % number))
    counts = [len(bench.held()) for bench in five.benches]
    assert sum(counts) == 40
    assert min(counts) > 0


class Liar(MemoryContentStore):
    """Acknowledges everything and keeps nothing."""

    def put(self, source: object) -> Cid:
        return unixfs.cid_of(source)  # type: ignore[arg-type]


class Forger(MemoryContentStore):
    """Keeps everything under its name, and other bytes."""

    def put(self, source: object) -> Cid:
        root = super().put(source)  # type: ignore[arg-type]
        leaf = next(cid for cid in self.blocks if cid.codec == RAW)
        self.blocks[leaf] = b"encrypted" * 9
        return root


class Confused(MemoryContentStore):
    """Acknowledges something else."""

    def put(self, source: object) -> Cid:
        super().put(source)  # type: ignore[arg-type]
        return super().put(BytesIO(b"else"))


@pytest.mark.parametrize("kind", [Liar, Forger, Confused])
def test_a_node_that_only_says_it_holds_a_record_does_not_count(tmp_path: Path, kind: type[MemoryContentStore]) -> None:
    good = MemoryContentStore()
    named = [Replica("good", good), Replica("bad", kind())]
    store = ReplicaStore(named, 2, CopyBook(tmp_path / "copies.db"), tmp_path)
    with pytest.raises(UnavailableError, match="1 of 2"):
        store.put(BytesIO(b"a record"))
    assert good.blocks == {}
    store.close()


def test_bad_input_is_refused_before_a_node_hears_of_it(three: Replicas) -> None:
    leaf = Cid.of(RAW, b"four")
    root, block = node(Link(leaf, 4, 4))
    for switch in three.nodes:
        switch.down("put", "put_car")
    with pytest.raises(CorruptError, match=str(leaf)):
        three.store.put_car(car_of({root: block}, root))
    with pytest.raises(CorruptError):
        three.store.put_car(BytesIO(car_of({leaf: b"four"}, leaf).getvalue()[:-1]))
    with pytest.raises(MalformedError):
        three.store.put_car(BytesIO(b"\x02\x01\x01"))
    assert three.ledger.writing() == []


def test_what_a_car_leans_on_reaches_nodes_that_do_not_have_it(make: Make) -> None:
    five = make(5, 1)
    leaf = five.store.put(BytesIO(b"four"))
    for times in range(1, 6):
        root, block = node(*[Link(leaf, 4, 4)] * times)
        assert five.store.put_car(car_of({root: block}, root)) == [root]
        assert whole(five.store, root) == b"four" * times
        assert sum(bench.store.has(root) for bench in five.benches) == 1


def test_putting_again_what_is_kept_takes_nothing_back_when_it_fails(three: Replicas) -> None:
    root = three.store.put(BytesIO(DATA))
    three.nodes[0].down("put")
    with pytest.raises(UnavailableError):
        three.store.put(BytesIO(DATA))
    assert three.ledger.state(root) == CopyState.KEPT
    assert [bench.store.has(root) for bench in three.benches] == [True] * 3


def test_a_write_that_died_half_way_is_taken_back_by_the_scrubber(three: Replicas) -> None:
    root = three.benches[0].store.put(BytesIO(DATA))
    three.ledger.begin([root])
    with three.ledger.hold([root], alone=False, seconds=0):
        Scrubber(three.replicas, 0).tend()
        assert three.benches[0].store.has(root), "somebody is still writing it"
    Scrubber(three.replicas, 0).tend()
    assert three.held() == set()
    assert three.ledger.state(root) is None


def test_a_write_that_failed_while_a_node_hung_leaves_nothing_when_that_is_back(three: Replicas) -> None:
    root = unixfs.cid_of(BytesIO(DATA))
    three.nodes[2].down("put")
    three.nodes[0].down("remove")
    with pytest.raises(UnavailableError):
        three.store.put(BytesIO(DATA))
    assert three.ledger.owed("node-0", 9) == [root]
    three.nodes[0].up()
    assert Scrubber(three.replicas, 0).tend() == 1
    assert three.held() == set()
    assert three.ledger.state(root) is None


def test_a_file_on_disk_is_read_where_it_is_and_to_its_end(three: Replicas, tmp_path: Path) -> None:
    path, stores = tmp_path / "record", {entry.name for entry in tmp_path.iterdir()}
    path.write_bytes(b"skipped" + DATA)
    with path.open("rb") as source:
        source.seek(7)
        root = three.store.put(source)
        assert source.read() == b""
    assert whole(three.store, root) == DATA
    with path.open("wb") as sink:
        three.store.export_car([root], sink)
    with path.open("rb") as source:
        assert three.store.put_car(source) == [root]
    assert {entry.name for entry in tmp_path.iterdir()} - {"record"} <= stores | LEFT_BY_SQLITE


def test_sets_that_cannot_keep_their_promise_are_refused(tmp_path: Path) -> None:
    one = Replica("one", MemoryContentStore())
    ledger = CopyBook(tmp_path / "copies.db")
    for nodes, copies in (([one], 2), ([one, one], 1), ([one], 0), ([], 0)):
        with pytest.raises(MalformedError):
            ReplicaStore(nodes, copies, ledger, tmp_path)
    ledger.close()


def test_a_car_goes_from_a_set_to_a_single_store_and_back(three: Replicas) -> None:
    root, single = three.store.put(BytesIO(DATA)), MemoryContentStore()
    assert single.put_car(BytesIO(exported(three.store, root))) == [root]
    three.store.remove(root)
    with pytest.raises(NotFoundError):
        three.store.size(root)
    assert three.store.put_car(BytesIO(exported(single, root))) == [root]
