# SPDX-License-Identifier: Apache-2.0
"""A job on its way from its requester to its runner, and the checks both the gateway and the runner make, each for
itself: the gateway so that nothing is kept that could never run, the runner because it believes no gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import sealing, typed
from consentum.crypto.typed import Domain
from consentum.domain.messages import Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_bytes, as_object, as_signature, hexed
from consentum.domain.terms import Access
from consentum.errors import MalformedError, Reason, RefusedError, SignatureRefused
from consentum.ports.chain import Block, Claim, Ledger, Roles

RESULT_KEY_CONTEXT = b"consentum/result-key/v1"
MAX_DEADLINE_AHEAD_SECONDS = 30 * 86_400


def result_salt(result_key: bytes, nonce: bytes) -> bytes:
    """The salt of a job whose outputs are for this key: signed with the job, so nobody on the way can put another."""
    return keccak(RESULT_KEY_CONTEXT + result_key + nonce)


@dataclass(frozen=True, slots=True)
class Submission:
    """A signed job, its code, and the HPKE public key its outputs are sealed to."""

    job: Job
    signature: bytes
    package: JobPackage
    result_key: bytes
    result_nonce: bytes

    KEYS = ("job", "jobSignature", "package", "resultKey", "resultNonce")

    @property
    def id(self) -> bytes:
        return typed.struct_hash(self.job)

    @classmethod
    def parse(cls, data: object) -> Submission:
        """MalformedError if code or result key are not those the job names."""
        body = as_object(data, "request", *cls.KEYS)
        job = typed.from_json(Job, body["job"])
        package = JobPackage.parse(body["package"])
        key = as_bytes(body["resultKey"], "resultKey", sealing.PUBLIC_BYTES)
        nonce = as_bytes(body["resultNonce"], "resultNonce", 32)
        if job.code != package.digest:
            raise MalformedError("the code is not the signed one", field="code")
        if job.salt != result_salt(key, nonce):
            raise MalformedError("the result key is not the signed one", field="salt")
        sealing.load_public(key)  # before hours of work for outputs that cannot be sealed
        return cls(job, as_signature(body["jobSignature"], "jobSignature"), package, key, nonce)

    def to_json(self) -> dict[str, Any]:
        return {
            "job": typed.to_json(self.job),
            "jobSignature": hexed(self.signature),
            "package": self.package.to_json(),
            "resultKey": hexed(self.result_key),
            "resultNonce": hexed(self.result_nonce),
        }


def admit(ledger: Ledger, domain: Domain, submission: Submission, now: int) -> bytes:
    """The study's board, if this job could run now: in time, signed by its requester, a member of the study, on a
    runner its board accredits. SignatureRefused, RefusedError, MalformedError otherwise."""
    job = submission.job
    if job.deadline <= now:
        raise RefusedError(Reason.DEADLINE_PASSED)
    if job.deadline > now + MAX_DEADLINE_AHEAD_SECONDS:
        raise MalformedError("the deadline is more than 30 days ahead", field="deadline")
    if job.access == Access.AGGREGATE:
        raise MalformedError("there is no gate for aggregates yet", field="access")
    block = ledger.view().latest
    claim = Claim(job.requester, Roles.CONTROLLER, typed.digest(domain, job), submission.signature)
    if not ledger.signed_by(block, [claim])[0]:
        raise SignatureRefused("the job is not signed by its requester", field="jobSignature")
    return _standing(ledger, block, job)


def _standing(ledger: Ledger, block: Block, job: Job) -> bytes:
    board, accredited = ledger.board_and_runner(block, job.study, job.runner)
    if not accredited:
        raise RefusedError(Reason.RUNNER_NOT_ACCREDITED, "the study's board does not accredit this runner")
    if not ledger.is_member(block, job.study, job.requester):
        raise RefusedError(Reason.REQUESTER_NOT_MEMBER, "the requester is no member of the study")
    return board
