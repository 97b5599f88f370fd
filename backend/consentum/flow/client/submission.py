# SPDX-License-Identifier: Apache-2.0
"""The researcher's side of a job: what she signs, whom its outputs are sealed to, and what travels to the gateway.

The salt of a Job commits to her sealing key, so nobody on the way can have the outputs sealed to another; the code
digest commits to the files as they were read, so a folder that changes afterwards changes nothing.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import sealing, typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.messages import Consent, Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, Reason
from consentum.ports.chain import Block, Item, Ledger

RESULT_KEY_CONTEXT = b"consentum/result-key/v1"
OUTPUTS_CONTEXT = b"consentum/outputs/1"
# A question is signed like a job, but over a digest that is no package's: no runner has code to run under it.
QUESTION_CODE = keccak(b"consentum/question/1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job is about, but for its code. deadline in UTC seconds; addresses lower-case."""

    requester: str
    runner: str
    study: bytes
    purpose: int
    access: int
    deadline: int

    def job(self, code: bytes, salt: bytes) -> Job:
        """The Job to sign."""
        what = (self.study, code, self.purpose, self.access)
        return Job(self.requester, self.runner, *what, 0, self.deadline, salt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A signed job and what goes with it. The same submission may be sent any number of times."""

    job: Job
    signature: bytes
    package: JobPackage
    result_key: bytes = field(repr=False)
    result_nonce: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        return typed.struct_hash(self.job)

    def to_json(self) -> dict[str, Any]:
        """The body of POST /v1/jobs."""
        return {
            **signed_json(self.job, self.signature),
            "package": package_json(self.package),
            "resultKey": hexed(self.result_key),
            "resultNonce": hexed(self.result_nonce),
        }


def submission(domain: Domain, signer: Signer, plan: Plan, package: JobPackage, result_key: bytes) -> Submission:
    """Signs a job over a package; its outputs will be sealed to result_key (1,216 bytes)."""
    nonce = secrets.token_bytes(32)
    job = plan.job(package.digest, result_salt(result_key, nonce))
    signature = signer.sign(typed.digest(domain, job))
    return Submission(job=job, signature=signature, package=package, result_key=result_key, result_nonce=nonce)


def question(domain: Domain, signer: Signer, plan: Plan) -> tuple[Job, bytes]:
    """A job that only asks for its cohort, and its signature."""
    job = plan.job(QUESTION_CODE, secrets.token_bytes(32))
    return job, signer.sign(typed.digest(domain, job))


def result_salt(result_key: bytes, nonce: bytes) -> bytes:
    """keccak256(context ‖ key (1,216 bytes) ‖ nonce (32)). MalformedError for other lengths: the parts have none."""
    if len(result_key) != sealing.PUBLIC_BYTES or len(nonce) != 32:
        raise MalformedError("a result key has 1,216 bytes, its nonce 32", field="resultKey")
    return keccak(RESULT_KEY_CONTEXT + result_key + nonce)


def outputs_info(job_hash: bytes, runner: str) -> bytes:
    """What sealed outputs are bound to: context ‖ the Job's struct hash (32 bytes) ‖ the runner's address (20)."""
    return OUTPUTS_CONTEXT + job_hash + typed.address_bytes(runner)


def signed_json(job: Job, signature: bytes) -> dict[str, Any]:
    """{job, jobSignature}"""
    return {"job": typed.to_json(job), "jobSignature": hexed(signature)}


def package_json(package: JobPackage) -> dict[str, Any]:
    """{files: {path: base64}, entry, categories, outputs, onConsentChange}"""
    files = {path: base64.b64encode(content).decode() for path, content in package.files.items()}
    told = {"files": files, "entry": package.entry, "categories": package.categories}
    return {**told, "outputs": dict(package.outputs), "onConsentChange": package.on_consent_change}


def job_reason(ledger: Ledger, block: Block, job: Job) -> Reason:
    """Why the policy on chain would refuse the job as a whole; ALLOWED if it would not. The policy judges the job
    before any record, so a consent that nobody gave is enough to ask with."""
    nobody = Consent(job.requester, ledger.policy, bytes(32), bytes(32), 0, 0, bytes(32), 0, 0, 0, 0, 0, 0, bytes(32))
    [reason] = ledger.review(block, job, [Item(nobody, 0)])
    return Reason(reason) if reason <= Reason.RUNNER_NOT_REQUESTER else Reason.ALLOWED
