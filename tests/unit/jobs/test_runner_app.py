# SPDX-License-Identifier: Apache-2.0
"""The runner over HTTP: which jobs it takes, that each runs once, and who sees what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Job, Login
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_bytes, hexed
from consentum.flow.login import LoginDesk
from consentum.services.runner import app as runner
from tests.unit.client.world import DOMAIN, NOW, World, make_world

ORIGIN = "http://runner.test"
PACKAGE = JobPackage({"job.py": b"def main(data):\n    return {'out': 1}\n"}, "job:main", 4, {"out": "json"})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The jobs that were run, instead of running them."""
    done: list[Any] = []

    def work(process: Any, state: Any) -> None:
        done.append(state)
        state.state = "done"

    monkeypatch.setattr(runner, "work", work)
    return done


@pytest.fixture
def client(world: World, ran: list[Any]) -> Iterator[TestClient]:
    process: Any = SimpleNamespace(
        key=world.runner,
        ledger=world.ledger,
        deployment=SimpleNamespace(user_domain=DOMAIN),
        settings=SimpleNamespace(max_body_bytes=1 << 23, boards=("0x" + "0b" * 32,)),
        desk=LoginDesk(world.ledger, DOMAIN, ORIGIN, lambda: float(NOW)),
        lock=SimpleNamespace(release=lambda: None),
        why_not_ready=dict,
    )
    with TestClient(runner.create_app(process), base_url=ORIGIN, raise_server_exceptions=False) as made:
        yield made


def job_of(world: World, **changes: Any) -> Job:
    return replace(world.job(), code=PACKAGE.digest, **changes)


def body(world: World, job: Job | None = None, signer: WalletKey | None = None) -> dict[str, Any]:
    made = job or job_of(world)
    signature = hexed((signer or world.researcher).sign(typed.digest(DOMAIN, made)))
    return {"job": typed.to_json(made), "jobSignature": signature, "package": runner.package_json(PACKAGE)}


def session(client: TestClient, who: WalletKey) -> dict[str, str]:
    offer = client.post("/v1/logins/challenge").json()
    login = Login(who.address.lower(), ORIGIN, as_bytes(offer["challenge"], "challenge", 32), NOW + 60)
    signed = {"login": typed.to_json(login), "signature": hexed(who.sign(typed.digest(DOMAIN, login)))}
    return {"Authorization": f"Bearer {client.post('/v1/logins', json=signed).json()['token']}"}


def submitted(client: TestClient, request: dict[str, Any]) -> str:
    response = client.post("/v1/jobs", json=request)
    assert response.status_code == 200, response.text
    return str(response.json()["id"])


def refused(client: TestClient, ran: list[Any], request: Any, status: int, code: str) -> None:
    response = client.post("/v1/jobs", json=request)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert ran == []


def until(true: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_every_route_is_known(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    assert {(method, path) for path, methods in described.items() for method in methods} == {
        ("get", "/live"),
        ("get", "/ready"),
        ("get", "/metrics"),
        ("post", "/v1/logins/challenge"),
        ("post", "/v1/logins"),
        ("get", "/v1/runner"),
        ("post", "/v1/jobs"),
        ("get", "/v1/jobs/{identity}"),
    }


def test_a_signed_job_runs_and_its_requester_sees_it(client: TestClient, world: World, ran: list[Any]) -> None:
    identity = submitted(client, body(world))
    until(lambda: ran)
    shown = client.get(f"/v1/jobs/{identity}", headers=session(client, world.researcher)).json()
    assert (shown["id"], shown["state"]) == (identity, "done")
    assert client.get("/v1/runner").json() == {"address": world.runner.address.lower()}


def test_a_job_for_another_runner_is_refused(client: TestClient, world: World, ran: list[Any]) -> None:
    job = job_of(world, runner=world.bob.address.lower())
    refused(client, ran, body(world, job), 400, "MALFORMED")


def test_code_that_is_not_the_signed_code_is_refused(client: TestClient, world: World, ran: list[Any]) -> None:
    refused(client, ran, body(world, replace(world.job(), code=bytes(32))), 400, "MALFORMED")
    for part, value in (
        ("entry", "job:other"),
        ("categories", 5),
        ("outputs", {"more": "json"}),
        ("files", {"job.py": ""}),
    ):
        request = body(world)
        request["package"][part] = value
        refused(client, ran, request, 400, "MALFORMED")


@pytest.mark.parametrize("signer", ["alice", "runner", "hospital"])
def test_a_job_its_requester_did_not_sign_is_refused(
    client: TestClient, world: World, ran: list[Any], signer: str
) -> None:
    refused(client, ran, body(world, signer=getattr(world, signer)), 403, "SIGNATURE")


@pytest.mark.parametrize("field", ["study", "purpose", "access", "epsilonMilli", "deadline", "salt"])
def test_a_job_changed_after_it_was_signed_is_refused(
    client: TestClient, world: World, ran: list[Any], field: str
) -> None:
    request = body(world)
    value = request["job"][field]
    request["job"][field] = value + 1 if isinstance(value, int) else hexed(b"\x77" * 32)
    refused(client, ran, request, 403, "SIGNATURE")


def test_a_job_past_its_deadline_is_refused(client: TestClient, world: World, ran: list[Any]) -> None:
    refused(client, ran, body(world, job_of(world, deadline=NOW - 1)), 403, "DEADLINE_PASSED")
    submitted(client, body(world, job_of(world, deadline=NOW)))


def test_a_job_is_refused_while_the_chain_cannot_be_asked(client: TestClient, world: World, ran: list[Any]) -> None:
    request = body(world)
    world.ledger.down = True
    refused(client, ran, request, 503, "UNAVAILABLE")


@pytest.mark.parametrize(
    "package",
    [
        None,
        [],
        {},
        {"files": {}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"../job.py": ""}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": "!"}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": 7}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": None}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": "\u00fc"}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": [], "entry": "job:main", "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": ""}, "entry": None, "categories": 4, "outputs": {"out": "json"}},
        {"files": {"job.py": ""}, "entry": "job:main", "categories": "4", "outputs": {"out": "json"}},
        {"files": {"job.py": ""}, "entry": "job:main", "categories": 4, "outputs": []},
        {"files": {"job.py": ""}, "entry": "job:main", "categories": 4, "outputs": {"out": []}},
        {"files": {"job.py": ""}, "entry": "job:main", "categories": 4, "outputs": {"out": "json"}, "more": 1},
    ],
)
def test_a_package_of_another_form_is_malformed(client: TestClient, world: World, ran: list[Any], package: Any) -> None:
    refused(client, ran, {**body(world), "package": package}, 400, "MALFORMED")


@pytest.mark.parametrize("raw", [b"", b"{", b"NaN", b"[]", b'{"job": {}, "job": {}}'])
def test_a_body_of_another_form_is_malformed(client: TestClient, ran: list[Any], raw: bytes) -> None:
    response = client.post("/v1/jobs", content=raw)
    assert (response.status_code, response.json()["code"]) == (400, "MALFORMED")


# Once, and hers alone


def test_the_same_job_twice_runs_once(client: TestClient, world: World, ran: list[Any]) -> None:
    request = body(world)
    assert submitted(client, request) == submitted(client, request)
    until(lambda: ran)
    submitted(client, request)
    last = body(world)
    submitted(client, last)
    until(lambda: len(ran) == 2)
    assert [typed.struct_hash(state.job) for state in ran] != [typed.struct_hash(ran[0].job)] * 2


def test_the_same_job_twice_at_the_same_moment_runs_once(world: World, ran: list[Any]) -> None:
    """Both have seen that the job is not there before either adds it."""
    both = threading.Barrier(2)

    class Patient(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            with suppress(threading.BrokenBarrierError):  # then the other waits for a lock, as it should
                both.wait(2)
            return found

    ledger, deployment = world.ledger, SimpleNamespace(user_domain=DOMAIN)
    settings = SimpleNamespace(boards=("0x" + "0b" * 32,))
    process: Any = SimpleNamespace(key=world.runner, ledger=ledger, deployment=deployment, settings=settings)
    jobs = runner.Jobs(process)
    jobs._jobs = Patient()  # type: ignore[assignment]
    request = body(world)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(jobs.submit, [request, request]))
    jobs.close()
    assert len(ran) == 1


@pytest.mark.parametrize("who", ["alice", "hospital", "runner"])
def test_nobody_else_sees_that_there_is_such_a_job(client: TestClient, world: World, ran: list[Any], who: str) -> None:
    identity = submitted(client, body(world))
    headers = session(client, getattr(world, who))
    hers, nobodys = (client.get(f"/v1/jobs/{one}", headers=headers) for one in (identity, "0x" + "00" * 32))
    assert (hers.status_code, hers.json()) == (404, nobodys.json())
    assert hers.json()["code"] == "NOT_FOUND"


def test_without_a_session_nobody_sees_a_job(client: TestClient, world: World, ran: list[Any]) -> None:
    identity = submitted(client, body(world))
    response = client.get(f"/v1/jobs/{identity}")
    assert (response.status_code, response.json()["code"]) == (403, "SIGNATURE")


def test_a_flood_of_one_requesters_jobs_does_not_push_out_anothers(
    client: TestClient, world: World, ran: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "MAX_JOBS", 5)
    identity = submitted(client, body(world))
    for _ in range(6):
        job = job_of(world, requester=world.bob.address.lower())
        client.post("/v1/jobs", json=body(world, job, world.bob))
    response = client.get(f"/v1/jobs/{identity}", headers=session(client, world.researcher))
    assert response.status_code == 200
