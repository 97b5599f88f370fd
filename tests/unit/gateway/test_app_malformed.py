# SPDX-License-Identifier: Apache-2.0
"""Whatever is wrong with a request to the gateway is answered with a problem document."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.flow.gateway.gateway import Gateway
from consentum.services.gateway.app import create_app
from tests.unit.client.world import World, make_world
from tests.unit.gateway.conftest import MAX_BODY, ORIGIN, gateway_over, process_of
from tests.unit.gateway.messages import grant_body, revocation
from tests.unit.gateway.routes import (
    REQUESTS,
    WITH_BODY,
    one_record,
    problem,
    session,
)
from tests.unit.gateway.sender import MiningSender


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, dict[str, str]]]:
    """One application for the hundreds of requests that leave nothing behind, and Alice's session with it."""
    world = make_world(tmp_path_factory.mktemp("world"))
    app = create_app(process_of(gateway_over(world, MiningSender(world.ledger)), world.hospital.address))
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as made:
        yield made, session(made, world.alice)


@pytest.mark.parametrize("route", WITH_BODY, ids="".join)
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff\xfe\xfd", b"NaN", b'{"a": Infinity}', b'{"a": 1, "a": 2}', b"9" * 5_000],
    ids=["empty", "cut", "no text", "NaN", "Infinity", "twice", "long"],
)
def test_a_body_that_is_no_json_is_malformed(
    asked: tuple[TestClient, dict[str, str]], route: tuple[str, str], raw: bytes
) -> None:
    client, session_of_hers = asked
    headers = {**session_of_hers, "content-type": "application/json"}
    assert problem(client.post(route[1], content=raw, headers=headers), 400, "MALFORMED")["field"] == "body"


@pytest.mark.parametrize("route", WITH_BODY, ids="".join)
@pytest.mark.parametrize("body", [None, 1, "text", [], {}, {"unknown": 1}, True, [{}]])
def test_a_body_of_another_form_is_malformed(
    asked: tuple[TestClient, dict[str, str]], route: tuple[str, str], body: Any
) -> None:
    client, headers = asked
    problem(client.post(route[1], json=body, headers=headers), 400, "MALFORMED")


@pytest.mark.parametrize("route", [*WITH_BODY, ("post", "/v1/content")], ids="".join)
def test_a_body_that_is_too_large_is_refused_whatever_it_holds(
    asked: tuple[TestClient, dict[str, str]], route: tuple[str, str]
) -> None:
    client, headers = asked
    problem(client.post(route[1], content=b" " * (MAX_BODY + 1), headers=headers), 413, "TOO_LARGE")


def wrong_parts(body: Any) -> list[Any]:
    """The body with each of its parts missing, of another type, or with one part too many, two levels deep."""
    made: list[Any] = [{**body, "unknown": 1}]
    for key, value in body.items():
        made.append({k: v for k, v in body.items() if k != key})
        made += [{**body, key: wrong} for wrong in (None, [], 1.5, -1, "0xzz", {"unknown": 1})]
        if isinstance(value, dict):
            made += [{**body, key: inner} for inner in wrong_parts(value)]
    return made


@pytest.mark.parametrize(
    ("route", "who"),
    [
        (("post", "/v1/cohorts"), "runner"),
        (("post", "/v1/releases"), "runner"),
        (("post", "/v1/deposits"), "hospital"),
    ],
    ids="".join,
)
def test_each_part_that_is_wrong_is_a_problem_of_the_caller(
    client: TestClient, gateway: Gateway, world: World, route: tuple[str, str], who: str
) -> None:
    headers = session(client, getattr(world, who))
    body = REQUESTS[route](gateway, world)
    if route[1] == "/v1/deposits":  # one server's part is enough to take apart
        first, *rest = body["requests"]
        wrong = [
            {"requests": {**{s: body["requests"][s] for s in rest}, first: part}}
            for part in wrong_parts(body["requests"][first])
        ]
    else:
        wrong = wrong_parts(body)
    for one in wrong:
        response = client.post(route[1], json=one, headers=headers)
        assert response.status_code in (400, 403, 404), one
        problem(response, response.status_code, response.json()["code"])


def test_each_part_of_a_grant_or_a_notice_that_is_wrong_is_a_problem_of_the_caller(
    client: TestClient, world: World
) -> None:
    for path, body in (
        ("/v1/consents", grant_body(world.consent(world.alice), world.alice)),
        ("/v1/revocations", revocation(world.alice)),
    ):
        for one in wrong_parts(body):
            response = client.post(path, json=one)
            assert response.status_code in (400, 403), one
            problem(response, response.status_code, response.json()["code"])


@pytest.mark.parametrize("text", [None, "", 7, [], {}, ["x"]])
def test_a_form_is_a_text_that_is_not_empty(client: TestClient, world: World, text: Any) -> None:
    problem(client.post("/v1/forms", json={"text": text}, headers=session(client, world.alice)), 400, "MALFORMED")


SURROGATE = "a lone surrogate is no UTF-8: encoding it is a UnicodeEncodeError, so 500"


def test_a_form_that_is_no_text_is_malformed(client: TestClient, world: World) -> None:
    headers = {**session(client, world.alice), "content-type": "application/json"}
    problem(client.post("/v1/forms", content=rb'{"text": "\ud800"}', headers=headers), 400, "MALFORMED")


def test_a_field_whose_name_is_no_text_is_malformed(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    problem(
        client.post("/v1/consents", content=rb'{"consent": 1, "signature": 1, "\ud800": 1}', headers=headers),
        400,
        "MALFORMED",
    )


@pytest.mark.parametrize("subject", [None, "", "0x", "0xzz", "alice", "0x" + "11" * 21])
def test_a_subject_that_is_no_address_is_malformed(client: TestClient, world: World, subject: str | None) -> None:
    params = {} if subject is None else {"subject": subject}
    problem(client.get("/v1/consents", params=params, headers=session(client, world.alice)), 400, "MALFORMED")


@pytest.mark.parametrize(
    ("raw", "status"), [(b"", 400), (b"not a car", 400), (one_record()[1][:-1], 400), (one_record()[1] + b"x", 400)]
)
def test_content_that_is_no_whole_car_is_refused(client: TestClient, world: World, raw: bytes, status: int) -> None:
    response = client.post("/v1/content", content=raw, headers=session(client, world.hospital))
    problem(response, status, response.json()["code"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"cids": []}, 400),
        ({"cids": ["x"]}, 400),
        ({"cids": [1]}, 400),
        ({"cids": "b"}, 400),
        ({"cids": ["b"] * 1_001}, 400),
        ({"cids": [one_record()[0]]}, 404),
    ],
)
def test_content_that_is_not_there_or_no_content_is_refused(client: TestClient, body: Any, status: int) -> None:
    response = client.post("/v1/content/car", json=body)
    problem(response, status, response.json()["code"])


@pytest.mark.parametrize("form", ["0x" + "00" * 32, "0x00", "form", "0x" + "zz" * 32])
def test_a_form_nobody_added_is_not_found(client: TestClient, form: str) -> None:
    response = client.get(f"/v1/forms/{form}")
    problem(response, 404 if form == "0x" + "00" * 32 else 400, response.json()["code"])


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/nothing", 404), ("DELETE", "/v1/consents", 405)])
def test_what_there_is_no_route_for_is_a_problem_document(
    client: TestClient, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    problem(response, status, response.json()["code"])


def test_a_chain_that_is_down_is_a_503_with_when_to_come_back(client: TestClient, world: World) -> None:
    world.ledger.down = True
    response = client.post("/v1/consents", json=grant_body(world.consent(world.alice), world.alice))
    problem(response, 503, "UNAVAILABLE")
    assert response.headers["retry-after"] == "2"


def test_what_nobody_expected_is_a_ticket_and_nothing_else(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def burst(*_: Any) -> None:
        raise RuntimeError("canary-5501")

    monkeypatch.setattr(type(world.ledger), "signed_by", burst)
    response = client.post("/v1/consents", json=grant_body(world.consent(world.alice), world.alice))
    assert "ticket" in problem(response, 500, "UNEXPECTED")["detail"]
    assert "canary-5501" not in response.text + caplog.text


DEEP = """
import asyncio
from consentum.errors import MalformedError
from consentum.services.gateway import app
from consentum.services.http import json_body
class Request:
    async def body(self): return b"[" * 100_000
try:
    asyncio.run(json_body(Request()))
except MalformedError:
    print("refused")
"""


def test_a_body_nested_very_deeply_does_not_kill_the_process() -> None:
    """In a process of its own, with all that a service imports."""
    done = subprocess.run([sys.executable, "-c", DEEP], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "refused")
