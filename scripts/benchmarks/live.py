# SPDX-License-Identifier: Apache-2.0
"""The running system for the suites that need one: real Anvil, three key servers and a gateway, each a process, and a
registry study whose patients deposited and consented. All that knows how a system is started is in this module."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from eth_utils.crypto import keccak

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.crypto import merkle, typed
from consentum.crypto.envelope import Header
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.messages import Consent, Job, Release
from consentum.domain.terms import Access, Category
from consentum.errors import ConsentumError
from consentum.flow.client.deposit import Document
from consentum.flow.wire import ReleaseRequest
from scripts.benchmarks.measure import Run
from scripts.demonstration.jobs import new_job
from scripts.demonstration.people import Cast, Patient
from scripts.demonstration.stages import consent_all, deposit_all, enrol, found_committee, found_studies
from scripts.demonstration.system import System

PAGE = 1_000
SAMPLES = 30  # patients beside the page: those who revoke
CONTENT_BYTES = 1_024
READY_SECONDS = 60
DEADLINE_SECONDS = 900


def patient(number: int, custodian: int = 0) -> Patient:
    """Somebody with a wallet and a record of about 1 KiB."""
    row = {"sample": number, "value": secrets.token_hex(CONTENT_BYTES // 2)}
    return Patient(number, f"patient {number}", WalletKey(), row, "registry", custodian)


def document(of: Patient) -> Document:
    """Her record in the clear."""
    header = Header(f"sample-{of.number}.json", "application/json")
    return Document(of.address, int(Category.PATHOLOGY), header, json.dumps(of.row).encode())


@dataclass
class Live:
    """The system and who is in it. The researcher asks herself: requester and runner in one."""

    run: Run
    system: System = field(init=False)
    people: Cast = field(init=False)
    committee: bytes = b""
    studies: dict[str, bytes] = field(default_factory=dict)
    response_key: SealingKey = field(default_factory=SealingKey)

    @property
    def page(self) -> list[Patient]:
        return self.people.patients[: -self.samples]

    @property
    def leaving(self) -> list[Patient]:
        return self.people.patients[-self.samples :]

    @property
    def samples(self) -> int:
        return self.run.many(SAMPLES, 3)

    @property
    def domain(self) -> Domain:
        return self.system.deployment.user_domain

    def start(self) -> None:
        story = self.run.story
        story.doing("the chain and the services start")
        total = self.run.many(PAGE, 20) + self.samples
        self.people = Cast([patient(number, number % 3) for number in range(total)])
        self.system = System()
        self.system.start_chain(lambda _: None)
        self.system.start_services([key.address for key in self.people.custodians])
        self.committee = found_committee(self.system)
        _, self.studies = found_studies(self.system, self.people)
        self._wait_ready()
        enrol(self.system, self.people)
        deposit_all(self.system, self.people, self.committee, story)
        granted = consent_all(self.system, self.people, self.studies, story)
        if granted != total:
            raise RuntimeError("not every consent of the benchmark is final on chain")

    def _wait_ready(self) -> None:
        """No runner here, so the system's own wait is not for us."""
        deadline = time.monotonic() + READY_SECONDS
        for url in [self.system.gateway_url, *(server.endpoint for server in self.system.servers)]:
            client = HttpClient(url, timeout=5)
            while not _is_ready(client):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{url} is not ready after {READY_SECONDS} s")
                time.sleep(0.1)
            client.close()

    def close(self) -> None:
        if hasattr(self, "system"):
            self.system.close()

    def peers(self) -> list[HttpKeyServer]:
        """A fresh connection to each key server."""
        return [server.peer() for server in self.system.servers]

    def job(self) -> Job:
        key = self.people.researcher
        return new_job(key, key.address, self.studies["registry"], bytes(32), Access.DOWNLOAD)

    def sign(self, message: Job | Release) -> bytes:
        return self.people.researcher.sign(typed.digest(self.domain, message))

    def request(self, patients: Sequence[Patient], job: Job | None = None) -> ReleaseRequest:
        """A page about these patients' records, with the openings they are released under."""
        made, public, ids = job or self.job(), self.response_key.public, tuple(p.record for p in patients)
        release = Release(
            job=typed.struct_hash(made),
            committee=self.committee,
            recordsRoot=merkle.root_of(ids),
            count=len(ids),
            responseKeyHash=keccak(public),
            deadline=int(time.time()) + DEADLINE_SECONDS,
            nonce=secrets.token_bytes(32),
        )
        openings = tuple(opening(p) for p in patients)
        return ReleaseRequest(made, self.sign(made), release, self.sign(release), public, ids, openings)

    def bodies(self, pages: Sequence[Sequence[Patient]]) -> list[dict[str, Any]]:
        """Signed requests as JSON, each with a nonce of its own; all under one job."""
        job = replace(self.job(), salt=secrets.token_bytes(32))
        return [self.request(page, job).to_json() for page in pages]


def opening(of: Patient) -> Consent:
    message = of.given().message
    assert isinstance(message, Consent)
    return message


def _is_ready(client: HttpClient) -> bool:
    with contextlib.suppress(ConsentumError):
        return bool(client.get("/ready")["status"] == "ready")
    return False
