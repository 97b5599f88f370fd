# SPDX-License-Identifier: Apache-2.0
"""Who may call what at the gateway: everybody else is told that there is nothing."""

from __future__ import annotations

import pytest
from eth_utils.crypto import keccak
from starlette.testclient import TestClient

from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from tests.unit.client.world import NOW, World
from tests.unit.gateway.messages import grant_body, granted, revocation
from tests.unit.gateway.routes import (
    ACCESS,
    ANYBODY,
    PEOPLE,
    REQUESTS,
    SIGNED_IN,
    WITH_SESSION,
    call,
    one_record,
    page_of,
    problem,
    session,
)


def test_every_route_is_in_the_table(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    assert {(method, path) for path, methods in described.items() for method in methods} == set(ACCESS)


@pytest.mark.parametrize("route", WITH_SESSION, ids="".join)
def test_without_a_session_nothing_that_needs_one_is_done(
    client: TestClient, gateway: Gateway, world: World, route: tuple[str, str]
) -> None:
    body = REQUESTS[route](gateway, world)
    for headers in ({}, {"Authorization": "Bearer made-up"}):
        problem(call(client, route, body, headers, world), 403, "SIGNATURE")
    for header in ("Basic abc", "Bearer", f"Bearer {'x' * 200}"):
        problem(call(client, route, body, {"Authorization": header}, world), 400, "MALFORMED")


@pytest.mark.parametrize("who", ["alice", "bob", "hospital", "researcher", "runner"])
@pytest.mark.parametrize("route", WITH_SESSION, ids="".join)
def test_only_who_is_in_the_table_gets_an_answer(
    client: TestClient, gateway: Gateway, world: World, route: tuple[str, str], who: str
) -> None:
    body = REQUESTS[route](gateway, world)
    response = call(client, route, body, session(client, getattr(world, who)), world)
    if ACCESS[route] == SIGNED_IN or who in PEOPLE[ACCESS[route]]:
        assert response.status_code == 200
    else:
        problem(response, 404, "NOT_FOUND")


@pytest.mark.parametrize("route", [r for r, who in ACCESS.items() if who == ANYBODY], ids="".join)
def test_what_anybody_may_ask_needs_no_session(
    client: TestClient, gateway: Gateway, world: World, route: tuple[str, str]
) -> None:
    gateway.store.add_form(keccak(b"text"), "text")
    name, raw = one_record()
    client.post("/v1/content", content=raw, headers=session(client, world.hospital))
    path = route[1].replace("{form}", hexed(keccak(b"text")))
    body = {"cids": [name]} if path == "/v1/content/car" else {}
    response = client.get(path, params={"categories": 1}) if route[0] == "get" else client.post(path, json=body)
    assert response.status_code == 200


def test_not_yours_and_not_there_are_one_answer(client: TestClient, gateway: Gateway, world: World) -> None:
    granted(gateway, world)
    bob = session(client, world.bob)
    hers, nobodys = (
        client.get("/v1/consents", params={"subject": subject}, headers=bob)
        for subject in (world.alice.address, "0x" + "77" * 20)
    )
    assert problem(hers, 404, "NOT_FOUND") == problem(nobodys, 404, "NOT_FOUND")
    pages = [page_of(world, batch) for batch in (world.deposited(), world.batch())]
    there, not_there = (client.post("/v1/releases", json=page, headers=bob) for page in pages)
    assert problem(there, 404, "NOT_FOUND") == problem(not_there, 404, "NOT_FOUND")


@pytest.mark.parametrize("role", [Roles.CONSENT, Roles.GUARDIAN])
def test_a_delegate_sees_the_consents_she_may_end(
    client: TestClient, gateway: Gateway, world: World, role: int
) -> None:
    consent = granted(gateway, world)
    world.granted(consent)
    world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    headers = session(client, world.bob)
    [row] = client.get("/v1/consents", params={"subject": world.alice.address}, headers=headers).json()["consents"]
    assert row["consent"] == typed.to_json(consent)
    assert row["commitment"] == hexed(typed.struct_hash(consent))
    assert row["standing"]["granted_at"] == NOW - 50


@pytest.mark.parametrize("role", [Roles.DEPOSIT, Roles.ASSERTION, Roles.RECOVERY])
def test_any_other_delegate_does_not(client: TestClient, gateway: Gateway, world: World, role: int) -> None:
    granted(gateway, world)
    world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    headers = session(client, world.bob)
    problem(client.get("/v1/consents", params={"subject": world.alice.address}, headers=headers), 404, "NOT_FOUND")


def test_a_grant_and_a_revocation_need_no_session_but_their_signature(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    consent = world.consent(world.alice)
    assert client.post("/v1/consents", json=grant_body(consent, world.alice)).json()["state"] == "queued"
    problem(client.post("/v1/consents", json=grant_body(consent, world.bob)), 403, "SIGNATURE")
    assert len(client.post("/v1/revocations", json=revocation(world.alice)).json()["servers"]) == 3
    problem(client.post("/v1/revocations", json=revocation(world.alice, signer=world.bob)), 403, "SIGNATURE")
