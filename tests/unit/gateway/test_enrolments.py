# SPDX-License-Identifier: Apache-2.0
"""Enrolments at the gateway: anybody may hand one in that its subject signed; only the custodian's word counts."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Enrol
from consentum.domain.parsing import hexed
from consentum.flow.gateway import enrolments, forward
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles, Standing
from tests.unit.client.world import COMMITTEE, DOMAIN, LAB, World
from tests.unit.gateway.routes import problem, session


def enrolment(world: World, who: WalletKey, custodian: str = "", signer: WalletKey | None = None) -> dict[str, Any]:
    enrol = Enrol(who.address.lower(), (custodian or world.hospital.address).lower(), secrets.token_bytes(32))
    signature = (signer or who).sign(typed.digest(DOMAIN, enrol))
    return {"enrol": typed.to_json(enrol), "signature": hexed(signature)}


def listed(client: TestClient, world: World, who: WalletKey, **more: str) -> Any:
    params = {"custodian": world.hospital.address, **more}
    return client.get("/v1/enrolments", params=params, headers=session(client, who))


def test_a_patient_hands_in_and_her_custodian_recognises_her(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    body = enrolment(world, world.alice)
    done = client.post("/v1/enrolments", json=body).json()
    assert done["recognised"] is False
    assert not gateway.enrolments.recognised(world.alice.address)
    assert listed(client, world, world.hospital).json() == {"enrolments": [{**body, "recognised": False}]}
    where = f"/v1/enrolments/{done['enrolment']}/recognise"
    answer = client.post(where, headers=session(client, world.hospital)).json()
    assert answer == {"enrolment": done["enrolment"], "recognised": True}
    assert gateway.enrolments.recognised(world.alice.address)
    assert client.post("/v1/enrolments", json=body).json()["recognised"] is True


def test_staff_with_the_deposit_role_do_it_for_the_custodian(client: TestClient, world: World) -> None:
    world.ledger.delegates.add((world.hospital.address.lower(), Roles.DEPOSIT, world.bob.address.lower()))
    identity = client.post("/v1/enrolments", json=enrolment(world, world.alice)).json()["enrolment"]
    assert len(listed(client, world, world.bob).json()["enrolments"]) == 1
    where = f"/v1/enrolments/{identity}/recognise"
    assert client.post(where, headers=session(client, world.bob)).status_code == 200


@pytest.mark.parametrize("who", ["alice", "bob", "researcher"])
def test_nobody_else_sees_or_recognises_one(client: TestClient, gateway: Gateway, world: World, who: str) -> None:
    identity = client.post("/v1/enrolments", json=enrolment(world, world.alice)).json()["enrolment"]
    stranger = getattr(world, who)
    problem(listed(client, world, stranger), 404, "NOT_FOUND")
    headers = session(client, stranger)
    there = client.post(f"/v1/enrolments/{identity}/recognise", headers=headers)
    not_there = client.post(f"/v1/enrolments/{hexed(bytes(32))}/recognise", headers=headers)
    assert problem(there, 404, "NOT_FOUND") == problem(not_there, 404, "NOT_FOUND")
    assert not gateway.enrolments.recognised(world.alice.address)


def test_a_custodian_that_the_operator_did_not_name_gets_none(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    body = enrolment(world, world.alice, custodian=world.bob.address)
    assert problem(client.post("/v1/enrolments", json=body), 404, "NOT_FOUND")["field"] == "custodian"
    assert gateway.enrolments.waiting(world.bob.address) == 0


def test_one_that_its_subject_did_not_sign_is_refused(client: TestClient, gateway: Gateway, world: World) -> None:
    problem(client.post("/v1/enrolments", json=enrolment(world, world.alice, signer=world.bob)), 403, "SIGNATURE")
    assert gateway.enrolments.waiting(world.hospital.address) == 0


def test_a_consent_delegate_may_sign_it_and_another_not(client: TestClient, world: World) -> None:
    for role, status in ((Roles.DEPOSIT, 403), (Roles.GUARDIAN, 403), (Roles.CONSENT, 200)):
        world.ledger.delegates = {(world.alice.address.lower(), role, world.bob.address.lower())}
        body = enrolment(world, world.alice, signer=world.bob)
        assert client.post("/v1/enrolments", json=body).status_code == status


def test_one_that_was_withdrawn_is_refused(client: TestClient, gateway: Gateway, world: World) -> None:
    body = enrolment(world, world.alice)
    hashed = typed.struct_hash(typed.from_json(Enrol, body["enrol"]))
    world.ledger.standing[world.alice.address.lower(), hashed] = Standing(0, 5, 0, 0)
    problem(client.post("/v1/enrolments", json=body), 403, "SIGNATURE")
    assert gateway.enrolments.find(hashed) is None


def test_strangers_cannot_fill_the_disk(
    client: TestClient, gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrolments, "MAX_UNRECOGNISED", 2)
    first = enrolment(world, world.alice)
    for body in (first, enrolment(world, world.bob)):
        assert client.post("/v1/enrolments", json=body).status_code == 200
    problem(client.post("/v1/enrolments", json=enrolment(world, WalletKey())), 429, "LIMIT")
    identity = client.post("/v1/enrolments", json=first).json()["enrolment"]  # known already: no more than before
    gateway.enrolments.recognise(bytes.fromhex(identity[2:]), world.hospital.address)
    assert client.post("/v1/enrolments", json=enrolment(world, WalletKey())).status_code == 200


def test_pages_go_on_after_a_hash(client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolments, "PAGE", 2)
    made = {client.post("/v1/enrolments", json=enrolment(world, WalletKey())).json()["enrolment"] for _ in range(5)}
    seen: list[str] = []
    while page := listed(client, world, world.hospital, after=seen[-1] if seen else "").json()["enrolments"]:
        seen += [hexed(typed.struct_hash(typed.from_json(Enrol, row["enrol"]))) for row in page]
    assert seen == sorted(made)
    problem(listed(client, world, world.hospital, after="0x00"), 400, "MALFORMED")


def test_a_custodian_that_the_operator_took_out_makes_nobody_known_any_more(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    identity = client.post("/v1/enrolments", json=enrolment(world, world.alice)).json()["enrolment"]
    gateway.sponsorship = replace(gateway.sponsorship, custodians=frozenset())
    told = client.post(f"/v1/enrolments/{identity}/recognise", headers=session(client, world.hospital))
    problem(told, 404, "NOT_FOUND")
    assert not gateway.enrolments.recognised(world.alice.address.lower())


# A patient's records


def test_a_patient_sees_her_records_and_when_they_came(client: TestClient, gateway: Gateway, world: World) -> None:
    batch = world.batch(world.alice, world.bob)
    forward.deposit(gateway, batch.to_json(), world.hospital.address.lower())
    headers = session(client, world.alice)
    [row] = client.get("/v1/records", params={"subject": world.alice.address}, headers=headers).json()["records"]
    hers = next(r for r in batch.records if r.subject == world.alice.address.lower())
    deposited = row.pop("deposited")
    assert row == {
        "record": hexed(hers.id),
        "custodian": world.hospital.address.lower(),
        "categories": LAB,
        "cid": str(hers.cid),
        "committee": hexed(COMMITTEE),
    }
    assert type(deposited) is int


def test_a_record_that_not_all_servers_acknowledged_is_not_listed(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    batch = world.batch(world.alice)
    world.peers[1].fault = "down"
    forward.deposit(gateway, batch.to_json(), world.hospital.address.lower())
    headers = session(client, world.alice)
    assert client.get("/v1/records", params={"subject": world.alice.address}, headers=headers).json() == {"records": []}


@pytest.mark.parametrize(("role", "status"), [(Roles.CONSENT, 200), (Roles.GUARDIAN, 404), (Roles.DEPOSIT, 404)])
def test_only_a_consent_delegate_sees_them_for_her(client: TestClient, world: World, role: int, status: int) -> None:
    world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    headers = session(client, world.bob)
    answer = client.get("/v1/records", params={"subject": world.alice.address}, headers=headers)
    assert answer.status_code == status
