# SPDX-License-Identifier: Apache-2.0
"""Jobs at the gateway once they are taken: who sees what, leases and what time does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.domain.parsing import hexed
from consentum.errors import (
    LeaseError,
    MalformedError,
    NotFoundError,
    StateError,
)
from consentum.flow.gateway import jobs
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.submission import Submission
from consentum.services.gateway.app import create_app
from tests.unit.client.world import NOW, World
from tests.unit.gateway.conftest import ORIGIN, process_of
from tests.unit.gateway.routes import session
from tests.unit.gateway.submissions import SEALED, another, finished, later, made, running, who

# Who sees


def test_its_requester_sees_where_it_stands(gateway: Gateway, world: World, submitted: str) -> None:
    shown = jobs.show(gateway, submitted, who(world.researcher))
    assert (shown["state"], shown["events"]) == ("queued", [{"at": NOW, "state": "queued", "stage": ""}])
    assert (shown["manifest"], shown["sealedOutputs"], shown["error"]) == (None, None, None)


@pytest.mark.parametrize("name", ["alice", "hospital", "runner", "bob"])
def test_nobody_else_sees_or_cancels_it(gateway: Gateway, world: World, submitted: str, name: str) -> None:
    for identity in (submitted, hexed(bytes(32))):
        for ask in (jobs.show, jobs.cancel):
            with pytest.raises(NotFoundError, match="no such job"):
                ask(gateway, identity, who(getattr(world, name)))
    assert jobs.mine(gateway, who(getattr(world, name))) == {"jobs": []}


@pytest.mark.parametrize("name", ["alice", "hospital", "researcher", "bob"])
def test_nobody_but_its_runner_speaks_for_it(gateway: Gateway, world: World, held: dict[str, Any], name: str) -> None:
    stranger = who(getattr(world, name))
    assert jobs.claim(gateway, {}, stranger) == {}
    with pytest.raises(NotFoundError):
        jobs.event(gateway, held["id"], running(held), stranger)
    with pytest.raises(NotFoundError):
        jobs.result(gateway, held["id"], {"lease": held["lease"], **SEALED}, stranger)


@pytest.mark.parametrize("name", ["alice", "hospital", "researcher", "runner"])
def test_exact_receipts_are_for_the_board_alone(
    gateway: Gateway, world: World, held: dict[str, Any], name: str
) -> None:
    world.ledger.members = (world.bob.address,)
    jobs.event(gateway, held["id"], running(held), who(world.runner))
    finished(gateway, world, held, receipts=[{"receipt": {"v": 1}, "signature": "0x"}])
    seen = jobs.receipts(gateway, held["id"], who(world.bob))
    assert (seen["counts"], len(seen["receipts"]), seen["state"]) == ({"of": 12}, 1, "released")
    with pytest.raises(NotFoundError):
        jobs.receipts(gateway, held["id"], who(getattr(world, name)))
    assert "receipts" not in jobs.show(gateway, held["id"], who(world.researcher))
    assert "counts" not in jobs.show(gateway, held["id"], who(world.researcher))


# Running


def test_a_claim_gives_the_whole_job_once(gateway: Gateway, world: World) -> None:
    submission = made(world)
    identity = jobs.submit(gateway, submission.to_json())["id"]
    held = jobs.claim(gateway, {}, who(world.runner))
    assert {key: held[key] for key in Submission.KEYS} == submission.to_json()
    assert (held["id"], held["attempt"]) == (identity, 1)
    assert jobs.show(gateway, identity, who(world.researcher))["state"] == "admitted"


def test_a_job_runs_and_is_released_and_its_result_may_be_told_twice(
    gateway: Gateway, world: World, held: dict[str, Any]
) -> None:
    jobs.event(gateway, held["id"], running(held, "running over 10 records"), who(world.runner))
    assert jobs.show(gateway, held["id"], who(world.researcher))["stage"] == "running over 10 records"
    for _ in range(2):
        assert finished(gateway, world, held)["state"] == "released"
    with pytest.raises(LeaseError):
        finished(gateway, world, held, sealedOutputs="0x01")
    shown = jobs.show(gateway, held["id"], who(world.researcher))
    assert (shown["sealedOutputs"], [e["state"] for e in shown["events"]]) == (
        "0x00",
        ["queued", "admitted", "running", "released"],
    )


def test_jobs_are_given_in_the_order_they_came(gateway: Gateway, world: World) -> None:
    ids = [jobs.submit(gateway, another(world, NOW + 100 + n).to_json())["id"] for n in range(3)]
    assert jobs.claim(gateway, {}, who(world.runner))["id"] == ids[0]


def test_a_runner_that_asks_again_works_on_nothing_else(gateway: Gateway, world: World, held: dict[str, Any]) -> None:
    """It was killed, or never got the answer: nobody waits a minute for it, and its old lease is worth nothing."""
    again = jobs.claim(gateway, {}, who(world.runner))
    assert (again["id"], again["attempt"]) == (held["id"], 2)
    assert again["lease"] != held["lease"]
    with pytest.raises(LeaseError):
        jobs.event(gateway, held["id"], running(held), who(world.runner))


def test_a_lease_that_ran_out_puts_the_job_back(gateway: Gateway, world: World, held: dict[str, Any]) -> None:
    later(gateway, 59)
    assert jobs.event(gateway, held["id"], running(held), who(world.runner)) == {"leaseUntil": NOW + 119}
    later(gateway, 119)
    shown = jobs.show(gateway, held["id"], who(world.researcher))
    assert (shown["state"], shown["stage"]) == ("queued", "its runner was lost")
    with pytest.raises(LeaseError):
        finished(gateway, world, held)


def test_after_three_attempts_the_job_is_given_up(gateway: Gateway, world: World, submitted: str) -> None:
    for n in range(3):
        assert jobs.claim(gateway, {}, who(world.runner))["attempt"] == n + 1
    assert jobs.claim(gateway, {}, who(world.runner)) == {}
    shown = jobs.show(gateway, submitted, who(world.researcher))
    assert (shown["state"], shown["error"]["code"]) == ("failed", "RUNNER_LOST")


def test_a_job_past_its_deadline_is_expired_whoever_looks(gateway: Gateway, world: World, held: dict[str, Any]) -> None:
    later(gateway, 3_001)
    with pytest.raises(LeaseError):
        jobs.event(gateway, held["id"], running(held), who(world.runner))
    [row] = jobs.mine(gateway, who(world.researcher))["jobs"]
    assert row["state"] == "expired"
    assert jobs.claim(gateway, {}, who(world.runner)) == {}
    with pytest.raises(StateError):
        jobs.cancel(gateway, held["id"], who(world.researcher))


def test_a_cancelled_job_is_its_runners_no_longer(gateway: Gateway, world: World, held: dict[str, Any]) -> None:
    for _ in range(2):
        shown = jobs.cancel(gateway, held["id"], who(world.researcher))
        assert (shown["state"], shown["error"]["code"]) == ("failed", "CANCELLED")
    with pytest.raises(LeaseError):
        jobs.event(gateway, held["id"], running(held), who(world.runner))
    with pytest.raises(LeaseError):
        finished(gateway, world, held)


def test_a_job_that_failed_tells_why(gateway: Gateway, world: World, held: dict[str, Any]) -> None:
    error = {"code": "JOB_FAILED", "detail": "ValueError at job.py:2"}
    jobs.result(gateway, held["id"], {"lease": held["lease"], "error": error}, who(world.runner))
    shown = jobs.show(gateway, held["id"], who(world.researcher))
    assert (shown["state"], shown["error"], shown["manifest"]) == ("failed", error, None)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"lease": "x"},
        {"lease": "x", **SEALED, "more": 1},
        {"lease": "x", **SEALED, "manifest": None},
        {"lease": "x", **SEALED, "manifest": {"job": {}}},
        {"lease": "x", **SEALED, "receipts": [{"receipt": {}}]},
        {"lease": "x", **SEALED, "receipts": {}},
        {"lease": "x", **SEALED, "counts": []},
        {"lease": "x", **SEALED, "sealedOutputs": "text"},
        {"lease": 7, **SEALED},
        {"lease": "x", "error": "text"},
        {"lease": "x", "error": {"code": "small", "detail": ""}},
        {"lease": "x", "error": {"code": "BIG", "detail": "x" * 2_001}},
        {"lease": "x", "error": {"code": "BIG", "detail": ""}, "sealedOutputs": "0x00"},
    ],
)
def test_a_result_of_another_form_is_malformed(gateway: Gateway, world: World, held: dict[str, Any], body: Any) -> None:
    with pytest.raises(MalformedError):
        jobs.result(gateway, held["id"], body, who(world.runner))
    assert jobs.show(gateway, held["id"], who(world.researcher))["state"] == "admitted"


@pytest.mark.parametrize(
    "change", [{"state": "released"}, {"state": "queued"}, {"state": "dancing"}, {"stage": 7}, {"stage": "x" * 201}]
)
def test_a_runner_cannot_tell_what_is_not_its_to_tell(
    gateway: Gateway, world: World, held: dict[str, Any], change: dict[str, Any]
) -> None:
    with pytest.raises((MalformedError, StateError)):
        jobs.event(gateway, held["id"], {**running(held), **change}, who(world.runner))


def test_runners_that_asked_lately_are_listed(gateway: Gateway, world: World) -> None:
    assert jobs.runners(gateway) == {"runners": []}
    jobs.claim(gateway, {}, who(world.runner))
    later(gateway, 120)
    assert jobs.runners(gateway) == {"runners": [{"address": who(world.runner), "seen": NOW}]}
    later(gateway, 121)
    assert jobs.runners(gateway) == {"runners": []}


# Over HTTP


@pytest.fixture
def client(gateway: Gateway) -> Iterator[TestClient]:
    process = process_of(gateway)
    process.settings.max_body_bytes = 1 << 23
    with TestClient(create_app(process), base_url=ORIGIN, raise_server_exceptions=False) as started:
        yield started


def test_a_job_goes_its_whole_way_over_http(client: TestClient, world: World) -> None:
    identity = client.post("/v1/jobs", json=made(world).to_json()).json()["id"]
    hers, its = session(client, world.researcher), session(client, world.runner)
    held = client.post("/v1/runner/claims", json={}, headers=its).json()
    base = f"/v1/runner/jobs/{identity}"
    assert client.post(f"{base}/events", json=running(held), headers=its).status_code == 200
    body = {"lease": held["lease"], **SEALED, "manifest": {"job": held["job"]}}
    assert client.post(f"{base}/result", json=body, headers=its).json()["state"] == "released"
    assert client.get(f"/v1/jobs/{identity}", headers=hers).json()["sealedOutputs"] == "0x00"
    assert client.get("/v1/jobs", headers=hers).json()["jobs"][0]["id"] == identity
    over = client.post(f"/v1/jobs/{identity}/cancel", headers=hers)
    assert (over.status_code, over.json()["code"]) == (409, "STATE")
    late = client.post(f"{base}/events", json=running(held), headers=its)
    assert (late.status_code, late.json()["code"]) == (409, "LEASE")
    assert client.get(f"/v1/jobs/{identity}/receipts", headers=hers).status_code == 404
    assert client.get("/v1/jobs/nonsense", headers=hers).status_code == 400
