# SPDX-License-Identifier: Apache-2.0
"""Whom `consentum up` lets in and takes off again: checked before anything is written; who must know restarts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentum.cli import settling
from consentum.cli.settling import settled
from consentum.errors import SettingsError
from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings
from consentum.wiring.allowing import Allowed, Change, allow
from consentum.wiring.inventory import Inventory, Part, Running
from consentum.wiring.layout import KeyServerProcess, introduce
from consentum.wiring.supervisor import allow_now

COMMON = {"rpc": "http://localhost:1", "deployment": "d", "port": 2, "endpoint": "http://localhost:2"}
WARD, LEAD, BOARD = "0x" + "aB" * 20, "0x" + "22" * 20, "0x" + "33" * 32
SERVERS = ("server 1", "server 2", "server 3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    GatewaySettings(**COMMON, custodians=("0x" + "11" * 20,)).save(tmp_path / "gateway")  # type: ignore[arg-type]
    RunnerSettings(**COMMON, gateway="http://localhost:2").save(tmp_path / "runner")  # type: ignore[arg-type]
    for number in (1, 2, 10):
        KeyServerSettings(**COMMON).save(tmp_path / f"keyserver-{number}")  # type: ignore[arg-type]
    return tmp_path


def test_who_is_let_in_is_added_once_and_nobody_goes(folder: Path) -> None:
    allowed = Allowed(custodians=(WARD,), sponsored=(LEAD,), boards=(BOARD,))
    assert allow(folder, Change(allowed)) == ["gateway", "runner", *SERVERS]
    gateway = GatewaySettings.load(folder / "gateway")
    assert gateway.custodians == ("0x" + "11" * 20, WARD.lower())
    assert (gateway.sponsored, gateway.boards) == ((LEAD,), (BOARD,))
    assert RunnerSettings.load(folder / "runner").boards == (BOARD,)
    assert KeyServerSettings.load(folder / "keyserver-10").custodians == (WARD.lower(),)
    assert allow(folder, Change(allowed)) == []


def test_who_is_taken_off_goes_everywhere_and_nobody_else_does(folder: Path) -> None:
    everybody = Allowed(custodians=(WARD,), sponsored=(LEAD,), boards=(BOARD,))
    allow(folder, Change(everybody))
    assert allow(folder, Change(less=Allowed(custodians=(WARD.lower(),)))) == ["gateway", *SERVERS]
    assert KeyServerSettings.load(folder / "keyserver-2").custodians == ()
    gateway = GatewaySettings.load(folder / "gateway")
    assert (gateway.custodians, gateway.sponsored) == (("0x" + "11" * 20,), (LEAD,))
    assert allow(folder, Change(less=Allowed(boards=(BOARD.upper().replace("X", "x"),)))) == ["gateway", "runner"]
    assert allow(folder, Change(less=Allowed(sponsored=(LEAD,)))) == ["gateway"]
    gateway = GatewaySettings.load(folder / "gateway")
    assert (gateway.sponsored, gateway.boards) == ((), ())
    assert RunnerSettings.load(folder / "runner").boards == ()


@pytest.mark.parametrize(
    "change",
    [
        Change(less=Allowed(custodians=(WARD,))),  # not there
        Change(less=Allowed(custodians=("0x11",))),
        Change(Allowed(custodians=(WARD,)), Allowed(custodians=(WARD.lower(),))),
        Change(Allowed(custodians=(WARD,)), Allowed(custodians=("0x" + "11" * 20, LEAD))),
    ],
)
def test_who_is_not_there_cannot_be_taken_off_and_nobody_comes_and_goes_at_once(change: Change, folder: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        allow(folder, change)
    assert refused.value.field == "custodians"
    assert GatewaySettings.load(folder / "gateway").custodians == ("0x" + "11" * 20,)


def test_the_board_that_was_founded_with_the_system_stays(folder: Path) -> None:
    allow(folder, Change(Allowed(boards=(BOARD,))))
    Inventory(board=BOARD).save(folder)
    with pytest.raises(SettingsError) as refused:
        allow_now(folder, Change(less=Allowed(boards=(BOARD,))))
    assert refused.value.field == "boards"
    assert GatewaySettings.load(folder / "gateway").boards == (BOARD,)


def test_runner_and_key_servers_need_not_know_people(folder: Path) -> None:
    assert allow(folder, Change(Allowed(sponsored=(LEAD,)))) == ["gateway"]


@pytest.mark.parametrize("wrong", [{"custodians": ("0x12",)}, {"sponsored": ("me",)}, {"boards": (LEAD,)}])
def test_what_is_no_address_or_id_changes_nothing(wrong: dict[str, tuple[str, ...]], folder: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        allow(folder, Change(Allowed(**wrong)))
    assert refused.value.field == next(iter(wrong))
    assert GatewaySettings.load(folder / "gateway").boards == RunnerSettings.load(folder / "runner").boards == ()


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    made = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
    yield made
    for process in made:
        process.kill()
        process.wait()


def test_only_who_must_read_its_settings_again_is_ended(folder: Path, sleepers: list[subprocess.Popen[bytes]]) -> None:
    gateway, runner = (Part(noun="x", endpoint="", process=Running.of(process.pid)) for process in sleepers)
    Inventory(parts={"gateway": gateway, "runner": runner}).save(folder)
    assert allow_now(folder, Change(Allowed(sponsored=(WARD,)))) == ["gateway"]
    assert sleepers[0].wait(5) != 0
    assert sleepers[1].poll() is None


def test_key_servers_are_told_of_each_other_and_keep_other_peers(tmp_path: Path) -> None:
    servers = []
    for number in range(2):
        peers = ("http://elsewhere",) if number else ()
        KeyServerSettings(**COMMON, peers=peers).save(tmp_path / str(number))  # type: ignore[arg-type]
        servers.append(KeyServerProcess(number, tmp_path / str(number), "", f"http://localhost:{number}"))
    introduce(servers)
    introduce(servers)
    told = [KeyServerSettings.load(server.folder).peers for server in servers]
    assert told == [("http://localhost:1",), ("http://elsewhere", "http://localhost:0")]


def test_a_command_waits_until_the_chain_has_it_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSE_SECONDS", 0)
    states = iter(["queued", "mined"])
    assert settled({"state": "queued"}, lambda: {"state": next(states)}) == {"state": "mined"}
    assert settled({"state": "open"}, lambda: pytest.fail("nothing is queued")) == {"state": "open"}
    monkeypatch.setattr(settling, "PATIENCE_SECONDS", 0)
    assert settled({"state": "queued"}, lambda: {"state": "mined"}) == {"state": "queued"}
