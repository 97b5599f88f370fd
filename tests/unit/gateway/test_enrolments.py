# SPDX-License-Identifier: Apache-2.0
"""Enrolments at the gateway: whoever was invited may hand in one that its subject signed; only the custodian's word
counts."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.invites import proof_of, ticket_of
from consentum.domain.messages import Enrol
from consentum.domain.parsing import hexed
from consentum.flow.gateway import enrolments, forward
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles, Standing
from tests.unit.client.world import COMMITTEE, DOMAIN, LAB, NOW, World
from tests.unit.gateway.routes import problem, session

PROOF = proof_of(b"a code of sixteen")


def enrolment(world: World, who: WalletKey, custodian: str = "", signer: WalletKey | None = None) -> dict[str, Any]:
    enrol = Enrol(who.address.lower(), (custodian or world.hospital.address).lower(), secrets.token_bytes(32))
    signature = (signer or who).sign(typed.digest(DOMAIN, enrol))
    return {"enrol": typed.to_json(enrol), "signature": hexed(signature), "proof": hexed(PROOF)}


def ticket(world: World, proof: bytes = PROOF, expires: int = NOW + 1_000) -> dict[str, Any]:
    return {"ticket": hexed(ticket_of(proof, world.hospital.address)), "expires": expires}


def invite(client: TestClient, world: World, *tickets: dict[str, Any], who: WalletKey | None = None) -> Any:
    body = {"custodian": world.hospital.address.lower(), "tickets": list(tickets)}
    return client.post("/v1/invites", json=body, headers=session(client, who or world.hospital))


@pytest.fixture(autouse=True)
def invited(gateway: Gateway, world: World) -> None:
    """The hospital has one invite open."""
    gateway.enrolments.add_tickets(world.hospital.address, {ticket_of(PROOF, world.hospital.address): NOW + 1_000}, NOW)


def listed(client: TestClient, world: World, who: WalletKey, **more: str) -> Any:
    params = {"custodian": world.hospital.address, **more}
    return client.get("/v1/enrolments", params=params, headers=session(client, who))


def test_a_patient_hands_in_and_her_custodian_recognises_her(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    body = enrolment(world, world.alice)
    done = client.post("/v1/enrolments", json=body).json()
    seen = {name: body[name] for name in ("enrol", "signature")}
    assert done["recognised"] is False
    assert not gateway.enrolments.recognised(world.alice.address)
    assert listed(client, world, world.hospital).json() == {"enrolments": [{**seen, "recognised": False}]}
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
    assert gateway.enrolments.of_custodian(world.bob.address, 9) == []


def test_one_that_its_subject_did_not_sign_is_refused(client: TestClient, gateway: Gateway, world: World) -> None:
    problem(client.post("/v1/enrolments", json=enrolment(world, world.alice, signer=world.bob)), 403, "SIGNATURE")
    assert gateway.enrolments.of_custodian(world.hospital.address, 9) == []


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


def test_a_thousand_and_one_strangers_are_in_no_patients_way(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    """They have no code: a proof of one they made up, the hash of it or the ticket itself does not help."""
    stranger, seen = WalletKey(), [*gateway.enrolments.of_custodian(world.hospital.address, 9)]
    false = enrolment(world, stranger)
    for number in range(1_001):
        proof = hexed(proof_of(number.to_bytes(16, "big")) if number else ticket_of(PROOF, world.hospital.address))
        answer = client.post("/v1/enrolments", json={**false, "proof": proof})
        assert (answer.status_code, answer.json()["field"]) == (404, "proof")
    assert gateway.enrolments.of_custodian(world.hospital.address, 9) == seen
    identity = client.post("/v1/enrolments", json=enrolment(world, world.alice)).json()["enrolment"]
    [row] = listed(client, world, world.hospital).json()["enrolments"]
    assert hexed(typed.struct_hash(typed.from_json(Enrol, row["enrol"]))) == identity


def test_a_stranger_makes_the_gateway_ask_the_node_nothing(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(world.ledger), "signed_by", lambda *_: pytest.fail("the node was asked"))
    body = {**enrolment(world, world.alice), "proof": hexed(bytes(32))}
    assert problem(client.post("/v1/enrolments", json=body), 404, "NOT_FOUND")["field"] == "proof"


def test_a_code_that_many_use_fills_no_more_than_its_own_room(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    first = enrolment(world, world.alice)
    assert client.post("/v1/enrolments", json=first).status_code == 200
    for _ in range(enrolments.MAX_UNDER_A_TICKET - 1):
        assert client.post("/v1/enrolments", json=enrolment(world, WalletKey())).status_code == 200
    problem(client.post("/v1/enrolments", json=enrolment(world, WalletKey())), 429, "LIMIT")
    assert client.post("/v1/enrolments", json=first).status_code == 200  # known already: no more than before
    other = proof_of(b"another code ...")
    assert invite(client, world, ticket(world, other)).json() == {"tickets": 1}
    body = {**enrolment(world, world.bob), "proof": hexed(other)}
    assert client.post("/v1/enrolments", json=body).status_code == 200


# Tickets


def test_a_ticket_opens_until_it_expires_and_for_its_own_custodian_alone(client: TestClient, world: World) -> None:
    late, foreign = proof_of(b"late"), proof_of(b"foreign")
    elsewhere = {"ticket": hexed(ticket_of(foreign, world.bob.address)), "expires": NOW + 1_000}
    assert invite(client, world, ticket(world, late, NOW), elsewhere).json() == {"tickets": 2}
    for proof in (late, foreign):
        answer = client.post("/v1/enrolments", json={**enrolment(world, world.alice), "proof": hexed(proof)})
        assert problem(answer, 404, "NOT_FOUND")["field"] == "proof"


def test_a_known_enrolment_needs_no_open_ticket_any_more(client: TestClient, gateway: Gateway, world: World) -> None:
    body = enrolment(world, world.alice)
    assert client.post("/v1/enrolments", json=body).status_code == 200
    gateway.clock = lambda: float(NOW + 2_000)
    assert client.post("/v1/enrolments", json=body).status_code == 200
    problem(client.post("/v1/enrolments", json=enrolment(world, world.bob)), 404, "NOT_FOUND")


@pytest.mark.parametrize("who", ["alice", "bob", "researcher"])
def test_nobody_else_leaves_tickets_for_a_custodian(
    client: TestClient, gateway: Gateway, world: World, who: str
) -> None:
    more = ticket(world, proof_of(b"more"))
    problem(invite(client, world, more, who=getattr(world, who)), 404, "NOT_FOUND")
    gateway.sponsorship = replace(gateway.sponsorship, custodians=frozenset())
    problem(invite(client, world, more), 404, "NOT_FOUND")
    assert gateway.enrolments.open_tickets(world.hospital.address, NOW) == 1


def test_tickets_that_are_too_many_or_for_ever_are_refused_whole(
    client: TestClient, gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, for_ever = ticket(world, proof_of(b"1")), ticket(world, proof_of(b"2"), NOW + 400 * 86_400)
    assert problem(invite(client, world, good, for_ever), 400, "MALFORMED")["field"] == "expires"
    monkeypatch.setattr(enrolments, "MAX_OPEN_TICKETS", 2)
    problem(invite(client, world, good, ticket(world, proof_of(b"3"))), 429, "LIMIT")
    assert gateway.enrolments.open_tickets(world.hospital.address, NOW) == 1
    assert invite(client, world, good).status_code == 200


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
