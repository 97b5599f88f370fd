# SPDX-License-Identifier: Apache-2.0
"""Jobs at the gateway: submitted by whoever signed them, pulled by the runner they name, kept until they end.

The gateway keeps, it does not judge: the runner checks everything again, the key servers decide every release, and
outputs come sealed to the key that the requester signed for. `domain/jobs.py` says what may follow what.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from consentum.domain.jobs import (
    LEASED,
    Event,
    Outcome,
    Progress,
    State,
    begun,
    cancelled,
    claimed,
    ended,
    put_back,
    renewed,
    settled,
)
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import MalformedError, NotFoundError
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.submission import Submission, admit
from consentum.ports.jobs import JobLimits, KeptJob

MAX_OPEN, MAX_KEPT = 64, 1_000
LIMITS = JobLimits(MAX_OPEN, MAX_KEPT)
RUNNER_SEEN_SECONDS = 120
NOTE_SECONDS = 20
MAX_STAGE = 200
MAX_DETAIL = 2_000
MAX_RECEIPTS = 50_000
_CODE = re.compile(r"[A-Z][A-Z_]{0,63}")


# The requester


def submit(gateway: Gateway, data: object) -> dict[str, str]:
    """{job, jobSignature, package, resultKey, resultNonce}: the signature is the permission; the same job again is the
    same answer, also after it ended. Nothing is kept of what could not run."""
    submission = Submission.parse(data)
    now, sent = _now(gateway), submission.to_json()
    try:
        if gateway.jobs.submission(submission.id) == sent:
            return _brief(_fresh(gateway, submission.id))
    except NotFoundError:
        pass
    admit(gateway.ledger, gateway.domain, submission, now)
    job = submission.job
    new = KeptJob(
        id=submission.id,
        requester=job.requester.lower(),
        runner=job.runner.lower(),
        study=job.study,
        deadline=job.deadline,
        submitted=now,
        progress=begun(now),
    )
    return _brief(gateway.jobs.add(new, sent, LIMITS))


def mine(gateway: Gateway, who: str) -> dict[str, Any]:
    """A requester's jobs, newest first."""
    _sweep(gateway)
    return {"jobs": [_line(job) for job in gateway.jobs.of_requester(who)]}


def show(gateway: Gateway, identity: str, who: str) -> dict[str, Any]:
    """Everything its requester may know. NotFoundError for anybody else."""
    return _told(_hers(gateway, identity, who))


def cancel(gateway: Gateway, identity: str, who: str) -> dict[str, Any]:
    """Ends it in `failed`, code CANCELLED; its runner learns by its lease. StateError if it has ended otherwise."""
    job = _hers(gateway, identity, who)
    return _told(gateway.jobs.change(job.id, lambda kept: cancelled(kept.progress, _now(gateway))))


# The runner


def claim(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{}: the oldest job that waits for this runner, with a lease, or {}. Asking says that it works on nothing else:
    what it held before (it was ended, or never got the answer) is put back first."""
    as_object(data, "request")
    now = _now(gateway)
    _note(gateway, who, now)
    _sweep(gateway)
    for identity in gateway.jobs.held(who):
        gateway.jobs.change(identity, lambda kept: _let_go(kept, now))
    for identity in gateway.jobs.waiting(who):
        lease = secrets.token_urlsafe(24)
        # Two claims at once: the second finds it taken, and goes on to the next.
        taken = gateway.jobs.change(identity, lambda kept, lease=lease: _take(kept, lease, now))  # type: ignore[misc]
        if taken.progress.lease == lease:
            found = {"id": hexed(identity), "lease": lease, "attempt": taken.progress.attempt}
            return {**gateway.jobs.submission(identity), **found}
    return {}


def event(gateway: Gateway, identity: str, data: object, who: str) -> dict[str, int]:
    """{lease, state, stage}: renews the lease; LeaseError tells a runner to stop."""
    body = as_object(data, "request", "lease", "state", "stage")
    job = _runners(gateway, identity, who)
    if body["state"] not in list(State):
        raise MalformedError("no such state", field="state")
    told = Event(_now(gateway), State(body["state"]), _text(body["stage"], "stage", MAX_STAGE))
    lease = _text(body["lease"], "lease", 64)
    kept = gateway.jobs.change(job.id, lambda kept: renewed(kept.progress, lease, told))
    return {"leaseUntil": kept.progress.lease_until}


def result(gateway: Gateway, identity: str, data: object, who: str) -> dict[str, str]:
    """{lease, manifest, counts, receipts, sealedOutputs}, or {lease, error} with what there is of manifest, counts and
    receipts. Said again it is the same answer."""
    job = _runners(gateway, identity, who)
    lease, outcome = _outcome(data)
    manifest = outcome.manifest
    if manifest is not None and manifest.get("job") != gateway.jobs.submission(job.id)["job"]:
        raise MalformedError("the manifest is of another job", field="manifest")
    now = _now(gateway)
    return _brief(gateway.jobs.change(job.id, lambda kept: ended(kept.progress, lease, outcome, now)))


def runners(gateway: Gateway) -> dict[str, Any]:
    """Who asked for work lately. Whether a board accredits one is on chain, not here."""
    lately = gateway.jobs.runners(_now(gateway) - RUNNER_SEEN_SECONDS)
    return {"runners": [{"address": address, "seen": seen} for address, seen in lately]}


# The board


def receipts(gateway: Gateway, identity: str, who: str) -> dict[str, Any]:
    """What the study's board sees: exact counts and every server's signed receipt. NotFoundError for anybody else."""
    job = _fresh(gateway, as_bytes(identity, "id", 32))
    block = gateway.ledger.view().latest
    board, _ = gateway.ledger.board_and_runner(block, job.study, job.runner)
    if who.lower() not in {member.lower() for member in gateway.ledger.board_members(block, board)}:
        raise NotFoundError("no such job", field="id")
    outcome = job.progress.outcome
    return {
        "id": hexed(job.id),
        "state": job.progress.state,
        "counts": dict(outcome.counts),
        "receipts": [dict(receipt) for receipt in outcome.receipts],
        "manifest": outcome.manifest,
    }


# Inside


def _now(gateway: Gateway) -> int:
    return int(gateway.clock())


def _sweep(gateway: Gateway) -> None:
    """Nobody sees a job later than its time: whoever looks first writes down what time has done."""
    now = _now(gateway)
    for identity in gateway.jobs.due(now):
        gateway.jobs.change(identity, lambda kept: settled(kept.progress, kept.deadline, now))


def _fresh(gateway: Gateway, identity: bytes) -> KeptJob:
    job, now = gateway.jobs.get(identity), _now(gateway)
    if job.progress.is_open and job.progress.due(job.deadline) <= now:
        return gateway.jobs.change(identity, lambda kept: settled(kept.progress, kept.deadline, now))
    return job


def _hers(gateway: Gateway, identity: str, who: str) -> KeptJob:
    job = _fresh(gateway, as_bytes(identity, "id", 32))
    if job.requester != who.lower():
        raise NotFoundError("no such job", field="id")
    return job


def _runners(gateway: Gateway, identity: str, who: str) -> KeptJob:
    job = _fresh(gateway, as_bytes(identity, "id", 32))
    if job.runner != who.lower():
        raise NotFoundError("no such job", field="id")
    return job


def _take(kept: KeptJob, lease: str, now: int) -> Progress:
    return claimed(kept.progress, lease, now) if kept.progress.state == State.QUEUED else kept.progress


def _let_go(kept: KeptJob, now: int) -> Progress:
    return put_back(kept.progress, now) if kept.progress.state in LEASED else kept.progress


def _note(gateway: Gateway, who: str, now: int) -> None:
    """Written down now and then only: an idle runner asks twice a second."""
    if not any(address == who.lower() for address, _ in gateway.jobs.runners(now - NOTE_SECONDS)):
        gateway.jobs.note_runner(who, now)


def _outcome(data: object) -> tuple[str, Outcome]:
    failed = isinstance(data, Mapping) and "error" in data
    optional = [key for key in ("manifest", "counts", "receipts") if isinstance(data, Mapping) and key in data]
    keys = ["error", *optional] if failed else ["manifest", "counts", "receipts", "sealedOutputs"]
    body = as_object(data, "request", "lease", *keys)
    lease = _text(body["lease"], "lease", 64)
    manifest, counts, given = body.get("manifest"), body.get("counts") or {}, body.get("receipts") or []
    if not (isinstance(manifest, Mapping) or (failed and manifest is None)) or not isinstance(counts, Mapping):
        raise MalformedError("manifest and counts are objects", field="manifest")
    if not isinstance(given, list) or len(given) > MAX_RECEIPTS:
        raise MalformedError(f"receipts are a list of at most {MAX_RECEIPTS}", field="receipts")
    signed = tuple(as_object(receipt, "receipts", "receipt", "signature") for receipt in given)
    sealed = None if failed else as_bytes(body["sealedOutputs"], "sealedOutputs")
    return lease, Outcome(manifest, counts, signed, sealed, _error(body["error"]) if failed else None)


def _error(data: object) -> Mapping[str, str]:
    body = as_object(data, "error", "code", "detail")
    if not isinstance(body["code"], str) or _CODE.fullmatch(body["code"]) is None:
        raise MalformedError("an error has a code", field="code")
    return {"code": body["code"], "detail": _text(body["detail"], "detail", MAX_DETAIL)}


def _text(value: object, what: str, at_most: int) -> str:
    if not isinstance(value, str) or len(value) > at_most:
        raise MalformedError(f"{what} is not text of at most {at_most} characters", field=what)
    return value


def _brief(job: KeptJob) -> dict[str, str]:
    return {"id": hexed(job.id), "state": job.progress.state}


def _line(job: KeptJob) -> dict[str, Any]:
    times = {"submitted": job.submitted, "deadline": job.deadline}
    return {**_brief(job), "stage": job.progress.stage, "study": hexed(job.study), "runner": job.runner, **times}


def _told(job: KeptJob) -> dict[str, Any]:
    progress, outcome = job.progress, job.progress.outcome
    return {
        **_line(job),
        "attempt": progress.attempt,
        "events": [asdict(event_) for event_ in progress.events],
        "manifest": outcome.manifest,
        "sealedOutputs": None if outcome.sealed is None else hexed(outcome.sealed),
        "error": outcome.error,
    }
