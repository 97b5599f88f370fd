# SPDX-License-Identifier: Apache-2.0
"""What fakes are compared with: a real chain (Anvil on a free port), real stores of content."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.chain.deploy import deploy
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.domain.profiles import PROFILES
from consentum.errors import ConsentumError
from consentum.ports.chain import Ledger
from consentum.ports.transactions import Sender
from scripts.demonstration.kubo import KuboNode
from tests.fakes.content import Bench, Embedded, Memory
from tests.fakes.ledger import FakeLedger
from tests.fakes.replicas import Replicas
from tests.fakes.sender import FakeSender
from tests.kubo import KuboBench, kubo, kubos, new_kubo

__all__ = ["bench", "kubo", "kubos", "new_kubo"]

ROOT = Path(__file__).resolve().parents[2]
# Anvil's first account: its key is public, so it is worth nothing anywhere else.
FUNDED = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")


@dataclass(slots=True)
class Chain:
    """A ledger, an account that writes to it, and how to wait until what it wrote is final."""

    kind: str
    ledger: Ledger
    sender: Sender
    at: Deployment
    settle: Callable[[], None]


class SteadyRpc(Rpc):
    """Asks the node, but for the gas price: twice what the last transaction paid, again and again, is soon more than
    anybody has (see test_sender.py)."""

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        results = super().batch(requests)
        priced = [method == "eth_gasPrice" for method, _ in requests]
        return [hex(10**10) if fixed else result for fixed, result in zip(priced, results, strict=True)]


@dataclass(frozen=True, slots=True)
class Node:
    """A running Anvil with the contracts on it."""

    url: str
    at: Deployment


def anvil_path() -> str:
    """CONSENTUM_ANVIL, else the repository's own set-up, else whatever is on PATH."""
    own = ROOT / ".tools" / "bin" / "anvil"
    return os.environ.get("CONSENTUM_ANVIL") or (str(own) if own.exists() else shutil.which("anvil") or "anvil")


def until(fact: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(ConsentumError):
            if fact():
                return
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {seconds:.0f} s")


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [anvil_path(), "--port", str(port), "--block-time", "1", "--slots-in-an-epoch", "1", "--silent"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        rpc = Rpc(url)
        until(lambda: bool(rpc.call("eth_chainId")), "the chain starts")
        yield Node(url, deploy(url, tmp_path_factory.mktemp("deployment") / "31337.json", FUNDED))
    finally:
        process.terminate()
        process.wait(timeout=10)


def real_chain(node: Node) -> Chain:
    rpc = SteadyRpc(node.url)
    ledger = ChainLedger(rpc, node.at, PROFILES["anvil"])

    def settle() -> None:
        newest = ledger.view().latest.number
        until(lambda: ledger.view().finalized.number >= newest, "finality")

    return Chain("real", ledger, ChainSender(rpc, node.at, FUNDED), node.at, settle)


def fake_chain() -> Chain:
    ledger = FakeLedger()
    return Chain("fake", ledger, FakeSender(ledger), ledger.at, ledger.settle)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.processes)])
def chain(request: pytest.FixtureRequest) -> Chain:
    """The same tests on the fake and on the real one."""
    return fake_chain() if request.param == "fake" else real_chain(request.getfixturevalue("node"))


REAL = [pytest.param(name, marks=pytest.mark.processes) for name in ("kubo", "kubos")]


@pytest.fixture(params=["memory", "embedded", "replicas", *REAL])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    made: Bench
    match request.param:
        case "memory":
            made = Memory()
        case "embedded":
            made = Embedded(tmp_path / "content.db")
        case "replicas":
            made = Replicas.embedded(tmp_path)
        case "kubo":
            node: KuboNode = request.getfixturevalue("kubo")
            made = KuboBench(node, KuboStore(node.rpc_url))
        case _:
            nodes: list[KuboNode] = request.getfixturevalue("kubos")
            made = Replicas(tmp_path, [KuboBench(node, KuboStore(node.rpc_url)) for node in nodes])
    yield made
    made.close()
