# SPDX-License-Identifier: Apache-2.0
"""Three real Kubos in repositories of their own: whatever befalls two of them, nothing is lost; what is refused or
removed is gone, also where a node was dead meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from threading import Event, Thread
from typing import Any, BinaryIO

import httpx
import pytest
from click.testing import CliRunner

from consentum.adapters.ipfs.kubo import KuboStore
from consentum.adapters.ipfs.unixfs import cid_of
from consentum.cli.main import cli
from consentum.domain.cid import Cid
from consentum.errors import UnavailableError
from consentum.flow.gateway.scrub import Scrubber
from consentum.settings import GatewaySettings
from consentum.wiring.content import content_store, why_not_content
from scripts.demonstration.kubo import KuboNode
from tests.fakes.content import whole
from tests.fakes.replicas import Replicas
from tests.kubo import KuboBench, program

pytestmark = pytest.mark.processes
MIB = 1 << 20
RECORDS = [os.urandom(2 * MIB + n) for n in range(1, 4)]


class Cluster:
    """Three nodes that can be ended and started again, and the set over them."""

    def __init__(self, folder: Path) -> None:
        self.nodes = [KuboNode.start(folder / f"node-{number}", program()) for number in range(3)]
        self._own = set[Path]()
        self._own = set.union(*(self.files(number) for number in range(3)))

    def open(self, folder: Path, timeout: float = 30.0) -> Replicas:
        return Replicas(folder, [KuboBench(node, KuboStore(node.rpc_url, timeout)) for node in self.nodes])

    def restart(self, number: int) -> None:
        """Stops it, unless it is dead already, and starts it on the same repository under the same addresses."""
        self.nodes[number].stop()
        self.nodes[number] = KuboNode.start(self.nodes[number].folder, program())

    def files(self, number: int) -> set[Path]:
        """Those of blocks, but for what a new node has of its own."""
        return set((self.nodes[number].folder / "blocks").glob("*/*.data")) - self._own

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.stop()


@pytest.fixture
def three(cluster: Cluster, tmp_path: Path) -> Iterator[Replicas]:
    made = cluster.open(tmp_path)
    yield made
    made.close()


def wipe(cluster: Cluster, number: int) -> None:
    """An empty repository in the place of a full one."""
    cluster.nodes[number].stop()
    for part in ("blocks", "datastore"):
        shutil.rmtree(cluster.nodes[number].folder / part)
    cluster.restart(number)


def encrypt(cluster: Cluster, number: int) -> None:
    """Ransom: every block's file holds noise."""
    for file in cluster.files(number):
        file.write_bytes(os.urandom(file.stat().st_size))


def flip(cluster: Cluster, number: int) -> None:
    """One bit of every block."""
    for file in cluster.files(number):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)


def collect(cluster: Cluster, number: int) -> None:
    """Somebody unpins everything, and the node's own collection of garbage does the rest."""
    node = cluster.nodes[number]
    for pin in pins(node):
        node.call("pin/rm", arg=pin)
    node.call("repo/gc")


def pins(node: KuboNode) -> list[str]:
    answer = httpx.post(f"{node.rpc_url}/api/v0/pin/ls?type=recursive", timeout=60, trust_env=False)
    return list(answer.json().get("Keys", {}))


@pytest.mark.parametrize("harm", [wipe, encrypt, flip, collect])
def test_harm_to_two_of_three_nodes_loses_nothing_and_is_mended(
    cluster: Cluster, three: Replicas, harm: Callable[[Cluster, int], None]
) -> None:
    roots = [three.store.put(BytesIO(data)) for data in RECORDS]
    for number in (0, 1):
        harm(cluster, number)
    assert [whole(three.store, root) for root in roots] == RECORDS
    report = Scrubber(three.replicas, 0).full()
    assert (report.records, report.missing, report.lost) == (3, 0, [])
    assert report.healed == 6
    for bench, node in zip(three.benches, cluster.nodes, strict=True):
        assert [whole(bench.store, root) for root in roots] == RECORDS
        assert {str(root) for root in roots} <= set(pins(node))


def test_collections_of_garbage_take_nothing_that_is_being_written(cluster: Cluster, three: Replicas) -> None:
    done = Event()

    def collect_always(node: KuboNode) -> None:
        while not done.is_set():
            node.call("repo/gc")

    threads = [Thread(target=collect_always, args=(node,)) for node in cluster.nodes]
    for thread in threads:
        thread.start()
    try:
        roots = [three.store.put(BytesIO(data)) for data in RECORDS]
    finally:
        done.set()
        for thread in threads:
            thread.join()
    for bench in three.benches:
        assert [whole(bench.store, root) for root in roots] == RECORDS


class Deadly:
    """A store whose node is killed in the middle of what it is given."""

    def __init__(self, store: Any, kill: Callable[[], None]) -> None:
        self._store, self._kill = store, kill

    def put(self, source: BinaryIO) -> Cid:
        first = source.read(5 * MIB)

        class Rest(BytesIO):
            def read(inner, size: int | None = -1, /) -> bytes:  # noqa: N805 - self is taken
                piece = super().read(size)
                if not piece:
                    self._kill()
                    return source.read(size)
                return piece

            def seekable(inner) -> bool:  # noqa: N805 - self is taken
                return False

        root: Cid = self._store.put(Rest(first))
        return root

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_node_that_is_killed_while_it_imports_leaves_nothing_behind(cluster: Cluster, three: Replicas) -> None:
    data = os.urandom(40 * MIB)
    three.nodes[1].inner = Deadly(three.nodes[1].inner, cluster.nodes[1].kill)
    with pytest.raises(UnavailableError, match="2 of 3"):
        three.store.put(BytesIO(data))
    assert cluster.nodes[1].process.poll() == -signal.SIGKILL
    assert three.benches[0].held() == three.benches[2].held() == set()
    cluster.restart(1)
    scrubber = Scrubber(three.replicas, 0)
    scrubber.tend()
    assert scrubber.tally().owed == 0
    assert str(cid_of(BytesIO(data))) not in pins(cluster.nodes[1])
    three.nodes[1].inner = three.benches[1].store
    root = three.store.put(BytesIO(data))
    assert [whole(bench.store, root) == data for bench in three.benches] == [True] * 3


def test_what_was_removed_while_a_node_was_dead_goes_when_it_is_back(cluster: Cluster, three: Replicas) -> None:
    roots = [three.store.put(BytesIO(data)) for data in RECORDS]
    cluster.nodes[2].kill()
    assert whole(three.store, roots[0]) == RECORDS[0]
    three.store.remove(roots[0])
    scrubber = Scrubber(three.replicas, 0)
    scrubber.tend()
    assert scrubber.tally().owed == 1
    cluster.restart(2)
    before = len(cluster.files(2))
    assert scrubber.tend() == 1
    assert before - len(cluster.files(2)) == 4
    assert [whole(bench.store, roots[1]) for bench in three.benches] == [RECORDS[1]] * 3


def test_a_node_that_hangs_is_read_past_and_then_not_asked(cluster: Cluster, tmp_path: Path) -> None:
    three = cluster.open(tmp_path, timeout=1.0)
    root = three.store.put(BytesIO(RECORDS[0]))
    os.kill(cluster.nodes[0].pid, signal.SIGSTOP)
    try:
        assert whole(three.store, root) == RECORDS[0]
        three.nodes[0].calls.clear()
        assert whole(three.store, root) == RECORDS[0]
        assert three.nodes[0].calls == []
    finally:
        os.kill(cluster.nodes[0].pid, signal.SIGCONT)
    three.close()


def test_a_gateway_with_three_nodes_keeps_and_scrubs_and_says_when_it_cannot(cluster: Cluster, tmp_path: Path) -> None:
    settings = GatewaySettings(
        rpc="http://127.0.0.1:9",
        deployment="d.json",
        port=7010,
        endpoint="http://localhost:7010",
        ipfs=tuple(node.rpc_url for node in cluster.nodes),
    )
    settings.save(tmp_path)
    store = content_store(settings, tmp_path)
    root = store.put(BytesIO(RECORDS[0]))
    assert all(str(root) in pins(node) for node in cluster.nodes)
    flip(cluster, 0)
    command = ["gateway", "scrub", "--folder", str(tmp_path), "--json"]
    done = CliRunner().invoke(cli, command)
    assert (done.exit_code, json.loads(done.output)["healed"]) == (0, 1)
    assert why_not_content(store) == {}
    cluster.nodes[1].kill()
    assert why_not_content(store) == {"content": "UNAVAILABLE: 2 nodes answer, 3 are needed"}
    assert CliRunner().invoke(cli, command).exit_code == 3
    cluster.restart(1)
    store.remove(root)
    assert not any(str(root) in pins(node) for node in cluster.nodes)
    store.close()
