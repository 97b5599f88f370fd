# SPDX-License-Identifier: Apache-2.0
"""The routes of the gateway: who may call each, and a good request for each."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from consentum.adapters.ipfs import car, unixfs
from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Login, Retract
from consentum.domain.parsing import as_bytes, hexed
from consentum.flow.client import collect
from consentum.flow.client.deposit import Batch
from consentum.flow.client.retract import retract
from consentum.flow.gateway import forward
from consentum.flow.gateway.gateway import Gateway
from tests.unit.client.world import DEADLINE, DOMAIN, LAB, NOW, World
from tests.unit.gateway.conftest import ORIGIN

ANYBODY, SIGNED_IN, SIGNATURE = "anybody", "whoever signed in", "whoever holds the signature"
SUBJECT, CUSTODIAN, PARTY, RUNNER = "the subject", "the custodian", "requester and runner", "the job's runner"

# Every route, and who may call it. A new route fails the test below until it is here and in REQUESTS.
ACCESS = {
    ("get", "/live"): ANYBODY,
    ("get", "/ready"): ANYBODY,
    ("get", "/metrics"): ANYBODY,
    ("post", "/v1/logins/challenge"): ANYBODY,
    ("post", "/v1/logins"): SIGNATURE,
    ("get", "/v1/deployment"): ANYBODY,
    ("post", "/v1/consents"): SIGNATURE,
    ("get", "/v1/consents"): SUBJECT,
    ("post", "/v1/revocations"): SIGNATURE,
    ("post", "/v1/forms"): SIGNED_IN,
    ("get", "/v1/forms/{form}"): ANYBODY,
    ("post", "/v1/content"): SIGNED_IN,
    ("post", "/v1/content/car"): ANYBODY,
    ("post", "/v1/deposits"): CUSTODIAN,
    ("post", "/v1/retractions"): CUSTODIAN,
    ("post", "/v1/cohorts"): PARTY,
    ("post", "/v1/releases"): RUNNER,
}
WITH_SESSION = [route for route, who in ACCESS.items() if who in (SIGNED_IN, SUBJECT, CUSTODIAN, PARTY, RUNNER)]
WITH_BODY = [
    route for route in ACCESS if route[0] == "post" and route[1] not in ("/v1/logins/challenge", "/v1/content")
]
PEOPLE = {SUBJECT: {"alice"}, CUSTODIAN: {"hospital"}, PARTY: {"researcher", "runner"}, RUNNER: {"runner"}}


def session(client: TestClient, who: WalletKey) -> dict[str, str]:
    offer = client.post("/v1/logins/challenge").json()
    login = Login(who.address.lower(), ORIGIN, as_bytes(offer["challenge"], "challenge", 32), NOW + 60)
    signature = hexed(who.sign(typed.digest(DOMAIN, login)))
    answer = client.post("/v1/logins", json={"login": typed.to_json(login), "signature": signature})
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    return body


# What a good request is, so that only the caller decides


def good_retraction(gateway: Gateway, world: World) -> dict[str, Any]:
    batch = world.batch()
    forward.deposit(gateway, batch.to_json(), world.hospital.address.lower())
    message = Retract(world.hospital.address.lower(), batch.records[0].id, bytes(32), NOW)
    return retract(DOMAIN, world.hospital, message).to_json()


def good_page(gateway: Gateway, world: World) -> dict[str, Any]:
    return page_of(world, world.deposited())


def page_of(world: World, batch: Batch) -> dict[str, Any]:
    request = collect._sign_release(world.collector(), [record.id for record in batch.records], DEADLINE)
    plain = {key: value for key, value in request.to_json().items() if key != "openings"}
    return {"server": world.peers[0].address, "request": plain}


def good_job(gateway: Gateway, world: World) -> dict[str, Any]:
    job = world.job()
    signature = hexed(world.researcher.sign(typed.digest(DOMAIN, job)))
    return {"job": typed.to_json(job), "jobSignature": signature, "categories": LAB}


REQUESTS: dict[tuple[str, str], Callable[[Gateway, World], Any]] = {
    ("get", "/v1/consents"): lambda gateway, world: None,
    ("post", "/v1/forms"): lambda gateway, world: {"text": "I agree."},
    ("post", "/v1/content"): lambda gateway, world: None,
    ("post", "/v1/deposits"): lambda gateway, world: world.batch().to_json(),
    ("post", "/v1/retractions"): good_retraction,
    ("post", "/v1/cohorts"): good_job,
    ("post", "/v1/releases"): good_page,
}


def call(client: TestClient, route: tuple[str, str], body: Any, headers: dict[str, str], world: World) -> Any:
    method, path = route
    if path == "/v1/content":
        return client.post(path, content=one_record()[1], headers=headers)
    if method == "get":
        return client.get(path, params={"subject": world.alice.address}, headers=headers)
    return client.post(path, json=body, headers=headers)


def one_record() -> tuple[str, bytes]:
    blocks = list(unixfs.build(io.BytesIO(b"sealed")))
    return str(blocks[-1][0]), car.header([blocks[-1][0]]) + b"".join(car.section(*block) for block in blocks)
