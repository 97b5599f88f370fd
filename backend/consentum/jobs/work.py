# SPDX-License-Identifier: Apache-2.0
"""One job from start to end: cohort, releases, records, code, outputs, manifest."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import envelope, merkle, typed
from consentum.domain.messages import Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import ConsentumError, CorruptError
from consentum.flow.client.collect import Collected, Key, collect
from consentum.flow.client.receipts import total
from consentum.flow.wire import MAX_PAGE
from consentum.jobs.dataset import JobRecord
from consentum.jobs.run import run
from consentum.wiring.runner import RunnerProcess

RELEASE_SECONDS = 300
FETCH_PAGE = 200


@dataclass(slots=True)
class JobState:
    """A job as its requester sees it. state: queued, running, done, refused (no record was released), failed."""

    job: Job
    signature: bytes
    package: JobPackage
    state: str = "queued"
    stage: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        shown = {"id": hexed(typed.struct_hash(self.job)), "state": self.state, "stage": self.stage}
        return {**shown, "result": self.result, "error": self.error}


def work(process: RunnerProcess, state: JobState) -> None:
    """Runs the job to its end; every failure ends in the state, never in an exception."""
    try:
        _work(process, state)
    except ConsentumError as error:
        state.state, state.error = "failed", {"code": error.code, "detail": str(error)}
    except Exception as error:  # noqa: BLE001 - the message may hold what the job saw
        state.state, state.error = "failed", {"code": "UNEXPECTED", "detail": type(error).__name__}


def _work(process: RunnerProcess, state: JobState) -> None:
    state.state, state.stage = "running", "asking which records there are"
    client = process.gateway()
    try:
        question = {
            "job": typed.to_json(state.job),
            "jobSignature": hexed(state.signature),
            "categories": state.package.categories,
        }
        cohort = client.post("/v1/cohorts", question)
        rows = cohort.get("records", [])
        state.stage = f"asking the key servers for {len(rows)} records"
        pages = _release(process, client, state, rows)
        keys = [key for page in pages for key in page.keys]
        state.result = {"outputs": {}, "manifest": manifest(state, cohort, pages)}
        if not keys:
            state.state, state.stage = "refused", "no record was released"
            return
        pseudonyms = {as_bytes(row["record"], "record", 32): str(row["pseudonym"]) for row in rows}
        state.stage = f"running over {len(keys)} records"
        records = _records(process, client, keys, pseudonyms)
        settings = process.settings
        outputs = run(state.package, records, settings.job_timeout_seconds, settings.max_output_bytes)
        state.result["outputs"] = dict(outputs)
        state.state, state.stage = "done", "done"
    finally:
        client.close()


def _release(
    process: RunnerProcess, client: HttpClient, state: JobState, rows: Sequence[Mapping[str, Any]]
) -> list[Collected]:
    by_committee: dict[bytes, list[bytes]] = {}
    for row in rows:
        committee = as_bytes(row["committee"], "committee", 32)
        if hexed(committee) not in process.settings.committees:
            raise CorruptError("the gateway names a committee that this runner does not know", field="committee")
        by_committee.setdefault(committee, []).append(as_bytes(row["record"], "record", 32))
    pages = []
    for committee, ids in by_committee.items():
        collector = process.collector(client, state.job, state.signature, committee)
        for start in range(0, len(ids), MAX_PAGE):
            deadline = min(state.job.deadline, int(time.time()) + RELEASE_SECONDS)
            pages.append(collect(collector, ids[start : start + MAX_PAGE], deadline))
    return pages


def _records(
    process: RunnerProcess, client: HttpClient, keys: Sequence[Key], pseudonyms: Mapping[bytes, str]
) -> Iterator[JobRecord]:
    """Fetches and opens page by page: a few records in memory, whatever the size of the cohort."""
    content = process.content(client)
    for start in range(0, len(keys), FETCH_PAGE):
        page = keys[start : start + FETCH_PAGE]
        sealed = content.get_all([key.cid for key in page])
        for key in page:
            header, plain = envelope.open_(key.key, sealed[key.cid])
            yield JobRecord(pseudonyms[key.record], header.name, header.content_type, plain)


def manifest(state: JobState, cohort: Mapping[str, Any], pages: Sequence[Collected]) -> dict[str, Any]:
    """What a paper's Methods needs, and what a server could be held to: blocks, cohort root, code digest, refusals by
    reason, and every server's signed receipt. What no server was asked about is refused by the gateway's word."""
    released = sorted(key.record for page in pages for key in page.keys)
    refused = total([*(page.receipts[0].counts for page in pages), cohort.get("unlisted", {})])
    refused.pop("ALLOWED", None)
    return {
        "job": typed.to_json(state.job),
        "code": hexed(state.package.digest),
        "of": int(cohort["of"]),
        "released": len(released),
        "refused": refused,
        "cohortRoot": hexed(merkle.root_of(released)),
        "blocks": sorted({receipt.latest for page in pages for receipt in page.receipts}),
        "receipts": [
            {"receipt": dict(answer.receipt), "signature": hexed(answer.signature)}
            for page in pages
            for answer in page.answers
        ],
        "failures": [dict(page.failures) for page in pages if page.failures],
    }
