# SPDX-License-Identifier: Apache-2.0
"""The gateway's upkeep of its copies, and `consentum gateway scrub`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI
from starlette.testclient import TestClient

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.cli.gateway import group
from consentum.domain.cid import RAW, Cid
from consentum.errors import KeyFileError
from consentum.services.gateway.app import _copy_metrics
from consentum.services.observe import add_metrics
from consentum.settings import GatewaySettings
from consentum.wiring import upkeep as wiring
from consentum.wiring.content import content_store, replica_set
from tests.fakes.content import Embedded, whole
from tests.fakes.pinning import TOKEN
from tests.fakes.replicas import Switch

URLS = ("http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3")
SETTINGS = GatewaySettings(
    rpc="http://127.0.0.1:9", deployment="d.json", port=7010, endpoint="http://localhost:7010", ipfs=URLS
)


def nodes(folder: Path) -> ReplicaStore:
    """A gateway's set, of embedded stores where Kubo would be."""
    return replica_set(SETTINGS, folder, [(url, EmbeddedStore(folder / f"node-{url[-1]}.db")) for url in URLS])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReplicaStore]:
    SETTINGS.save(tmp_path)
    monkeypatch.setattr(wiring, "content_store", lambda settings, folder: nodes(folder))
    made = nodes(tmp_path)
    yield made
    made.close()


def scrub(folder: Path) -> Result:
    return CliRunner().invoke(group, ["scrub", "--folder", str(folder), "--json"])


def test_scrub_says_that_all_is_well(store: ReplicaStore, tmp_path: Path) -> None:
    store.put(BytesIO(b"a record"))
    done = scrub(tmp_path)
    found = {"records": 1, "copies": 3, "healed": 0, "missing": 0, "removed": 0, "owed": 0, "silent": [], "lost": []}
    assert (done.exit_code, json.loads(done.output)) == (0, found)
    assert store.ledger.round().ended > 0


def test_scrub_mends_and_says_what_it_did(store: ReplicaStore, tmp_path: Path) -> None:
    root = store.put(BytesIO(b"a record"))
    Embedded(tmp_path / "node-2.db").plant(root, b"ransom")
    done = CliRunner().invoke(group, ["scrub", "--folder", str(tmp_path)])
    assert done.exit_code == 0
    assert "3 good copies, 1 of them replaced now" in done.output


def test_scrub_ends_with_1_and_names_what_is_lost(store: ReplicaStore, tmp_path: Path) -> None:
    root = store.put(BytesIO(b"a record"))
    for url in URLS:
        Embedded(tmp_path / f"node-{url[-1]}.db").drop(root)
    done = scrub(tmp_path)
    assert (done.exit_code, json.loads(done.output)["lost"]) == (1, [str(root)])


def test_scrub_ends_with_3_where_a_node_is_silent(
    store: ReplicaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(BytesIO(b"a record"))
    down = Switch(EmbeddedStore(tmp_path / "node-2.db"))
    down.down()
    stores = [(url, down.store if url == URLS[1] else EmbeddedStore(tmp_path / f"node-{url[-1]}.db")) for url in URLS]
    monkeypatch.setattr(wiring, "content_store", lambda settings, folder: replica_set(settings, folder, stores))
    done = scrub(tmp_path)
    assert done.exit_code == 3
    assert (json.loads(done.output)["missing"], json.loads(done.output)["silent"]) == (1, [URLS[1]])


def test_scrub_has_nothing_to_do_where_there_is_one_store(tmp_path: Path) -> None:
    alone = replace(SETTINGS, ipfs=())
    alone.save(tmp_path)
    done = scrub(tmp_path)
    assert isinstance(done.exception, wiring.SettingsError)
    content = content_store(alone, tmp_path)
    assert wiring.upkeep(content, alone, tmp_path) is None
    content.close()


def test_missing_copies_and_owed_removals_are_warnings_and_numbers(store: ReplicaStore, tmp_path: Path) -> None:
    kept = wiring.upkeep(store, SETTINGS, tmp_path)
    assert kept is not None
    assert kept.warnings() == {}
    root = store.put(BytesIO(b"a record"))
    store.ledger.seen(root, URLS[0], None)
    gone = Cid.of(RAW, b"gone")
    store.ledger.leave([gone], URLS[:2])
    assert kept.warnings() == {
        "copies": "1 copies are missing: a node is down or was damaged",
        "erasure": "2 removals are owed by nodes or services that do not answer",
    }
    app = FastAPI()
    _copy_metrics(add_metrics(app), kept)
    told = dict(line.rsplit(" ", 1) for line in TestClient(app).get("/metrics").text.splitlines() if line[0] != "#")
    numbers = {name: float(told[f"consentum_store_{name}"]) for name in ("copies_missing", "removals_owed")}
    assert numbers == {"copies_missing": 1, "removals_owed": 2}
    assert float(told["consentum_store_last_full_pass_seconds"]) == float(told["consentum_store_pins_missing"]) == 0


def test_what_was_deposited_before_is_adopted_and_copied(store: ReplicaStore, tmp_path: Path) -> None:
    old = EmbeddedStore(tmp_path / "blocks.db")
    root = old.put(BytesIO(b"an old record"))
    old.close()
    store.close()
    moved = nodes(tmp_path)
    kept = wiring.upkeep(moved, SETTINGS, tmp_path)
    assert kept is not None
    records: Any = SimpleNamespace(
        records=lambda categories: [SimpleNamespace(cid=root)] if categories > 1 << 62 else []
    )
    kept.adopt(records)
    assert kept.scrubber.full().healed == 3
    moved.close()
    assert whole(EmbeddedStore(tmp_path / "node-1.db"), root) == b"an old record"


def test_every_job_of_the_upkeep_can_run(store: ReplicaStore, tmp_path: Path) -> None:
    root = store.put(BytesIO(b"a record"))
    Embedded(tmp_path / "node-1.db").drop(root)
    kept = wiring.upkeep(store, SETTINGS, tmp_path)
    assert kept is not None
    for work, pause in kept.jobs():
        work()
        assert pause > 0
    assert Embedded(tmp_path / "node-1.db").held() == {root}


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (None, 0o600),
        (json.dumps({"https://a.example": TOKEN}), 0o644),
        (json.dumps({"https://b.example": TOKEN}), 0o600),
        (json.dumps({"https://a.example": TOKEN + "\n"}), 0o600),
        (json.dumps({"https://a.example": [TOKEN]}), 0o600),
        (json.dumps([TOKEN]), 0o600),
        (TOKEN, 0o600),
    ],
)
def test_a_pinning_service_without_a_usable_private_token_is_refused_and_the_token_not_shown(
    store: ReplicaStore, tmp_path: Path, content: str | None, mode: int
) -> None:
    if content is not None:
        (tmp_path / "pinning.json").write_text(content)
        (tmp_path / "pinning.json").chmod(mode)
    with pytest.raises(KeyFileError) as caught:
        wiring.upkeep(store, replace(SETTINGS, pinning=("https://a.example",)), tmp_path)
    assert caught.value.field == "pinning.json"
    assert TOKEN not in str(caught.value)


def test_each_pinning_service_is_asked_and_owes_removals(store: ReplicaStore, tmp_path: Path) -> None:
    settings = replace(SETTINGS, pinning=("https://a.example", "https://b.example"))
    (tmp_path / "pinning.json").write_text(json.dumps(dict.fromkeys(settings.pinning, TOKEN)))
    (tmp_path / "pinning.json").chmod(0o600)
    kept = wiring.upkeep(store, settings, tmp_path)
    assert kept is not None
    assert [keeper.name for keeper in kept.keepers] == ["pinning:https://a.example", "pinning:https://b.example"]
    store.put(BytesIO(b"a record"))
    assert kept.unpinned() == 2
    again = replica_set(settings, tmp_path, [(URLS[0], EmbeddedStore(tmp_path / "node-1.db"))])
    root = again.put(BytesIO(b"another"))
    again.remove(root)
    assert all(again.ledger.owed(keeper.name, 9) == [root] for keeper in kept.keepers)
    again.close()
