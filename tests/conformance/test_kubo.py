# SPDX-License-Identifier: Apache-2.0
"""Real Kubo nodes: the names they give are ours, blocks go from one to another, and what was acknowledged stays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.domain.cid import RAW, Cid
from consentum.errors import UnavailableError
from scripts.demonstration.kubo import KuboNode
from tests.fakes.content import exported, whole
from tests.kubo import KuboBench, NewKubo, Pattern

pytestmark = pytest.mark.processes

MIB = 1 << 20
ROOT = Path(__file__).resolve().parents[2]


def only_hash(node: KuboNode, size: int) -> str:
    """The name that the node itself would give to the pattern."""
    command = [node.program, "add", "--only-hash", "--quieter"]
    environment = {**os.environ, "IPFS_PATH": str(node.folder), "IPFS_TELEMETRY": "off"}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as adding:
        assert adding.stdin is not None
        assert adding.stdout is not None
        source = Pattern(size)
        while chunk := source.read(MIB):
            adding.stdin.write(chunk)
        adding.stdin.close()
        return adding.stdout.read().decode().strip()


@pytest.fixture
def store(kubo: KuboNode) -> Iterator[KuboStore]:
    made = KuboStore(kubo.rpc_url)
    yield made
    made.close()


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 50 * MIB])
def test_a_file_has_the_name_that_the_node_itself_would_give_it(kubo: KuboNode, store: KuboStore, size: int) -> None:
    root = store.put(Pattern(size))
    assert str(root) == only_hash(kubo, size)
    store.remove(root)


def test_two_gibibytes_have_the_nodes_own_name_and_pass_through_constant_memory(kubo: KuboNode) -> None:
    command = [sys.executable, "-m", "tests.kubo", kubo.rpc_url, str(2 << 30)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'backend'}{os.pathsep}{ROOT}"}
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        expected = only_hash(kubo, 2 << 30)
        assert child.stdout is not None
        root, grown = child.stdout.read().split()
    assert root == expected
    assert int(grown) <= 64 * 1024  # KiB
    KuboStore(kubo.rpc_url).remove(Cid.parse(root))


def test_files_go_as_cars_from_the_embedded_store_to_kubo_and_back(store: KuboStore, tmp_path: Path) -> None:
    embedded = EmbeddedStore(tmp_path / "content.db")
    roots = [embedded.put(Pattern(size)) for size in (3 * MIB + 1, 5)]
    car = exported(embedded, *roots)
    assert store.put_car(BytesIO(car)) == roots
    for root in roots:
        embedded.remove(root)
    assert exported(store, *roots) == car
    assert embedded.put_car(BytesIO(exported(store, *roots))) == roots
    assert whole(embedded, roots[0]) == Pattern(3 * MIB + 1).read()
    embedded.close()


def test_a_file_put_on_one_node_is_read_on_another_when_the_first_is_gone(new_kubo: NewKubo, kubo: KuboNode) -> None:
    first = new_kubo()
    here, there = KuboStore(first.rpc_url), KuboStore(kubo.rpc_url)
    root = here.put(Pattern(3 * MIB + 7))
    assert not there.has(root)
    kubo.connect(first)
    kubo.call("pin/add", arg=str(root))
    first.stop()
    assert there.has(root)
    assert whole(there, root) == Pattern(3 * MIB + 7).read()
    with pytest.raises(UnavailableError):
        here.block(root)


class Meddling(Pattern):
    """Does something when half of it has been read."""

    def __init__(self, size: int, meddle: threading.Thread) -> None:
        super().__init__(size)
        self._half, self._meddle = size // 2, meddle

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self._half and self._meddle.ident is None:
            self._meddle.start()
        return super().read(size)


def test_garbage_collection_in_the_middle_of_a_put_takes_nothing_of_it(kubo: KuboNode, store: KuboStore) -> None:
    collection = threading.Thread(target=kubo.call, args=("repo/gc",))
    # More than the 128 blocks after which the node writes what it has: without its lock these would be garbage.
    root = store.put(Meddling(300 * MIB, collection))
    collection.join()
    assert store.has(root)
    kubo.call("repo/gc")
    assert store.has(root)
    assert [store.read_at(root, at, 9) for at in (0, 299 * MIB)] == [
        Pattern(300 * MIB).at(at, 9) for at in (0, 299 * MIB)
    ]
    store.remove(root)


def test_a_node_killed_in_the_middle_of_a_put_keeps_what_was_acknowledged(new_kubo: NewKubo) -> None:
    node = new_kubo()
    store = KuboStore(node.rpc_url, timeout=10)
    kept = [store.put(BytesIO(Pattern(2 * MIB).read() + b"%d" % i)) for i in range(3)]
    source = Meddling(200 * MIB, threading.Thread(target=node.kill))
    with pytest.raises(UnavailableError):
        store.put(source)
    again = KuboNode.start(node.folder, node.program)
    try:
        for i, root in enumerate(kept):
            assert whole(store, root) == Pattern(2 * MIB).read() + b"%d" % i
        assert whole(store, store.put(Pattern(3 * MIB))) == Pattern(3 * MIB).read()
    finally:
        again.stop()


def test_a_damaged_block_that_two_files_share_is_mended_and_both_stay_pinned(kubo: KuboNode, store: KuboStore) -> None:
    shared = Pattern(2 * MIB).read()
    one, other = (store.put(BytesIO(shared + tail)) for tail in (b"one", b"other"))
    hurt = Cid.of(RAW, shared[:MIB])
    KuboBench(kubo, store).plant(hurt, b"ransom")
    assert store.put(BytesIO(shared + b"one")) == one
    kubo.call("repo/gc")
    assert whole(store, one) == shared + b"one"
    assert whole(store, other) == shared + b"other"
    for root in (one, other):
        store.remove(root)


def test_removing_a_leaf_that_spells_out_anothers_node_does_not_take_the_node(store: KuboStore) -> None:
    victim = store.put(Pattern(2 * MIB))
    spelled = store.put(BytesIO(store.block(victim)))
    assert spelled.codec == RAW
    assert spelled.digest == victim.digest
    store.remove(spelled)
    assert store.has(victim)
    store.put(BytesIO(store.block(victim)))
    store.remove(victim)
    assert store.has(spelled)
    store.remove(spelled)
    assert not store.has(spelled)


def test_a_refused_car_as_large_as_a_node_writes_at_once_leaves_no_block(kubo: KuboNode, store: KuboStore) -> None:
    before = kubo.call("refs/local")
    blocks = list(unixfs.build(Pattern(200 * MIB)))

    class Broken(Pattern):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() >= 180 * MIB:
                raise OSError("the line went dead")
            return super().read(size)

    with pytest.raises(OSError, match="dead"):
        store.put(Broken(200 * MIB))
    assert sorted(kubo.call("refs/local").splitlines()) == sorted(before.splitlines())
    assert not store.has(blocks[-1][0])
