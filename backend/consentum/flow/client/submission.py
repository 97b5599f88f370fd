# SPDX-License-Identifier: Apache-2.0
"""The researcher's side of a job: what she signs, and whom its outputs are sealed to.

The salt of a Job commits to her sealing key, so nobody on the way can have the outputs sealed to another; the code
digest commits to the files as they were read, so a folder that changes afterwards changes nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.messages import Consent, Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import Reason
from consentum.flow.submission import Submission, result_salt
from consentum.ports.chain import Block, Item, Ledger

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


def submission(domain: Domain, signer: Signer, plan: Plan, package: JobPackage, result_key: bytes) -> Submission:
    """Signs a job over a package; its outputs will be sealed to result_key (1,216 bytes)."""
    nonce = secrets.token_bytes(32)
    job = plan.job(package.digest, result_salt(result_key, nonce))
    signature = signer.sign(typed.digest(domain, job))
    return Submission(job, signature, package, result_key, nonce)


def question(domain: Domain, signer: Signer, plan: Plan) -> tuple[Job, bytes]:
    """A job that only asks for its cohort, and its signature."""
    job = plan.job(QUESTION_CODE, secrets.token_bytes(32))
    return job, signer.sign(typed.digest(domain, job))


def signed_json(job: Job, signature: bytes) -> dict[str, Any]:
    """{job, jobSignature}"""
    return {"job": typed.to_json(job), "jobSignature": hexed(signature)}


def job_reason(ledger: Ledger, block: Block, job: Job) -> Reason:
    """Why the policy on chain would refuse the job as a whole; ALLOWED if it would not. The policy judges the job
    before any record, so a consent that nobody gave is enough to ask with."""
    nobody = Consent(job.requester, ledger.policy, bytes(32), bytes(32), 0, 0, bytes(32), 0, 0, 0, 0, 0, 0, bytes(32))
    [reason] = ledger.review(block, job, [Item(nobody, 0)])
    return Reason(reason) if reason <= Reason.RUNNER_NOT_REQUESTER else Reason.ALLOWED
