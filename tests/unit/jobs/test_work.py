# SPDX-License-Identifier: Apache-2.0
"""One job from start to end, over real key server flows and a real child process."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto import merkle, typed
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import UnavailableError
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway.cohort import cohort
from consentum.flow.gateway.forward import deposit
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.jobs.work import JobState, work
from tests.fakes.enrolments import MemoryEnrolments
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.unit.client.world import COMMITTEE, DOMAIN, NOW, World, make_world

CODE = b"def main(data):\n    rows = list(data)\n    return {'out': [[r.pseudonym, r.json()['n']] for r in rows]}\n"


class Process:
    """What work needs of a RunnerProcess; the gateway answers by itself."""

    class settings:  # noqa: N801 - as the process has it
        job_timeout_seconds = 20.0
        max_output_bytes = 4_096
        committees = (hexed(COMMITTEE),)

    def __init__(self, world: World) -> None:
        self.world, self.closed, self.down = world, 0, False
        self.store = MemoryGatewayStore()
        peers: Any = world.peers
        parts: dict[str, Any] = {"ledger": world.ledger, "store": self.store, "enrolments": MemoryEnrolments()}
        parts |= {"sender": None, "peers": lambda: peers, "studies": None, "shared": None, "registries": None}
        parts["sponsorship"] = Sponsorship(frozenset({world.hospital.address.lower()}))
        self._gateway = Gateway(domain=DOMAIN, pseudonym_key=b"\x99" * 32, clock=lambda: float(NOW), **parts)

    def gateway(self) -> Any:
        return self

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self.down:
            raise UnavailableError("the gateway does not answer")
        return dict(cohort(self._gateway, body, self.world.runner.address.lower()))

    def close(self) -> None:
        self.closed += 1

    def content(self, client: Any) -> Any:
        return self.world.depository

    def collector(self, client: Any, job: Any, signature: bytes, committee: bytes) -> Any:
        assert committee == COMMITTEE
        return self.world.collector(job)

    def deposited(self, *consenting: Any) -> Batch:
        world = self.world
        batch = world.batch(world.alice, world.bob, world.alice)
        deposit(self._gateway, batch.to_json(), world.hospital.address.lower())
        consents = [world.granted(world.consent(who)) for who in consenting]
        for consent in consents:
            self.store.add_opening(typed.struct_hash(consent), consent)
        world.attach(batch, *consents)
        return batch


@pytest.fixture
def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    return Process(make_world(tmp_path))


def worked(process: Process, code: bytes = CODE) -> JobState:
    package = JobPackage({"job.py": code}, "job:main", 4, {"out": "json"})
    job = process.world.job()
    state = JobState(job, process.world.researcher.sign(typed.digest(DOMAIN, job)), package)
    work(process, state)  # type: ignore[arg-type]
    assert process.closed == 1
    return state


def test_a_job_sees_the_records_that_were_released_and_no_other(process: Process) -> None:
    batch = process.deposited(process.world.alice)
    state = worked(process)
    assert state.state == "done"
    rows = state.result["outputs"]["out"]
    assert sorted(n for _, n in rows) == [0, 2]
    assert len({pseudonym for pseudonym, _ in rows}) == 1
    manifest = state.result["manifest"]
    assert (manifest["of"], manifest["released"], manifest["refused"]) == (3, 2, {"NO_CONSENT": 1})
    released = sorted(r.id for r in batch.records if r.subject == process.world.alice.address.lower())
    assert manifest["cohortRoot"] == hexed(merkle.root_of(released))
    assert manifest["code"] == hexed(state.package.digest)
    assert len(manifest["receipts"]) >= 2


def test_the_order_of_a_jobs_records_depends_on_the_cohort_alone(process: Process) -> None:
    process.deposited(process.world.alice, process.world.bob)
    first = worked(process).result["outputs"]["out"]
    process.closed = 0
    assert worked(process).result["outputs"]["out"] == first


def test_the_job_learns_no_address(process: Process) -> None:
    process.deposited(process.world.alice, process.world.bob)
    text = json.dumps(worked(process).to_json()).lower()
    for who in (process.world.alice, process.world.bob, process.world.hospital):
        assert who.address[2:].lower() not in text


def test_a_job_no_record_was_released_to_is_refused_and_does_not_run(process: Process) -> None:
    process.deposited()
    state = worked(process, b"raise SystemExit\n")
    assert (state.state, state.error) == ("refused", {})
    assert state.result["outputs"] == {}
    assert state.result["manifest"]["refused"] == {"NO_CONSENT": 3}


def test_with_too_few_servers_the_job_fails_and_says_which(process: Process) -> None:
    process.deposited(process.world.alice)
    for peer in process.world.peers[:2]:
        peer.fault = "down"
    state = worked(process)
    assert (state.state, state.error["code"]) == ("failed", "TOO_FEW_SHARES")
    assert "server 1: UNAVAILABLE" in state.error["detail"]


def test_a_gateway_that_is_down_fails_the_job(process: Process) -> None:
    process.down = True
    assert worked(process).error["code"] == "UNAVAILABLE"


def test_content_that_was_altered_fails_the_job(process: Process) -> None:
    batch = process.deposited(process.world.alice)
    process.world.depository.contents[batch.records[0].cid] = b"other"
    state = worked(process)
    assert (state.state, state.error["code"], state.result["outputs"]) == ("failed", "CORRUPT", {})


def test_a_job_that_raises_keeps_its_manifest_and_tells_the_line(process: Process) -> None:
    process.deposited(process.world.alice)
    state = worked(process, b"def main(data):\n    raise ValueError(list(data))\n")
    assert (state.state, state.error) == ("failed", {"code": "JOB_FAILED", "detail": "ValueError at job.py:2"})
    assert state.result["manifest"]["released"] == 2


def test_what_nobody_expected_is_told_by_its_type_alone(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: Any) -> None:
        raise RuntimeError("canary-901")

    monkeypatch.setattr(Process, "post", burst)
    assert worked(process).error == {"code": "UNEXPECTED", "detail": "RuntimeError"}
