# SPDX-License-Identifier: Apache-2.0
"""A runner over real flows in memory: gateway, key servers and chain are the fakes of the other tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import NotFoundError, UnavailableError
from consentum.flow.client import collect
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway import jobs
from consentum.flow.gateway.cohort import cohort
from consentum.flow.gateway.forward import deposit
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.flow.submission import Submission, result_salt
from consentum.wiring.runner import Clocks
from tests.fakes.content import MemoryContentStore
from tests.fakes.dictionaries import MemoryDictionaries
from tests.fakes.enrolments import MemoryEnrolments
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.fakes.jobs import MemoryJobs
from tests.fakes.registries import MemoryRegistries
from tests.fakes.retractions import MemoryRetractions
from tests.fakes.shared import MemoryShared
from tests.fakes.studies import MemoryStudies
from tests.unit.client.world import COMMITTEE, DOMAIN, LAB, NOW, World, make_world

CODE = b"def main(data):\n    rows = list(data)\n    return {'out': [[r.pseudonym, r.json()['n']] for r in rows]}\n"
BOARD = "0x" + "0b" * 32


@dataclass
class Runner:
    """What the jobs need of a RunnerProcess. now and steady are its clocks, in seconds; down: the gateway is away."""

    world: World
    scratch: Path
    now: float = NOW
    steady: float = 0.0
    down: bool = False
    said: list[tuple[str, Any]] = field(default_factory=list)
    dictionaries: list[Any] | None = None
    result_key: SealingKey = field(default_factory=SealingKey)

    def __post_init__(self) -> None:
        peers: Any = self.world.peers
        self.settings = SimpleNamespace(
            job_timeout_seconds=20.0, max_output_bytes=4_096, committees=(hexed(COMMITTEE),), boards=(BOARD,)
        )
        self.key, self.ledger = self.world.runner, self.world.ledger
        self.deployment = SimpleNamespace(user_domain=DOMAIN)
        self.clocks = Clocks(lambda: self.now, lambda: self.steady)
        store = MemoryGatewayStore()
        self.gateway_ = Gateway(
            domain=DOMAIN,
            ledger=self.world.ledger,
            store=store,
            content=MemoryContentStore(),
            enrolments=MemoryEnrolments(),
            retractions=MemoryRetractions(store),
            jobs=MemoryJobs(),
            dictionaries=MemoryDictionaries(),
            studies=MemoryStudies(),
            shared=MemoryShared(),
            registries=MemoryRegistries(),
            sponsorship=Sponsorship(frozenset({self.world.hospital.address.lower()})),
            sender=None,  # type: ignore[arg-type]
            peers=lambda: peers,
            pseudonym_key=b"\x99" * 32,
            clock=lambda: self.now,
        )

    def gateway(self, patience: float = 0.0) -> Any:
        return self

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The gateway's flows, signed in as the runner."""
        if self.down:
            raise UnavailableError("the gateway does not answer")
        self.said.append((path, body))
        who, gateway = self.key.address.lower(), self.gateway_
        if path == "/v1/cohorts":
            return dict(cohort(gateway, body, who))
        if path == "/v1/runner/claims":
            return jobs.claim(gateway, body, who)
        identity, kind = path.removeprefix("/v1/runner/jobs/").split("/")
        return dict((jobs.event if kind == "events" else jobs.result)(gateway, identity, body, who))

    def get(self, path: str, **_: Any) -> dict[str, Any]:
        if self.dictionaries is None:
            raise NotFoundError("no such resource")
        return {"dictionaries": self.dictionaries}

    def close(self) -> None:
        pass

    def content(self, client: Any) -> Any:
        return self.world.depository

    def collector(self, client: Any, job: Any, signature: bytes, committee: bytes) -> Any:
        assert committee == COMMITTEE
        return self.world.collector(job)

    # What a test does

    def deposited(self, *consenting: Any) -> Batch:
        """Two records of Alice's and one of Bob's between; consents of whoever is named."""
        world = self.world
        batch = world.batch(world.alice, world.bob, world.alice)
        deposit(self.gateway_, batch.to_json(), world.hospital.address.lower())
        consents = [world.granted(world.consent(who)) for who in consenting]
        for consent in consents:
            self.gateway_.store.add_opening(typed.struct_hash(consent), consent)
        world.attach(batch, *consents)
        return batch

    def submission(self, code: bytes = CODE, drops: bool = False, **changes: Any) -> Submission:
        package = JobPackage({"job.py": code}, "job:main", LAB, {"out": "json"}, "drop" if drops else "raise")
        salt = result_salt(self.result_key.public, bytes(32))
        job = replace(self.world.job(), **{"code": package.digest, "salt": salt, **changes})
        signature = self.world.researcher.sign(typed.digest(DOMAIN, job))
        return Submission(job, signature, package, self.result_key.public, bytes(32))

    def submit(self, code: bytes = CODE, drops: bool = False, **changes: Any) -> str:
        return jobs.submit(self.gateway_, self.submission(code, drops, **changes).to_json())["id"]

    def shown(self, identity: str) -> dict[str, Any]:
        return jobs.show(self.gateway_, identity, self.world.researcher.address.lower())


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(collect, "HEDGE_SECONDS", 30.0)  # a busy machine must not ask a third server
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Runner(make_world(tmp_path), scratch)
