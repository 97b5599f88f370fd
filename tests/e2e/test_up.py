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

from tests.e2e.stack import ROOT, until

pytestmark = pytest.mark.processes


def free_ports(count: int) -> int:
    """The first of `count` free ports in a row."""
    for first in range(21_000, 29_000, count):
        try:
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


def consentum(*arguments: str) -> tuple[int, dict[str, Any]]:
    os.environ.setdefault("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
    command = [sys.executable, "-m", "consentum.cli.main", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
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
