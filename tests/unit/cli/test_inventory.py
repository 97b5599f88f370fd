# SPDX-License-Identifier: Apache-2.0
"""system.json: only our own processes are ever ended, what is there is kept, nonsense is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentum.errors import CorruptError, NotRunningError, SettingsError
from consentum.settings import KeyServerSettings, anvil_path, service_environment
from consentum.wiring.inventory import Inventory, Part, Running, started_at
from consentum.wiring.supervisor import is_running, merged, ports_of, take_down


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_another_process_that_has_the_number_now_is_not_ended(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    stranger = Running(sleeper.pid, "another time")
    assert not stranger.alive
    stranger.end(0.1)
    Inventory(supervisor=stranger, parts={"gateway": Part(noun="gateway", endpoint="", process=stranger)}).save(
        tmp_path
    )
    assert take_down(tmp_path, 0.1) == []
    assert not is_running(tmp_path)
    assert sleeper.poll() is None


def test_our_own_process_is_ended(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    ours = Running.of(sleeper.pid)
    Inventory(parts={"gateway": Part(noun="gateway", endpoint="", process=ours)}).save(tmp_path)
    assert take_down(tmp_path, 0.1) == ["gateway"]
    assert sleeper.wait(5) != 0


def test_a_process_that_is_gone_has_no_start() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert started_at(process.pid) == ""
    assert not Running(process.pid, "").alive


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    part = Part(noun="gateway", endpoint="http://localhost:1", address="0x1", folder="f", process=Running(1, "x"))
    known = Inventory(rpc="http://localhost:2", supervisor=Running(2, "y"), parts={"gateway": part})
    known.save(tmp_path)
    assert Inventory.load(tmp_path) == known


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"supervisor": 1, "parts": {}}', '{"supervisor": null, "x": 1}'])
def test_a_damaged_inventory_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "system.json").write_text(content)
    with pytest.raises(CorruptError):
        Inventory.load(tmp_path)


def test_where_nothing_was_started_nothing_is_ended(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        take_down(tmp_path, 0.1)


@pytest.mark.parametrize(
    "wanted", [{"servers": 5}, {"threshold": 3}, {"embedded": False}, {"port": 9000}, {"ipfs": ["http://h"]}]
)
def test_a_system_of_another_kind_is_not_made_over_one(wanted: dict[str, object], tmp_path: Path) -> None:
    Inventory().save(tmp_path)
    with pytest.raises(SettingsError) as refused:
        merged(tmp_path, wanted)
    assert refused.value.field == next(iter(wanted))
    assert merged(tmp_path, {}) == Inventory()


def test_services_that_are_there_keep_their_ports_and_new_ones_take_others(tmp_path: Path) -> None:
    settings = KeyServerSettings(rpc="http://localhost:1", deployment="d", port=8546, endpoint="http://localhost:8546")
    settings.save(tmp_path / "keyserver-1")
    ports = ports_of(tmp_path, Inventory())
    assert ports == [8545, 8546, 8547, 8548, 8549, 8550]


def test_no_service_sees_the_key_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENTUM_DEPLOYER_KEY", "11" * 32)
    assert "CONSENTUM_DEPLOYER_KEY" not in service_environment()


def test_an_anvil_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENTUM_ANVIL", "/nowhere/anvil")
    with pytest.raises(SettingsError) as refused:
        anvil_path()
    assert refused.value.field == "CONSENTUM_ANVIL"
