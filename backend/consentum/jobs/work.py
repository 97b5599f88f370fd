# SPDX-License-Identifier: Apache-2.0
"""One attempt at a job from start to end: checks, cohort, leases, code, outputs sealed to the requester, manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import sealing, typed
from consentum.domain.disclosure import shown
from consentum.domain.journal import canonical
from consentum.domain.package import DROP
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError, NotFoundError, Reason, RefusedError
from consentum.flow.submission import Submission, admit
from consentum.flow.wire import MAX_PAGE
from consentum.jobs.leases import LeasedRecords, Page, new_page
from consentum.jobs.manifest import Account, Result, account, manifest
from consentum.jobs.run import Bounds, Halt, run
from consentum.wiring.runner import RunnerProcess


class NothingReleased(ConsentumError):
    """No record was released; the manifest says why, by reason."""

    code = "NOTHING_RELEASED"


@dataclass(slots=True)
class Attempt:
    """A claimed job in this runner's hands. tell: says the stage it is in; halt: ends it from outside."""

    id: bytes
    lease: str
    submission: Submission
    tell: Callable[[str], None] = lambda _: None
    halt: Halt = field(default_factory=Halt)
    leases: LeasedRecords | None = None
    decided: bool = False
    cohort: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, data: object) -> Attempt:
        """What a claim was answered. MalformedError for a job that is not the one its id says."""
        body = as_object(data, "job", "id", "lease", "attempt", *Submission.KEYS)
        submission = Submission.parse({key: body[key] for key in Submission.KEYS})
        if as_bytes(body["id"], "id", 32) != submission.id:
            raise MalformedError("the job is another than its id says", field="id")
        return cls(submission.id, str(body["lease"]), submission)


def work(process: RunnerProcess, attempt: Attempt) -> dict[str, Any]:
    """The body of its result. Every failure of the job ends in that; only what halted it is raised."""
    sealed, error = None, {}
    try:
        outputs = _outputs(process, attempt)
        job, info = attempt.submission.job, sealing.outputs_info
        bound = info(attempt.id, typed.address_bytes(job.runner))
        sealed = sealing.seal(canonical(outputs), attempt.submission.result_key, bound)
    except ConsentumError as failure:
        error = {"code": failure.code, "detail": str(failure)[:2_000]}
    except Exception as failure:  # noqa: BLE001 - the message may hold what the job saw
        error = {"code": "UNEXPECTED", "detail": type(failure).__name__}
    attempt.halt.check()
    body = {"lease": attempt.lease, **_account(process, attempt, sealed)}
    return {**body, "error": error} if sealed is None else {**body, "sealedOutputs": hexed(sealed)}


def _outputs(process: RunnerProcess, attempt: Attempt) -> Mapping[str, Any]:
    submission = attempt.submission
    _check(process, submission)
    client = process.gateway()
    try:
        attempt.tell("asking which records there are")
        question = {
            "job": typed.to_json(submission.job),
            "jobSignature": hexed(submission.signature),
            "categories": submission.package.categories,
        }
        cohort = client.post("/v1/cohorts", question)
        rows = cohort.get("records", [])
        attempt.tell(f"asking the key servers for {shown(len(rows))} records")
        drops = submission.package.on_consent_change == DROP
        leases = LeasedRecords(
            _pages(process, client, submission, rows), process.content(client), process.clocks, drops
        )
        pseudonyms = {as_bytes(row["record"], "record", 32): str(row["pseudonym"]) for row in rows}
        attempt.leases, attempt.cohort = leases, cohort  # from here on keys are dropped in time
        leases.decide(pseudonyms, _schema(client, submission.package.categories))
        attempt.decided = True
        if not leases.released:
            raise NothingReleased
        attempt.halt.check()
        attempt.tell(f"running over {shown(len(leases.released))} records")
        settings = process.settings
        left = submission.job.deadline - process.clocks.wall()
        bounds = Bounds(min(settings.job_timeout_seconds, left), settings.max_output_bytes, process.scratch)
        outputs = run(submission.package, leases, bounds, attempt.halt)
        attempt.tell("closing")
        leases.finish()
        return outputs
    finally:
        if attempt.leases is not None:
            attempt.leases.close()
        client.close()


def _check(process: RunnerProcess, submission: Submission) -> None:
    """The gateway's word is not believed: the job is checked here as if it came from anybody. Anybody can found a board
    and accredit this runner, too: it runs the jobs of boards in its settings alone."""
    job = submission.job
    if job.runner != process.key.address.lower():
        raise MalformedError("the job is for another runner", field="runner")
    board = admit(process.ledger, process.deployment.user_domain, submission, int(process.clocks.wall()))
    if hexed(board) not in process.settings.boards:
        raise RefusedError(Reason.RUNNER_NOT_ACCREDITED, "this runner does not work for the study's board")


def _pages(
    process: RunnerProcess, client: HttpClient, submission: Submission, rows: Sequence[Mapping[str, Any]]
) -> list[Page]:
    by_committee: dict[bytes, list[bytes]] = {}
    for row in rows:
        committee = as_bytes(row["committee"], "committee", 32)
        if hexed(committee) not in process.settings.committees:
            raise CorruptError("the gateway names a committee that this runner does not know", field="committee")
        by_committee.setdefault(committee, []).append(as_bytes(row["record"], "record", 32))
    pages = []
    for committee, found in by_committee.items():
        collector = process.collector(client, submission.job, submission.signature, committee)
        ids = sorted(set(found))
        parts = [ids[start : start + MAX_PAGE] for start in range(0, len(ids), MAX_PAGE)]
        pages += [new_page(collector, part, process.clocks) for part in parts]
    return pages


def _schema(client: HttpClient, categories: int) -> Sequence[Any]:
    """The data dictionary of these categories, if this gateway keeps any."""
    try:
        found = client.get("/v1/dictionaries", categories=categories).get("dictionaries", [])
    except NotFoundError:
        return []
    return found if isinstance(found, list) else []


def _account(process: RunnerProcess, attempt: Attempt, sealed: bytes | None) -> dict[str, Any]:
    if attempt.leases is None or not attempt.decided:
        return {"manifest": None, **_json(Account())}
    exact = account(attempt.cohort, attempt.leases)
    result = Result(attempt.submission, attempt.leases, exact, sealed)
    made = manifest(result, process.deployment.user_domain, process.key, int(process.clocks.wall()))
    return {"manifest": made, **_json(exact)}


def _json(exact: Account) -> dict[str, Any]:
    return {"counts": dict(exact.counts), "receipts": [dict(receipt) for receipt in exact.receipts]}
