# SPDX-License-Identifier: Apache-2.0
"""The SDK against the gateway's own routes for jobs, cohorts and dictionaries, without a stand-in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.peers.http import HttpClient
from consentum.adapters.peers.session import Session
from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.domain.parsing import hexed
from consentum.errors import NotFoundError
from consentum.flow.gateway.gateway import Gateway
from consentum.sdk.client import Client
from consentum.sdk.failures import JobFailed
from consentum.sdk.publishing import publish
from consentum.sdk.study import Study
from consentum.services.gateway.app import create_app
from consentum.settings import ClientSettings
from consentum.wiring.client import PATIENCE_SECONDS, Connection, HomeKeys
from tests.fakes.web import client_of, through
from tests.unit.client.world import DOMAIN, NOW, STUDY, World
from tests.unit.gateway.conftest import ORIGIN, gateway, process_of, sender, world
from tests.unit.gateway.routes import session
from tests.unit.sdk.conftest import DICTIONARY, TERMS
from tests.unit.sdk.stand_in import StandIn

__all__ = ["gateway", "sender", "world"]


class ToTheGateway(Connection):
    """A connection whose gateway is in this process."""

    web: TestClient

    @cached_property
    def gateway(self) -> HttpClient:
        client = client_of(self.web, ORIGIN)
        client.sign_in(self.key, self.deployment.user_domain)
        return client

    def patient(self, seconds: float = PATIENCE_SECONDS) -> Session:
        return through(self.web, Connection.patient(self, seconds))


@dataclass
class Bench:
    """One gateway, its study, and whoever speaks with it."""

    web: TestClient
    world: World
    deployment: Any
    home: Path

    def connection(self, key: Any) -> ToTheGateway:
        made = ToTheGateway(
            home=self.home,
            settings=ClientSettings(gateway=ORIGIN, rpc="", identity=key.address.lower()),
            keys=HomeKeys(key, SealingKey(b"\x07" * 32)),
            deployment=self.deployment,
            ledger=self.world.ledger,  # type: ignore[arg-type]
        )
        made.web = self.web
        return made

    def study(self, client: Client) -> Study:
        told = {"id": STUDY, "name": "breast-diagnosis", "title": "", "terms": TERMS, "approved_until": 0}
        return Study(connection=client.connection, session=client.session, **told)  # type: ignore[arg-type]

    def as_runner(self, path: str, body: Any) -> Any:
        answer = self.web.post(path, json=body, headers=session(self.web, self.world.runner))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def runner_says(self) -> StandIn:
        ledger: Any = SimpleNamespace(now=NOW, at=SimpleNamespace(user_domain=DOMAIN))
        return StandIn(ledger, self.world.runner)


@pytest.fixture
def bench(gateway: Gateway, world: World, tmp_path: Path) -> Iterator[Bench]:
    process = process_of(gateway, world.hospital.address)
    with TestClient(create_app(process), base_url=ORIGIN, raise_server_exceptions=False) as web:
        yield Bench(web, world, process.deployment, tmp_path)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/train.py").write_text("def main(dataset):\n    return {'metrics': {}}\n")
    return tmp_path / "train"


def test_a_job_goes_through_the_gateway_and_its_result_comes_back(bench: Bench, train: Path) -> None:
    client = Client(connection=bench.connection(bench.world.researcher))
    assert bench.as_runner("/v1/runner/claims", {}) == {}, "asking is how a runner is seen"
    job = bench.study(client).submit(train, "train:main", ["laboratory"], {"metrics": "json"}, on_consent_change="drop")
    assert (job.state, [mine.id for mine in client.jobs()]) == ("queued", [job.id])

    claimed = bench.as_runner("/v1/runner/claims", {})
    told = {"lease": claimed["lease"], "state": "running", "stage": "running over 385 records"}
    bench.as_runner(f"/v1/runner/jobs/{job.id}/events", told)
    runner = bench.runner_says()
    runner.sent[job.id] = claimed
    sealed, manifest = runner.sealed(job.id, {"metrics": {"auc": 0.9}})
    done = {"manifest": manifest, "counts": {}, "receipts": [], "sealedOutputs": hexed(sealed)}
    bench.as_runner(f"/v1/runner/jobs/{job.id}/result", {"lease": claimed["lease"], **done})

    assert [event.state for event in job.events()] == ["queued", "admitted", "running", "released"]
    result = job.result()
    assert (result.metrics, result.refused) == ({"auc": 0.9}, {"NO_CONSENT": 105})
    assert result.verify()
    with pytest.raises(NotFoundError):
        _ = Client(connection=bench.connection(bench.world.bob)).job(job.id).state


def test_cancelling_and_failing_end_as_the_gateway_says(bench: Bench, train: Path) -> None:
    client = Client(connection=bench.connection(bench.world.researcher))
    bench.as_runner("/v1/runner/claims", {})
    submit = bench.study(client).submit
    unwanted, broken = (submit(train, "train:main", ["laboratory"], {"metrics": "json"}) for _ in range(2))
    unwanted.cancel()
    claimed = bench.as_runner("/v1/runner/claims", {})
    error = {"code": "JOB_FAILED", "detail": "KeyError at train.py:2"}
    bench.as_runner(f"/v1/runner/jobs/{broken.id}/result", {"lease": claimed["lease"], "error": error})
    for job, code in ((unwanted, "CANCELLED"), (broken, "JOB_FAILED")):
        with pytest.raises(JobFailed) as caught:
            job.result()
        assert caught.value.code == code


def test_a_cohort_is_what_the_gateway_tells_a_requester(bench: Bench) -> None:
    client = Client(connection=bench.connection(bench.world.researcher))
    bench.as_runner("/v1/runner/claims", {})
    cohort = bench.study(client).cohort(["laboratory"])
    assert (cohort.n, cohort.of, cohort.reasons) == (0, 0, {})


def test_a_published_dictionary_is_what_samples_are_drawn_from(bench: Bench) -> None:
    from consentum.domain.dictionary import DataDictionary

    publish(bench.connection(bench.world.hospital), DataDictionary.parse(DICTIONARY), "pathology")
    client = Client(connection=bench.connection(bench.world.researcher))
    sample = bench.study(client).sample(["pathology"], n=3)
    assert [one.dictionary for one in sample.dictionaries] == [DataDictionary.parse(DICTIONARY)]
    with pytest.raises(NotFoundError):
        publish(bench.connection(bench.world.bob), DataDictionary.parse(DICTIONARY), "pathology")
    assert typed.address_bytes(sample.dictionaries[0].custodian) == typed.address_bytes(bench.world.hospital.address)
