# SPDX-License-Identifier: Apache-2.0
"""The routes of the gateway: who may call each, and a good request for each."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.testclient import TestClient

from consentum.adapters.ipfs import car, unixfs
from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Enrol, Login, Retract
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_bytes, hexed
from consentum.flow.client import collect
from consentum.flow.client.deposit import Batch
from consentum.flow.client.retraction import retract
from consentum.flow.gateway import forward, jobs
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.submission import Submission, result_salt
from consentum.ports.enrolments import SignedEnrol
from tests.unit.client.world import DEADLINE, DOMAIN, LAB, NOW, World
from tests.unit.gateway.conftest import ORIGIN

ANYBODY, SIGNED_IN, SIGNATURE = "anybody", "whoever signed in", "whoever holds the signature"
KNOWS, PAID, MEMBER = "whoever knows the id", "for those the gateway pays for", "a member of the board"
LEAD, UPLOADER = "the study's lead", "whoever began the upload"
SUBJECT, CUSTODIAN, PARTY, RUNNER = "the subject", "the custodian", "requester and runner", "the job's runner"
REQUESTER, BOARD = "the job's requester", "the study's board"

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
    ("post", "/v1/content"): CUSTODIAN,
    ("post", "/v1/content/car"): ANYBODY,
    ("post", "/v1/uploads"): CUSTODIAN,
    ("patch", "/v1/uploads/{upload}"): UPLOADER,
    ("get", "/v1/uploads/{upload}"): UPLOADER,
    ("head", "/v1/uploads/{upload}"): UPLOADER,
    ("get", "/ipfs/{cid}"): KNOWS,
    ("head", "/ipfs/{cid}"): KNOWS,
    ("post", "/v1/deposits"): CUSTODIAN,
    ("post", "/v1/retractions"): CUSTODIAN,
    ("post", "/v1/cohorts"): PARTY,
    ("post", "/v1/releases"): RUNNER,
    ("put", "/v1/dictionaries/{custodian}/{category}"): CUSTODIAN,
    ("get", "/v1/dictionaries"): ANYBODY,
    ("post", "/v1/jobs"): SIGNATURE,
    ("get", "/v1/jobs"): SIGNED_IN,
    ("get", "/v1/jobs/{identity}"): REQUESTER,
    ("post", "/v1/jobs/{identity}/cancel"): REQUESTER,
    ("get", "/v1/jobs/{identity}/receipts"): BOARD,
    ("get", "/v1/runners"): ANYBODY,
    ("post", "/v1/runner/claims"): SIGNED_IN,
    ("post", "/v1/runner/jobs/{identity}/events"): RUNNER,
    ("post", "/v1/runner/jobs/{identity}/result"): RUNNER,
    ("post", "/v1/identities"): SIGNATURE,
    ("post", "/v1/identities/recoveries"): SIGNATURE,
    ("post", "/v1/identities/finalizations"): PAID,
    ("get", "/v1/relayed/{identity}"): KNOWS,
    ("post", "/v1/studies"): LEAD,
    ("get", "/v1/studies"): ANYBODY,
    ("get", "/v1/studies/{study}"): KNOWS,
    ("post", "/v1/studies/{study}/amendments"): SIGNATURE,
    ("post", "/v1/studies/{study}/members"): SIGNATURE,
    ("post", "/v1/studies/{study}/withdrawal"): SIGNATURE,
    ("post", "/v1/boards"): PAID,
    ("post", "/v1/motions"): SIGNATURE,
    ("get", "/v1/motions"): MEMBER,
    ("post", "/v1/motions/{motion}/recusals"): MEMBER,
    ("post", "/v1/invites"): CUSTODIAN,
    ("post", "/v1/enrolments"): SIGNATURE,
    ("get", "/v1/enrolments"): CUSTODIAN,
    ("post", "/v1/enrolments/{enrolment}/recognise"): CUSTODIAN,
    ("get", "/v1/records"): SUBJECT,
}
# Boards, studies, identities and uploads have modules of their own: what is theirs must exist first.
ELSEWHERE = (ANYBODY, SIGNATURE, KNOWS, PAID, MEMBER, LEAD, UPLOADER)
WITH_SESSION = [route for route, who in ACCESS.items() if who not in ELSEWHERE]
# Nothing is in theirs that could be wrong.
WITHOUT_BODY = (
    *("/v1/logins/challenge", "/v1/content", "/v1/runner/claims", "/v1/jobs/{identity}/cancel"),
    "/v1/enrolments/{enrolment}/recognise",
)
WITH_BODY = [route for route in ACCESS if route[0] == "post" and route[1] not in WITHOUT_BODY]
PEOPLE = {
    SUBJECT: {"alice"},
    CUSTODIAN: {"hospital"},
    PARTY: {"researcher", "runner"},
    RUNNER: {"runner"},
    REQUESTER: {"researcher"},
    BOARD: {"bob"},
}


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
    request = collect.sign_release(world.collector(), [record.id for record in batch.records], DEADLINE)
    plain = {key: value for key, value in request.to_json().items() if key != "openings"}
    return {"server": world.peers[0].address, "request": plain}


def good_job(gateway: Gateway, world: World) -> dict[str, Any]:
    job = world.job()
    signature = hexed(world.researcher.sign(typed.digest(DOMAIN, job)))
    return {"job": typed.to_json(job), "jobSignature": signature, "categories": LAB}


DICTIONARY = {
    "title": "Fine-needle aspirates",
    "version": 1,
    "contentType": "application/json",
    "columns": [
        {
            "name": "mean radius",
            "type": "number",
            "unit": "px",
            "minimum": 6,
            "maximum": 30,
            "mean": 14,
            "deviation": 3,
        },
        {"name": "diagnosis", "type": "category", "values": ["benign", "malignant"]},
    ],
}


@dataclass(frozen=True, slots=True)
class OfJob:
    """A body for a route of one job."""

    identity: str
    body: Any


def good_word(gateway: Gateway, world: World) -> OfJob:
    """What the runner of a claimed job may say; its board is Bob's."""
    world.ledger.members = (world.bob.address,)
    identity = jobs.submit(gateway, submission_of(world).to_json())["id"]
    held = jobs.claim(gateway, {}, world.runner.address.lower())
    return OfJob(identity, {"lease": held["lease"], "state": "running", "stage": ""})


def good_result(gateway: Gateway, world: World) -> OfJob:
    word = good_word(gateway, world)
    return OfJob(word.identity, {"lease": word.body["lease"], "error": {"code": "JOB_FAILED", "detail": ""}})


def submission_of(world: World) -> Submission:
    package = JobPackage({"job.py": b""}, "job:main", LAB, {"out": "json"})
    key = SealingKey().public
    job = replace(world.job(), code=package.digest, salt=result_salt(key, bytes(32)))
    return Submission(job, world.researcher.sign(typed.digest(DOMAIN, job)), package, key, bytes(32))


def enrolment_of(world: World) -> Enrol:
    return Enrol(world.alice.address.lower(), world.hospital.address.lower(), bytes(32))


def good_invite(gateway: Gateway, world: World) -> dict[str, Any]:
    tickets = [{"ticket": hexed(bytes(32)), "expires": NOW + 1_000}]
    return {"custodian": world.hospital.address.lower(), "tickets": tickets}


def handed_in(gateway: Gateway, world: World) -> None:
    """Alice's enrolment, kept and not recognised."""
    enrol = enrolment_of(world)
    gateway.enrolments.add(SignedEnrol(enrol, world.alice.sign(typed.digest(DOMAIN, enrol)), False))


REQUESTS: dict[tuple[str, str], Callable[[Gateway, World], Any]] = {
    ("get", "/v1/consents"): lambda gateway, world: None,
    ("post", "/v1/forms"): lambda gateway, world: {"text": "I agree."},
    ("post", "/v1/content"): lambda gateway, world: None,
    ("post", "/v1/uploads"): lambda gateway, world: {"cid": one_record()[0], "size": 6},
    ("post", "/v1/deposits"): lambda gateway, world: world.batch().to_json(),
    ("post", "/v1/retractions"): good_retraction,
    ("post", "/v1/cohorts"): good_job,
    ("post", "/v1/releases"): good_page,
    ("put", "/v1/dictionaries/{custodian}/{category}"): lambda gateway, world: DICTIONARY,
    ("get", "/v1/jobs"): lambda gateway, world: None,
    ("get", "/v1/jobs/{identity}"): good_word,
    ("post", "/v1/jobs/{identity}/cancel"): good_word,
    ("get", "/v1/jobs/{identity}/receipts"): good_word,
    ("post", "/v1/runner/claims"): lambda gateway, world: {},
    ("post", "/v1/runner/jobs/{identity}/events"): good_word,
    ("post", "/v1/runner/jobs/{identity}/result"): good_result,
    ("post", "/v1/invites"): good_invite,
    ("get", "/v1/enrolments"): lambda gateway, world: None,
    ("post", "/v1/enrolments/{enrolment}/recognise"): handed_in,
    ("get", "/v1/records"): lambda gateway, world: None,
}


def call(client: TestClient, route: tuple[str, str], body: Any, headers: dict[str, str], world: World) -> Any:
    method, path = route
    if isinstance(body, OfJob):
        path, body = path.replace("{identity}", body.identity), body.body
    if path == "/v1/content":
        return client.post(path, content=one_record()[1], headers=headers)
    if method == "put":
        return client.put(
            path.format(custodian=world.hospital.address, category="pathology"), json=body, headers=headers
        )
    if method == "get":
        params = {"subject": world.alice.address, "custodian": world.hospital.address}
        return client.get(path, params=params, headers=headers)
    path = path.replace("{enrolment}", hexed(typed.struct_hash(enrolment_of(world))))
    return client.post(path, json=body, headers=headers)


def one_record() -> tuple[str, bytes]:
    blocks = list(unixfs.build(io.BytesIO(b"sealed")))
    return str(blocks[-1][0]), car.header([blocks[-1][0]]) + b"".join(car.section(*block) for block in blocks)
