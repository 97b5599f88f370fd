# SPDX-License-Identifier: Apache-2.0
"""Settings of a gateway that cannot work are refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consentum.errors import SettingsError
from consentum.settings import GatewaySettings
from consentum.wiring import gateway

ADDRESS, BOARD = "0x" + "aA" * 20, "0x" + "bB" * 32


def settings(**changes: Any) -> GatewaySettings:
    where = {"rpc": "http://127.0.0.1:1", "deployment": "d.json", "port": 7010, "endpoint": "http://localhost:7010"}
    return GatewaySettings(**{**where, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("custodians", ("hospital",)),
        ("custodians", (BOARD,)),
        ("sponsored", (ADDRESS, "0x12")),
        ("boards", (ADDRESS,)),
        ("boards", ("",)),
        ("reserve_wei", -1),
        ("workers", 0),
        ("workers", 65),
        ("ipfs", ("http://127.0.0.1:5001", "http://127.0.0.1:5001")),
        ("ipfs_copies", 1),
        ("ipfs_copies", -1),
        ("scrub_seconds", -1.0),
        ("pinning", ("https://pinning.example",)),
    ],
)
def test_a_setting_that_cannot_work_is_named_and_nothing_written(tmp_path: Path, name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        gateway.initialise(tmp_path / "gateway", settings(**{name: value}))
    assert caught.value.field == name
    assert not (tmp_path / "gateway").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ipfs_copies", 2),
        ("pinning", ("http://pinning.example",)),
        ("pinning", ("ftp://localhost",)),
        ("pinning", ("https://user:word@pinning.example",)),
        ("pinning", ("https://pinning.example?key=1",)),
        ("pinning_origins", ("10.0.0.7:4001",)),
        ("pinning_origins", ("/ip4/10.0.0.7 /tcp/4001",)),
        ("pinning_origins", tuple(f"/ip4/10.0.0.{n}/tcp/4001" for n in range(21))),
    ],
)
def test_a_setting_that_cannot_work_with_one_node_is_named(name: str, value: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(ipfs=("http://127.0.0.1:5001",), **{name: value}).validate()
    assert caught.value.field == name


def test_what_can_work_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    made = settings(custodians=(ADDRESS,), sponsored=(ADDRESS,), boards=(BOARD,), reserve_wei=10**17, workers=4)
    gateway.initialise(tmp_path, made)
    assert GatewaySettings.load(tmp_path) == made


def test_addresses_count_in_whatever_case_they_are_written() -> None:
    found = gateway._sponsorship(settings(custodians=[ADDRESS], sponsored=[ADDRESS.lower()], boards=[BOARD]))
    assert found.custodians == found.sponsored == {ADDRESS.lower()}
    assert found.boards == {b"\xbb" * 32}
