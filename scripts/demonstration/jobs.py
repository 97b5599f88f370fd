# SPDX-License-Identifier: Apache-2.0
"""The researcher: jobs through the gateway, and, in the registry study, releases she asks for herself."""

from __future__ import annotations

import json
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
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import ConsentumError, CorruptError
from consentum.flow.client.verification import open_outputs, receipts_root, verify_manifest
from consentum.flow.submission import Submission, result_salt
from consentum.flow.wire import ReleaseRequest
from consentum.jobs.run import read_folder
from scripts.demonstration.people import Cast, Patient
from scripts.demonstration.story import Story
from scripts.demonstration.system import KeyServerProcess, System

HOUR_SECONDS = 3_600
JOB_FOLDER = Path(__file__).with_name("job")


@dataclass(frozen=True, slots=True)
class Wish:
    """A signed job on its way, and the key its outputs will be sealed to."""

    submission: Submission
    key: SealingKey


def wish(system: System, requester: Signer, job: Job | None, study: bytes) -> Wish:
    """A job over scripts/demonstration/job, signed by its requester; its salt binds her result key."""
    package = read_folder(JOB_FOLDER, "train:main", int(Category.PATHOLOGY), {"metrics": "json"})
    key, nonce = SealingKey(), secrets.token_bytes(32)
    made = job or new_job(requester, system.runner_address, study, package.digest)
    made = replace(made, code=package.digest, salt=result_salt(key.public, nonce))
    signature = requester.sign(typed.digest(system.deployment.user_domain, made))
    return Wish(Submission(made, signature, package, key.public, nonce), key)


def submit(system: System, requester: Signer, job: Job | None, study: bytes, story: Story) -> dict[str, Any]:
    """Hands a signed job to the gateway and waits for its end. What its requester sees, with her outputs opened and her
    manifest verified."""
    made = wish(system, requester, job, study)
    client = HttpClient(system.gateway_url, timeout=30)
    client.sign_in(requester, system.deployment.user_domain)
    identity = client.post("/v1/jobs", made.submission.to_json())["id"]
    state = ended(client, identity, story)
    return {**state, "result": opened(system, state, made.key)}


def ended(client: HttpClient, identity: str, story: Story) -> dict[str, Any]:
    """A job's state once it is final."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        state: dict[str, Any] = client.get(f"/v1/jobs/{identity}")
        if state["state"] in ("released", "failed", "expired"):
            return state
        story.doing(f"the runner is {state['stage'] or state['state']}")
        time.sleep(0.1)
    raise TimeoutError("the job did not end")


def opened(system: System, state: dict[str, Any], key: SealingKey) -> dict[str, Any]:
    """{manifest, outputs} of an ended job, as far as there are any. ConsentumError if they do not hold."""
    manifest = state["manifest"]
    if manifest is None:
        return {"manifest": {}, "outputs": {}}
    domain = system.deployment.user_domain
    wrong = [f for f in verify_manifest(system.ledger, domain, manifest, int(time.time())) if not f.ok]
    if wrong:
        raise CorruptError(f"the manifest does not hold: {wrong[0].detail}")
    if state["sealedOutputs"] is None:
        return {"manifest": manifest, "outputs": {}}
    plain = open_outputs(manifest, as_bytes(state["sealedOutputs"], "sealedOutputs"), key)
    return {"manifest": manifest, "outputs": json.loads(plain)}


def exact(system: System, member: Signer, identity: str) -> dict[str, Any]:
    """What the study's board sees of a job: exact counts, and the receipts whose root its manifest names."""
    client = HttpClient(system.gateway_url, timeout=30)
    client.sign_in(member, system.deployment.user_domain)
    seen = client.get(f"/v1/jobs/{identity}/receipts")
    if hexed(receipts_root(seen["receipts"])) != seen["manifest"]["receiptsRoot"]:
        raise CorruptError("the receipts are not those the manifest names")
    counts: dict[str, Any] = seen["counts"]
    return counts


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
