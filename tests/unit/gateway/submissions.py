# SPDX-License-Identifier: Apache-2.0
"""Signed jobs that tests hand in at a gateway, and what a runner says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Job
from consentum.domain.package import JobPackage
from consentum.flow.gateway import jobs
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.submission import Submission, result_salt
from tests.unit.client.world import DOMAIN, NOW, World

PACKAGE = JobPackage({"job.py": b"def main(data):\n    return {'out': 1}\n"}, "job:main", 4, {"out": "json"})
KEY, NONCE = SealingKey(), b"\x33" * 32
SEALED = {"manifest": {}, "counts": {"of": 12}, "receipts": [], "sealedOutputs": "0x00"}


def made(world: World, signer: WalletKey | None = None, package: JobPackage = PACKAGE, **changes: Any) -> Submission:
    salt = result_salt(KEY.public, NONCE)
    job: Job = replace(world.job(), **{"code": package.digest, "salt": salt, **changes})
    signature = (signer or world.researcher).sign(typed.digest(DOMAIN, job))
    return Submission(job, signature, package, KEY.public, NONCE)


def another(world: World, deadline: int) -> Submission:
    return made(world, deadline=deadline)


def who(key: WalletKey) -> str:
    return key.address.lower()


def later(gateway: Gateway, seconds: int) -> None:
    gateway.clock = lambda: float(NOW + seconds)


def running(held: dict[str, Any], stage: str = "") -> dict[str, Any]:
    return {"lease": held["lease"], "state": "running", "stage": stage}


def finished(gateway: Gateway, world: World, held: dict[str, Any], **more: Any) -> dict[str, str]:
    body = {"lease": held["lease"], **SEALED, "manifest": {"job": held["job"]}, **more}
    return jobs.result(gateway, held["id"], body, who(world.runner))
