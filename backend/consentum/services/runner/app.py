# SPDX-License-Identifier: Apache-2.0
"""The runner over HTTP: takes signed jobs, runs them one after the other, shows each to its requester alone."""

from __future__ import annotations

import base64
import binascii
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI

from consentum.crypto import typed
from consentum.domain.messages import Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_integer, as_object, as_signature, hexed
from consentum.domain.terms import Access
from consentum.errors import MalformedError, NotFoundError, Reason, RefusedError, SignatureRefused
from consentum.jobs.work import JobState, work
from consentum.ports.chain import Block, Claim, Roles
from consentum.services import schemas
from consentum.services.frame import framed
from consentum.services.http import Body, SignedIn
from consentum.wiring.runner import RunnerProcess

MAX_JOBS = 1_000
MAX_WAITING = 64


class Jobs:
    """The jobs of this process, newest last; one at a time."""

    def __init__(self, process: RunnerProcess) -> None:
        self._process = process
        self._jobs: OrderedDict[str, JobState] = OrderedDict()
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._lock = threading.Lock()

    def submit(self, data: object) -> JobState:
        """{job, jobSignature, package}; the same job again is the same state, never a second run."""
        body = as_object(data, "request", "job", "jobSignature", "package")
        job = typed.from_json(Job, body["job"])
        signature = as_signature(body["jobSignature"], "jobSignature")
        package = parse_package(body["package"])
        if job.code != package.digest:
            raise MalformedError("the code is not the signed one", field="code")
        if job.runner != self._process.key.address.lower():
            raise MalformedError("the job is for another runner", field="runner")
        view = self._process.ledger.view()
        if job.deadline < view.latest.timestamp:
            raise RefusedError(Reason.DEADLINE_PASSED)
        self._of_our_boards(view.latest, job)
        digest = typed.digest(self._process.deployment.user_domain, job)
        claim = Claim(job.requester, Roles.CONTROLLER, digest, signature)
        if not self._process.ledger.signed_by(view.latest, [claim])[0]:
            raise SignatureRefused("the job is not signed by its requester", field="jobSignature")
        identity = hexed(typed.struct_hash(job))
        with self._lock:
            if identity not in self._jobs:
                waiting = sum(state.state in ("queued", "running") for state in self._jobs.values())
                if waiting >= MAX_WAITING:
                    raise RefusedError(Reason.LIMIT, "too many jobs wait already")
                self._jobs[identity] = state = JobState(job, signature, package)
                self._forget(job.requester)
                self._pool.submit(work, self._process, state)
            return self._jobs[identity]

    def _forget(self, requester: str) -> None:
        """Over MAX_JOBS her own oldest finished job goes first: nobody pushes out anothers'."""
        finished = [i for i, s in self._jobs.items() if s.state not in ("queued", "running")]
        mine = [i for i in finished if self._jobs[i].job.requester == requester]
        for identity in [*mine, *finished][: max(0, len(self._jobs) - MAX_JOBS)]:
            self._jobs.pop(identity, None)

    def _of_our_boards(self, block: Block, job: Job) -> None:
        """Anybody can found a board and accredit this runner: it runs the jobs of boards in its settings alone."""
        board, accredited = self._process.ledger.board_and_runner(block, job.study, job.runner)
        if hexed(board) not in self._process.settings.boards or not accredited:
            raise RefusedError(Reason.RUNNER_NOT_ACCREDITED, "this runner does not work for the study's board")
        if job.access == Access.AGGREGATE:
            raise MalformedError("there is no gate for aggregates yet", field="access")

    def of(self, identity: str, who: str) -> JobState:
        """NotFoundError for a job that is not there or not hers."""
        state = self._jobs.get(identity)
        if state is None or state.job.requester != who:
            raise NotFoundError("no such job", field="id")
        return state

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def parse_package(data: object) -> JobPackage:
    """{files: {path: base64}, entry, categories, outputs}."""
    body = as_object(data, "package", "files", "entry", "categories", "outputs")
    files, outputs = body["files"], body["outputs"]
    if not isinstance(files, dict) or not isinstance(outputs, dict) or not isinstance(body["entry"], str):
        raise MalformedError("files and outputs are objects, entry is text", field="package")
    try:
        decoded = {path: base64.b64decode(content, validate=True) for path, content in files.items()}
    except (binascii.Error, TypeError, ValueError):
        raise MalformedError("a file is not base64", field="files") from None
    return JobPackage(decoded, body["entry"], as_integer(body["categories"], "categories", 1 << 63), outputs)


def package_json(package: JobPackage) -> dict[str, Any]:
    """What parse_package takes."""
    files = {path: base64.b64encode(content).decode() for path, content in package.files.items()}
    outputs = dict(package.outputs)
    return {"files": files, "entry": package.entry, "categories": package.categories, "outputs": outputs}


def create_app(process: RunnerProcess) -> FastAPI:
    """The application of one runner."""
    jobs = Jobs(process)

    def stop() -> None:
        jobs.close()
        process.lock.release()

    app = framed("Consentum runner", process, lambda: None, stop)

    @app.get("/v1/runner")
    def about() -> dict[str, str]:
        """Who this is, for boards to accredit and jobs to name."""
        return {"address": process.key.address.lower()}

    @app.post("/v1/jobs", openapi_extra=schemas.body(schemas.JOB))
    def submit(body: Body) -> dict[str, Any]:
        """{job, jobSignature, package}: the signature is the permission to run; the result is the requester's alone."""
        return {"id": jobs.submit(body).to_json()["id"]}

    @app.get("/v1/jobs/{identity}")
    def job(identity: str, who: SignedIn) -> dict[str, Any]:
        """State, stage and result."""
        return jobs.of(identity, who).to_json()

    return app
