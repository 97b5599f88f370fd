# SPDX-License-Identifier: Apache-2.0
"""The researcher: jobs through the runner, and, in the registry study, releases she asks for herself."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import merkle, typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import Signer
from consentum.domain.messages import Consent, Job, Release
from consentum.domain.parsing import hexed
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import ConsentumError
from consentum.flow.wire import ReleaseRequest
from consentum.jobs.run import read_folder
from consentum.services.runner.app import package_json
from scripts.demonstration.people import Cast, Patient
from scripts.demonstration.story import Story
from scripts.demonstration.system import KeyServerProcess, System

HOUR_SECONDS = 3_600
JOB_FOLDER = Path(__file__).with_name("job")


def submit(system: System, requester: Signer, job: Job | None, study: bytes, story: Story) -> dict[str, Any]:
    """Signs a job over scripts/demonstration/job, hands it to the runner, waits for its end."""
    package = read_folder(JOB_FOLDER, "train:main", int(Category.PATHOLOGY), {"metrics": "json"})
    made = job or new_job(requester, system.runner_address, study, package.digest)
    domain = system.deployment.user_domain
    signature = requester.sign(typed.digest(domain, made))
    client = HttpClient(system.runner_url, timeout=30)
    client.sign_in(requester, domain)
    body = {"job": typed.to_json(made), "jobSignature": hexed(signature), "package": package_json(package)}
    identity = client.post("/v1/jobs", body)["id"]
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        state: dict[str, Any] = client.get(f"/v1/jobs/{identity}")
        story.doing(f"the runner is {state['stage']}")
        if state["state"] not in ("queued", "running"):
            return state
        time.sleep(0.1)
    raise TimeoutError("the job did not end")


def new_job(requester: Signer, runner: str, study: bytes, code: bytes, access: Access = Access.COMPUTE) -> Job:
    return Job(
        requester=requester.address.lower(),
        runner=runner.lower(),
        study=study,
        code=code,
        purpose=int(Purpose.DISEASE_RESEARCH),
        access=int(access),
        epsilonMilli=0,
        deadline=int(time.time()) + HOUR_SECONDS,
        salt=secrets.token_bytes(32),
    )


def plain_result(cast: Cast, allowed: set[int]) -> dict[str, Any]:
    """The same model over the same rows in the clear."""
    import pandas as pd  # noqa: PLC0415 - only here

    from scripts.demonstration.job.train import evaluate  # noqa: PLC0415 - as above

    result: dict[str, Any] = evaluate(pd.DataFrame([p.row for p in cast.patients if p.number in allowed]))
    return result


class Asker:
    """Asks key servers herself: requester and runner in one, as the registry study's download access allows."""

    def __init__(self, system: System, key: Signer, study: bytes, committee: bytes) -> None:
        self.system, self.key, self.study, self.committee = system, key, study, committee
        self.response_key = SealingKey()

    def request(self, patient: Patient, opening: Consent | None, job: Job | None = None) -> ReleaseRequest:
        """A page of one record, signed by this asker."""
        made = job or new_job(self.key, self.key.address, self.study, bytes(32), Access.DOWNLOAD)
        public = self.response_key.public
        deadline = int(time.time()) + 300
        release = Release(
            typed.struct_hash(made),
            self.committee,
            merkle.root_of([patient.record]),
            1,
            keccak(public),
            deadline,
            secrets.token_bytes(32),
        )
        return self.signed(ReleaseRequest(made, b"", release, b"", public, (patient.record,), (opening,)))

    def signed(self, request: ReleaseRequest) -> ReleaseRequest:
        """The request with both signatures made anew."""
        domain = self.system.deployment.user_domain
        return replace(
            request,
            job_signature=self.key.sign(typed.digest(domain, request.job)),
            release_signature=self.key.sign(typed.digest(domain, request.release)),
        )

    def ask(self, request: ReleaseRequest) -> list[Answered]:
        """Each server's own answer."""
        return [answer_of(server, request.to_json()) for server in self.system.servers]


@dataclass(frozen=True, slots=True)
class Answered:
    """One server's yes or no about one record, the reason, and the block it decided at ("-" if it refused unasked)."""

    yes: bool
    reason: str
    block: str

    def __str__(self) -> str:
        return f"{'yes' if self.yes else 'no'} at {self.block}"


def answer_of(server: KeyServerProcess, body: dict[str, Any]) -> Answered:
    try:
        receipt = server.peer().release(body)["receipt"]
    except ConsentumError as error:
        return Answered(False, error.code + (f" ({error.field})" if error.field else ""), "-")
    [reason] = receipt["counts"]
    return Answered(reason == "ALLOWED", reason, receipt["latest"].split(":")[0])
