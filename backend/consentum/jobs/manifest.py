# SPDX-License-Identifier: Apache-2.0
"""What a job's result says of how it came to be: rounded for its requester, exact for the study's board."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consentum.crypto import merkle, typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.disclosure import shown, shown_all
from consentum.domain.parsing import hexed
from consentum.flow.client.receipts import total
from consentum.flow.client.verification import manifest_digest, receipts_root
from consentum.flow.submission import Submission
from consentum.jobs.leases import LeasedRecords


@dataclass(frozen=True, slots=True)
class Account:
    """counts: exact numbers. receipts: what every server signed, each time it was asked. For the board alone."""

    counts: Mapping[str, Any] = field(default_factory=dict)
    receipts: tuple[Mapping[str, Any], ...] = ()


def account(cohort: Mapping[str, Any], leases: LeasedRecords) -> Account:
    """What no server was asked about (`unlisted`) is refused by the gateway's word alone."""
    unlisted = {str(name): int(many) for name, many in cohort.get("unlisted", {}).items()}
    counts = {
        "of": int(cohort["of"]),
        "released": len(leases.released),
        "dropped": leases.dropped,
        "refused": total([leases.refused, unlisted]),
        "unlisted": unlisted,
        "failures": [failure for page in leases.pages for failure in page.failures],
    }
    signed = tuple(
        {"receipt": dict(answer.receipt), "signature": hexed(answer.signature)}
        for page in leases.pages
        for answer in page.answers
    )
    return Account(counts, signed)


@dataclass(frozen=True, slots=True)
class Result:
    """What the manifest is about. sealed: the outputs as they leave, None if there are none."""

    submission: Submission
    leases: LeasedRecords
    account: Account
    sealed: bytes | None


def manifest(result: Result, domain: Domain, runner: Signer, now: int) -> dict[str, Any]:
    """Signed by the runner; every count rounded (`domain/disclosure.py`)."""
    submission, leases, counts = result.submission, result.leases, result.account.counts
    said: dict[str, Any] = {
        "v": 1,
        "at": now,
        "job": typed.to_json(submission.job),
        "jobSignature": hexed(submission.signature),
        "code": hexed(submission.package.digest),
        "of": shown(counts["of"]),
        "released": shown(counts["released"]),
        "dropped": shown(counts["dropped"]),
        "refused": shown_all(counts["refused"]),
        "cohortRoot": hexed(merkle.root_of(sorted(leases.released))),
        "blocks": sorted(set[str]().union(*(page.blocks for page in leases.pages))),
        "receiptsRoot": hexed(receipts_root(result.account.receipts)),
        "outputsHash": None if result.sealed is None else hexed(hashlib.sha256(result.sealed).digest()),
    }
    return {**said, "signature": hexed(runner.sign(manifest_digest(domain, said)))}
