# SPDX-License-Identifier: Apache-2.0
"""Who may read a journal's entries over HTTP: she, her delegates and guardians; to all others nothing is there."""

from __future__ import annotations

import secrets

import httpx
import pytest
from fastapi.testclient import TestClient

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.domain.messages import Login
from consentum.domain.parsing import hexed
from consentum.domain.records import Record
from tests.unit.keyserver.web import ORIGIN, SECRET, client, process, refused, world
from tests.unit.keyserver.world import World

__all__ = ["client", "process", "world"]  # fixtures


def login(client: TestClient, world: World, who: Signer, origin: str = ORIGIN) -> httpx.Response:
    given = client.post("/v1/logins/challenge").json()
    made = Login(who.address.lower(), origin, bytes.fromhex(given["challenge"][2:]), given["expires"])
    return client.post("/v1/logins", json={"login": typed.to_json(made), "signature": hexed(world.sign(who, made))})


def bearer_of(client: TestClient, world: World, who: Signer) -> dict[str, str]:
    return {"Authorization": f"Bearer {login(client, world, who).json()['token']}"}


@pytest.fixture
def asked(client: TestClient, world: World) -> Record:
    """A record that was released once: entry 0."""
    consent, record = world.grant(world.consent()), world.record()
    assert client.post("/v1/releases", json=world.page([record.id], [consent]).to_json()).status_code == 200
    return record


def test_she_reads_her_entries(client: TestClient, world: World, asked: Record) -> None:
    mine = bearer_of(client, world, world.patient)
    listed = client.get(f"/v1/journal/entries?subject={asked.subject}", headers=mine).json()["entries"]
    assert listed[0]["entry"]["record"] == hexed(asked.id)
    assert client.get("/v1/journal/entries/0", headers=mine).json() == listed[0]


def test_not_yours_and_not_there_are_the_same_bytes(client: TestClient, world: World, asked: Record) -> None:
    theirs = bearer_of(client, world, world.stranger)
    answers = [client.get(f"/v1/journal/entries/{n}", headers=theirs) for n in (0, 1, 99, -1, 10**30)]
    refused(answers[0], 404, "NOT_FOUND", "index")
    assert len({(a.status_code, a.content) for a in answers}) == 1
    subjects = [asked.subject, "0x" + "77" * 20]
    lists = [client.get(f"/v1/journal/entries?subject={s}", headers=theirs) for s in subjects]
    assert len({(a.status_code, a.content) for a in lists}) == 1
    refused(lists[0], 404, "NOT_FOUND", "subject")


def test_an_entry_about_an_unknown_record_is_nobodys(client: TestClient, world: World) -> None:
    client.post("/v1/releases", json=world.page([b"\1" * 32], [None]).to_json())
    for who in (world.patient, world.requester):
        answer = client.get("/v1/journal/entries/0", headers=bearer_of(client, world, who))
        refused(answer, 404, "NOT_FOUND", "index")


@pytest.mark.parametrize("subject", ["", "0x", "alice", "0x" + "zz" * 20, SECRET, "0x" + "Aa" * 19])
def test_a_subject_that_is_no_address_is_refused(client: TestClient, world: World, subject: str) -> None:
    answer = client.get(
        "/v1/journal/entries", params={"subject": subject}, headers=bearer_of(client, world, world.patient)
    )
    assert answer.status_code in (400, 404)
    assert SECRET not in answer.text


@pytest.mark.parametrize("role", [b"consent", b"guardian"])
def test_her_delegate_or_guardian_reads_her_entries(
    client: TestClient, world: World, asked: Record, role: bytes
) -> None:
    world.delegate(world.patient, role, world.stranger)
    theirs = bearer_of(client, world, world.stranger)
    assert client.get("/v1/journal/entries/0", headers=theirs).status_code == 200


def test_without_a_session_nobody_reads_anything(client: TestClient, asked: Record) -> None:
    for header in ({}, {"Authorization": f"Bearer {secrets.token_urlsafe(32)}"}):
        for path in ("/v1/journal/entries/0", f"/v1/journal/entries?subject={asked.subject}"):
            refused(client.get(path, headers=header), 403, "SIGNATURE", "authorization")


def test_a_session_expires(client: TestClient, world: World, asked: Record) -> None:
    mine = bearer_of(client, world, world.patient)
    world.clock.ahead = 900
    refused(client.get("/v1/journal/entries/0", headers=mine), 403, "SIGNATURE", "authorization")


def test_a_used_challenge_is_refused(client: TestClient, world: World) -> None:
    given = client.post("/v1/logins/challenge").json()
    who = world.patient
    made = Login(who.address.lower(), ORIGIN, bytes.fromhex(given["challenge"][2:]), given["expires"])
    body = {"login": typed.to_json(made), "signature": hexed(world.sign(who, made))}
    assert client.post("/v1/logins", json=body).status_code == 200
    refused(client.post("/v1/logins", json=body), 403, "SIGNATURE", "challenge")


def test_a_login_for_another_origin_is_refused(client: TestClient, world: World) -> None:
    refused(login(client, world, world.patient, "http://localhost:8102"), 403, "SIGNATURE", "origin")
