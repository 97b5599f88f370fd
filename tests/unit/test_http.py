# SPDX-License-Identifier: Apache-2.0
"""A key server over HTTP: whatever arrives, a problem document that repeats nothing of it."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from consentum.errors import Reason, RefusedError
from tests.unit.keyserver.web import LIMIT, SECRET, client, process, refused, world
from tests.unit.keyserver.world import World

__all__ = ["client", "process", "world"]  # fixtures

POSTS = ("/v1/deposits", "/v1/releases", "/v1/notices", "/v1/logins", "/v1/retractions")


def post(client: TestClient, path: str, raw: str | bytes) -> httpx.Response:
    return client.post(path, content=raw, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        f'{{"{SECRET}": ',
        f'{{"a": "{SECRET}", "a": 2}}',
        f'{{"a": {{"b": 1, "b": "{SECRET}"}}}}',
        f'{{"a": NaN, "b": "{SECRET}"}}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        b'{"a": "\xff\xfe"}',
        "[" * 60_000,
        '{"a":' * 20_000,
        '{"a": ' + "9" * 5_000 + "}",
        f"'{SECRET}'",
    ],
    ids=lambda raw: str(raw)[:20] or "empty",
)
def test_what_is_not_json_is_refused(client: TestClient, path: str, raw: str | bytes) -> None:
    refused(post(client, path, raw), 400, "MALFORMED", "body")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("value", [None, 7, 1.5, SECRET, [], [SECRET], True, [[[[]]]]])
def test_a_body_that_is_no_object_is_refused(client: TestClient, path: str, value: object) -> None:
    refused(post(client, path, json.dumps(value)), 400, "MALFORMED", "notice" if path == POSTS[2] else "request")


@pytest.mark.parametrize(
    ("path", "first"), list(zip(POSTS, ("deposit", "job", "kind", "login", "retract"), strict=True))
)
def test_an_empty_object_names_the_field_it_lacks(client: TestClient, path: str, first: str) -> None:
    refused(post(client, path, "{}"), 400, "MALFORMED", first)


@pytest.mark.parametrize("path", POSTS)
def test_a_body_over_the_limit_is_refused(client: TestClient, path: str) -> None:
    refused(post(client, path, '"' + SECRET + "a" * LIMIT + '"'), 413, "TOO_LARGE")


def test_a_body_over_the_limit_is_refused_while_it_arrives(client: TestClient) -> None:
    """Without a Content-Length."""
    pieces = iter([b"a" * 50_000] * 100)
    refused(client.post("/v1/notices", content=pieces), 413, "TOO_LARGE")
    assert len(list(pieces)) >= 0


def page(world: World) -> dict[str, Any]:
    consent, record = world.grant(world.consent()), world.record()
    return world.page([record.id], [consent]).to_json()


@pytest.mark.parametrize("key", ["job", "release", "records", "openings", "responseKey", "jobSignature"])
@pytest.mark.parametrize("value", [None, 7, SECRET, [], [SECRET], {}, {SECRET: SECRET}, True])
def test_a_page_with_one_field_of_another_type_is_refused(
    client: TestClient, world: World, key: str, value: object
) -> None:
    answer = client.post("/v1/releases", json=page(world) | {key: value})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "MALFORMED"
    assert answer.json()["field"]
    assert SECRET not in answer.json()["detail"]
    assert world.store.journal_size() == 0


@pytest.mark.parametrize("key", ["requester", "runner", "study", "purpose", "access", "deadline", "salt"])
@pytest.mark.parametrize("value", [None, -1, 1.0, 2**300, SECRET, "0x", "0xzz", "0x" + "11" * 31, True, [1]])
def test_a_job_with_one_value_of_another_kind_is_refused_and_named(
    client: TestClient, world: World, key: str, value: object
) -> None:
    body = page(world)
    body["job"][key] = value
    answer = client.post("/v1/releases", json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "MALFORMED"
    assert answer.json()["field"] in (key, "address")
    assert SECRET not in answer.text


def test_a_field_too_many_is_refused_at_every_level(client: TestClient, world: World) -> None:
    body = page(world)
    for place in (body, body["job"], body["release"], body["openings"][0]):
        place["extra"] = SECRET
        refused(client.post("/v1/releases", json=body), 400, "MALFORMED", "extra")
        del place["extra"]


def test_a_name_that_is_no_text_is_refused_too(client: TestClient, world: World) -> None:
    """A lone surrogate can be in JSON, but not in an answer."""
    raw = json.dumps(page(world))[:-1] + ', "\\ud800": 1}'
    answer = post(client, "/v1/releases", raw)
    assert answer.status_code == 400
    assert answer.json()["code"] == "MALFORMED"


@pytest.mark.parametrize("spelled", ["{0} {1}", "{0}\\t{1}", "{0}\\n{1}"])
@pytest.mark.parametrize("key", ["requester", "runner", "study"])
def test_hex_with_blanks_in_it_is_refused(client: TestClient, world: World, key: str, spelled: str) -> None:
    """One value has one text: two would be two requesters to the limits, and one to the chain."""
    body = page(world)
    value = body["job"][key]
    body["job"][key] = spelled.encode().decode("unicode_escape").format(value[:12], value[12:])
    refused(client.post("/v1/releases", json=body), 400, "MALFORMED", key)


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/releases/7", "/docs", f"/{SECRET}"])
def test_a_place_that_is_not_there_is_a_problem_document(client: TestClient, path: str) -> None:
    refused(client.get(path), 404, "NOT_FOUND")


@pytest.mark.parametrize("path", POSTS)
def test_another_method_is_a_problem_document(client: TestClient, path: str) -> None:
    refused(client.put(path), 405, "METHOD_NOT_ALLOWED")
    refused(client.delete(path), 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize("query", ["index=x&size=1", "index=0", "size=1", f"index={SECRET}&size=1", ""])
def test_a_parameter_that_is_no_number_is_named_and_not_repeated(client: TestClient, query: str) -> None:
    answer = client.get(f"/v1/journal/inclusion?{query}")
    assert answer.status_code == 400
    assert answer.json()["field"] in ("index", "size")
    assert SECRET not in answer.text


@pytest.mark.parametrize("query", ["index=0&size=0", "index=-1&size=1", f"index={10**40}&size={10**40}"])
def test_a_proof_of_what_is_not_there_is_not_found(client: TestClient, query: str) -> None:
    refused(client.get(f"/v1/journal/inclusion?{query}"), 404, "NOT_FOUND", "index")


def test_a_page_goes_in_and_an_answer_comes_out(client: TestClient, world: World) -> None:
    answer = client.post("/v1/releases", json=page(world))
    assert answer.status_code == 200
    assert answer.json()["receipt"]["counts"] == {"ALLOWED": 1}


@pytest.mark.parametrize(
    ("reason", "status"), [("LIMIT", 429), ("BUDGET", 429), ("STALE", 503), ("JOB_SIGNATURE", 403)]
)
def test_a_refusal_has_its_own_status(
    client: TestClient, world: World, reason: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise RefusedError(Reason[reason])

    monkeypatch.setattr(world.store, "commit", refuse)
    answer = client.post("/v1/releases", json=page(world))
    refused(answer, status, reason)
    assert ("retry-after" in answer.headers) == (status == 503)


def test_what_nobody_expected_is_a_ticket_and_nothing_else(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(world.store, "commit", broken)
    refused(client.post("/v1/releases", json=page(world)), 500, "UNEXPECTED")
    ours = [record.getMessage() for record in caplog.records if record.name == "consentum"]
    assert len(ours) == 1
    assert SECRET not in ours[0]


def test_health_says_what_is_wrong_by_part(client: TestClient, world: World) -> None:
    world.ledger.down = world.store.broken = True
    assert client.get("/live").json() == {"status": "live"}
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert set(answer.json()["why"]) == {"chain", "store", "journal"}
