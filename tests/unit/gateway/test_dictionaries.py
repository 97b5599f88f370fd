# SPDX-License-Identifier: Apache-2.0
"""Who may say what a custodian's records look like: whoever may deposit for it, at a gateway that works for it."""

from __future__ import annotations

from starlette.testclient import TestClient

from consentum.crypto.signing import WalletKey
from consentum.ports.chain import Roles
from tests.unit.client.world import World
from tests.unit.gateway.routes import DICTIONARY, problem, session

PATHOLOGY = 8


def place(custodian: str, category: str = "pathology") -> str:
    return f"/v1/dictionaries/{custodian}/{category}"


def published(client: TestClient) -> object:
    return client.get("/v1/dictionaries", params={"categories": PATHOLOGY}).json()["dictionaries"]


def test_a_custodian_publishes_and_anybody_reads(client: TestClient, world: World) -> None:
    ward = world.hospital
    answer = client.put(place(ward.address), json=DICTIONARY, headers=session(client, ward))
    told = {"custodian": ward.address.lower(), "category": PATHOLOGY}
    assert answer.json() == {**told, "version": 1}
    assert published(client) == [{**told, "dictionary": DICTIONARY}]
    assert client.get("/v1/dictionaries", params={"categories": 1}).json() == {"dictionaries": []}


def test_a_deposit_delegate_publishes_for_it(client: TestClient, world: World) -> None:
    nurse = WalletKey()
    world.ledger.delegates.add((world.hospital.address.lower(), Roles.DEPOSIT, nurse.address.lower()))
    answer = client.put(place(world.hospital.address), json=DICTIONARY, headers=session(client, nurse))
    assert answer.status_code == 200


def test_a_delegate_for_anything_else_does_not(client: TestClient, world: World) -> None:
    other = WalletKey()
    for role in (Roles.CONSENT, Roles.GUARDIAN, Roles.RECOVERY, Roles.ASSERTION):
        world.ledger.delegates.add((world.hospital.address.lower(), role, other.address.lower()))
    answer = client.put(place(world.hospital.address), json=DICTIONARY, headers=session(client, other))
    problem(answer, 404, "NOT_FOUND")
    assert published(client) == []


def test_a_custodian_this_gateway_does_not_work_for_and_anothers_are_one_answer(
    client: TestClient, world: World
) -> None:
    stranger = world.bob
    headers = session(client, stranger)
    own = client.put(place(stranger.address), json=DICTIONARY, headers=headers)
    others = client.put(place(world.hospital.address), json=DICTIONARY, headers=headers)
    assert problem(own, 404, "NOT_FOUND") == problem(others, 404, "NOT_FOUND")
    assert published(client) == []


def test_other_content_under_a_published_version_is_a_conflict(client: TestClient, world: World) -> None:
    headers = session(client, world.hospital)
    client.put(place(world.hospital.address), json=DICTIONARY, headers=headers)
    answer = client.put(place(world.hospital.address), json={**DICTIONARY, "title": "other"}, headers=headers)
    assert problem(answer, 409, "CONFLICT")["field"] == "version"


def test_nonsense_is_refused_by_its_field(client: TestClient, world: World) -> None:
    headers, ward = session(client, world.hospital), world.hospital.address
    bad = [
        (place(ward, "horoscopes"), DICTIONARY, "category"),
        (place("0x12"), DICTIONARY, None),
        (place(ward), {**DICTIONARY, "rows": []}, "rows"),
    ]
    for path, body, field in bad:
        found = problem(client.put(path, json=body, headers=headers), 400, "MALFORMED")
        assert field in (None, found.get("field"))
    for mask in (0, -1, 1 << 63):
        problem(client.get("/v1/dictionaries", params={"categories": mask}), 400, "MALFORMED")
    assert published(client) == []
