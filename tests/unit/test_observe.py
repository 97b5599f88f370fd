# SPDX-License-Identifier: Apache-2.0
"""Operators see what a service does, and nothing of anybody's: no subject, id or body in metrics or logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from consentum.errors import UnavailableError
from consentum.services import logs, observe
from consentum.wiring.keyserver import KeyServerProcess
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.web import SECRET, client, process, world
from tests.unit.keyserver.world import World

__all__ = ["client", "process", "world"]


@pytest.fixture
def given(world: World) -> Given:
    consent, record = world.grant(world.consent()), world.record()
    return Given(record, consent, world.page([record.id], [consent]))


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Everything that is logged, as it is written."""
    root, ours, kept = logging.getLogger(), logging.getLogger("consentum"), logging.getLogger().handlers
    level = root.level
    logs.begin()
    sink = io.StringIO()
    root.handlers[0].setStream(sink)  # type: ignore[attr-defined]
    yield sink
    root.handlers, root.level = kept, level
    ours.setLevel(logging.NOTSET)


def read(sink: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in sink.getvalue().splitlines()]


def numbers(client: TestClient) -> dict[str, float]:
    text = client.get("/metrics").text
    pairs = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in pairs}


def test_requests_are_counted_by_route_and_status(client: TestClient) -> None:
    for path in ("/live", "/live", "/v1/journal/entries/7", "/v1/nowhere"):
        client.get(path)
    counted = numbers(client)
    assert counted['consentum_requests_total{method="GET",route="/live",status="200"}'] == 2
    assert counted['consentum_requests_total{method="GET",route="/v1/journal/entries/{index}",status="403"}'] == 1
    assert counted['consentum_requests_total{method="GET",route="(none)",status="404"}'] == 1


def test_decisions_are_counted_by_reason(client: TestClient, world: World, given: Given) -> None:
    client.post("/v1/releases", json=given.page.to_json())
    world.revoke(given.consent)
    client.post("/v1/releases", json=given.page.to_json())
    world.server.behind_anchor = True
    client.post("/v1/releases", json=given.page.to_json())
    counted = numbers(client)
    for reason in ("ALLOWED", "REVOKED", "BEHIND_ANCHOR"):
        assert counted[f'consentum_decisions_total{{reason="{reason}"}}'] == 1
    assert counted["consentum_journal_size"] == 2
    assert counted["consentum_balance_wei"] == 10**18
    assert counted["consentum_serving"] == 0


def test_a_number_that_cannot_be_read_is_none_and_hides_no_other(client: TestClient, world: World) -> None:
    world.ledger.down = True
    counted = numbers(client)
    assert counted["consentum_newest_block_age_seconds"] != counted["consentum_newest_block_age_seconds"]
    assert counted["consentum_journal_size"] == 0


def test_what_metrics_cost_is_not_for_every_caller_to_spend(client: TestClient, world: World) -> None:
    numbers(client)
    before = world.ledger.reads
    for _ in range(5):
        numbers(client)
    assert world.ledger.reads == before


def test_neither_metrics_nor_logs_hold_anything_of_anybody(
    client: TestClient, world: World, given: Given, lines: io.StringIO
) -> None:
    subject = given.record.subject
    client.post("/v1/releases", json=given.page.to_json())
    client.post("/v1/notices", json=world.revocation(given.consent).to_json())
    client.get("/v1/journal/entries", params={"subject": subject, "x": SECRET})
    client.get(f"/v1/journal/entries/{SECRET}")
    client.get(f"/{SECRET}/{subject}")
    client.request(SECRET.split()[0].upper(), "/live")
    client.post("/v1/releases", content=SECRET, headers={"X-Request-Id": SECRET + "\t" + subject})
    told = client.get("/metrics").text + lines.getvalue()
    for hidden in (SECRET, SECRET.split()[0].upper(), subject, subject[2:], given.record.id.hex(), "CORRECT"):
        assert hidden not in told
    assert len(read(lines)) == 8


def test_every_request_is_one_line_with_its_id(client: TestClient, lines: io.StringIO) -> None:
    answer = client.get("/live", headers={"X-Request-Id": "abc-123"})
    made = client.get("/live")
    assert answer.headers["x-request-id"] == "abc-123"
    first, second = read(lines)
    assert {"time", "level", "logger", "message", "milliseconds"} < first.keys()
    assert (first["request"], first["route"], first["status"], first["method"]) == ("abc-123", "/live", 200, "GET")
    assert second["request"] == made.headers["x-request-id"] != "abc-123"


@pytest.mark.parametrize("given_id", ["", "a" * 65, "a b", "a\tb", "ä", '"}', "../x"])
def test_an_id_of_another_form_is_replaced(client: TestClient, given_id: str) -> None:
    answer = client.get("/live", headers={"X-Request-Id": given_id.encode()})  # type: ignore[dict-item]
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"] != given_id


def test_lines_of_one_request_carry_the_same_id(
    client: TestClient, process: KeyServerProcess, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def why() -> dict[str, str]:
        logging.getLogger("consentum.keyserver").warning("inside")
        return {}

    monkeypatch.setattr(type(process.server.store), "journal_size", why, raising=False)
    client.get("/v1/journal/consistency", params={"old": 1, "new": 0}, headers={"X-Request-Id": "one"})
    assert {line["request"] for line in read(lines)} == {"one"}


def test_a_traceback_is_told_by_its_type_alone(lines: io.StringIO) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    [line] = read(lines)
    assert line["message"] == "unexpected ValueError"
    assert SECRET not in lines.getvalue()


def test_a_gauge_keeps_its_value_for_a_while() -> None:
    asked: list[int] = []

    def count() -> float:
        asked.append(1)
        if len(asked) == 1:
            raise UnavailableError
        return 7.0

    kept = observe._Kept(count)
    assert kept() != kept()  # NaN, asked once
    assert len(asked) == 1
    kept._until = 0.0
    assert (kept(), kept(), len(asked)) == (7.0, 7.0, 2)


def test_a_low_balance_is_a_warning_and_makes_nothing_unready(client: TestClient, world: World) -> None:
    keys = (world.server.checkpoint_key.public_key().public_bytes_raw(), "http://localhost:8101")
    world.sender.address = world.server.address
    world.send("KeyServerRegistry", "announce", *keys)
    world.send("KeyServerRegistry", "rotate", world.server.sealing_keys[1].public)
    world.ledger.settle()
    assert client.get("/ready").json() == {"status": "ready"}
    world.sender.wei = 10**15
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["warnings"]["balance"].startswith("1000000000000000 wei left at 0x")


def test_ready_says_why_nothing_is_released(client: TestClient, world: World) -> None:
    world.server.unfetched, world.server.draining = True, lambda: True
    why = client.get("/ready").json()["why"]
    assert why["notices"].startswith("NOTICES_UNFETCHED")
    assert why["drain"].startswith("DRAINING")
