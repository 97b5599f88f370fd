# SPDX-License-Identifier: Apache-2.0
"""Where a gateway keeps records: its settings say so, and it says when that place does not answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.errors import SettingsError, UnavailableError
from consentum.settings import GatewaySettings
from consentum.wiring.content import content_store, require_nodes, why_not_content
from consentum.wiring.supervisor import Supervisor
from tests.fakes.content import whole
from tests.faults.bad_kubo import BadKubo

SETTINGS = GatewaySettings(rpc="http://127.0.0.1:1", deployment="d.json", port=7, endpoint="http://localhost:7")


@pytest.fixture
def node() -> Iterator[BadKubo]:
    made = BadKubo()
    yield made
    made.close()


def test_without_a_node_records_are_in_the_gateways_folder(tmp_path: Path) -> None:
    store = content_store(SETTINGS, tmp_path)
    assert isinstance(store, EmbeddedStore)
    assert (tmp_path / "blocks.db").exists()
    assert why_not_content(store) == {}
    store.close()


def test_with_a_node_records_are_there_and_nowhere_else(node: BadKubo, tmp_path: Path) -> None:
    store = content_store(replace(SETTINGS, ipfs=(node.url,)), tmp_path)
    assert isinstance(store, KuboStore)
    root = store.put(BytesIO(b"sealed"))
    assert whole(store, root) == b"sealed"
    assert node.pins == {root}
    assert list(tmp_path.iterdir()) == []
    store.close()


@pytest.mark.parametrize("mode", ["down", "html", "500"])
def test_a_gateway_says_when_its_node_does_not_answer(node: BadKubo, tmp_path: Path, mode: str) -> None:
    store = content_store(replace(SETTINGS, ipfs=(node.url,)), tmp_path)
    assert why_not_content(store) == {}
    node.mode = mode
    assert why_not_content(store) == {"content": "UNAVAILABLE"}
    node.mode = "ok"
    assert why_not_content(store) == {}
    store.close()


@pytest.mark.parametrize(
    ("name", "value"), [("ipfs", ("127.0.0.1:5001",)), ("ipfs", ("ftp://h",)), ("ipfs_copies", 1), ("ipfs_copies", -1)]
)
def test_settings_that_name_no_node_or_more_copies_than_nodes_are_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as refused:
        replace(SETTINGS, **{name: value}).validate()  # type: ignore[arg-type]
    assert refused.value.field == name


def test_a_node_that_does_not_answer_is_one_clear_error_and_nothing_is_started(node: BadKubo, tmp_path: Path) -> None:
    require_nodes([node.url])
    node.mode = "down"
    told: list[str] = []
    supervisor = Supervisor(tmp_path / "system", {"ipfs": [node.url], "port": 28_000}, None, told.append)
    with pytest.raises(UnavailableError, match=node.url) as refused:
        supervisor.start(with_board=False)
    assert refused.value.field == "ipfs"
    assert (supervisor.system.processes, told) == ({}, [])
