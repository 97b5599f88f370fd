# SPDX-License-Identifier: Apache-2.0
"""`consentum up`: one command starts everything, keeps it running, and loses nothing over `down` and `up`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.chain.rpc import Rpc
from consentum.crypto.signing import WalletKey
from consentum.errors import ConsentumError
from consentum.wiring.founding import balance
from consentum.wiring.spawn import anvil_command
from tests.e2e.stack import ROOT, until

pytestmark = pytest.mark.processes


def free_ports(count: int, start: int = 21_000) -> int:
    """The first of `count` free ports in a row. start: one per file, for files run beside one another."""
    for first in range(start, start + 8_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def consentum(*arguments: str, **variables: str) -> tuple[int, dict[str, Any]]:
    os.environ.setdefault("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
    command = [sys.executable, "-m", "consentum.cli.main", *arguments, "--json"]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    return done.returncode, json.loads(done.stdout or done.stderr.splitlines()[-1])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "system"
    consentum("down", "--folder", str(tmp_path / "system"))


def test_a_dead_server_is_started_again_and_down_and_up_lose_nothing(folder: Path) -> None:
    where = ("--folder", str(folder))
    code, first = consentum("up", *where, "--port", str(free_ports(6)), "--board", "--detach")
    assert code == 0, first
    assert set(first["parts"]) == {"anvil", "server 1", "server 2", "server 3", "gateway", "runner"}
    assert consentum("status", *where)[1]["ready"]
    assert consentum("doctor", *where)[0] == 0

    pid = first["parts"]["server 2"]["process"]["pid"]
    os.kill(pid, signal.SIGKILL)

    def again() -> bool:
        told = consentum("status", *where)[1]
        return bool(told["ready"]) and told["processes"]["server 2"]["pid"] not in (pid, None)

    assert until(again, 40)
    assert consentum("up", *where)[0] == 0  # a second one finds everything running
    assert consentum("up", *where, "--servers", "5")[1]["code"] == "SETTINGS"

    before = consentum("status", *where)[1]
    running = [part["pid"] for part in before["processes"].values()]
    code, told = consentum("down", *where)
    assert (code, set(told["ended"])) == (0, set(first["parts"]))
    assert [pid for pid in running if Path(f"/proc/{pid}").exists()] == []
    assert consentum("status", *where)[0] == 3

    code, second = consentum("up", *where, "--detach")
    assert code == 0, second
    after = consentum("status", *where)[1]
    assert after["ready"]
    assert after["block"] >= before["block"]
    for name in ("committee", "board", "deployment", "rpc"):
        assert first[name] == second[name] != ""
    addresses = [{name: part["address"] for name, part in told["parts"].items()} for told in (first, second)]
    assert addresses[0] == addresses[1]


@pytest.fixture
def chain() -> Iterator[str]:
    """Somebody else's chain: its URL."""
    os.environ.setdefault("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
    port = free_ports(1)
    process = subprocess.Popen(anvil_command(port, None), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def there() -> bool:
        try:
            return bool(Rpc(url).call("eth_chainId"))
        except ConsentumError:
            return False

    assert until(there)
    yield url
    process.terminate()
    process.wait(timeout=10)


def test_on_a_chain_that_is_there_one_key_pays_and_the_chain_outlives_the_system(folder: Path, chain: str) -> None:
    rpc, where, key = Rpc(chain), ("--folder", str(folder)), WalletKey()
    up = ("up", *where, "--rpc", chain, "--servers", "2", "--port", str(free_ports(6)), "--detach")
    paying = {"CONSENTUM_DEPLOYER_KEY": key.secret.hex()}
    code, told = consentum(*up, **paying)
    assert (code != 0, told["code"], told["field"]) == (True, "SETTINGS", "CONSENTUM_DEPLOYER_KEY"), "it has nothing"

    rpc.call("anvil_setBalance", key.address, hex(10**18))
    code, first = consentum(*up, **paying)
    assert code == 0, first
    assert set(first["parts"]) == {"server 1", "server 2", "gateway", "runner"}, "the chain is not ours"
    assert consentum("status", *where)[1]["ready"]
    assert 0 < balance(rpc, key.address) < 86 * 10**16  # three services have their 0.05
    assert balance(rpc, first["parts"]["gateway"]["address"]) > 0
    for number in (1, 2):
        pid = first["parts"][f"server {number}"]["process"]["pid"]
        assert b"CONSENTUM_DEPLOYER_KEY" not in Path(f"/proc/{pid}/environ").read_bytes()

    committee = ["keyserver", "committee", "--rpc", chain, "--deployment", str(folder / "deployment.json")]
    committee += ["--threshold", "2", "--member", first["parts"]["server 2"]["address"]]
    code, told = consentum(*committee, "--member", first["parts"]["server 1"]["address"], **paying)
    assert (code, told["committee"]) == (0, first["committee"]), "it is there already"
    code, told = consentum(*committee, "--member", key.address, **paying)
    assert (code != 0, told["code"]) == (True, "NOT_FOUND"), "it is no key server"

    assert consentum("down", *where)[0] == 0
    assert int(rpc.call("eth_blockNumber"), 16) > 0
