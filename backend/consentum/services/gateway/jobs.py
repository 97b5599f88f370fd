# SPDX-License-Identifier: Apache-2.0
"""The gateway's routes for jobs: requesters submit and ask, runners pull, boards see receipts."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from consentum.flow.gateway import jobs
from consentum.services import schemas
from consentum.services.http import Body, SignedIn
from consentum.wiring.gateway import GatewayProcess


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    """Everything about jobs."""
    _requester_routes(app, process)
    _runner_routes(app, process)


def _requester_routes(app: FastAPI, process: GatewayProcess) -> None:
    gateway = process.gateway

    @app.post("/v1/jobs", openapi_extra=schemas.body(schemas.JOB))
    def submit(body: Body) -> dict[str, Any]:
        """{job, jobSignature, package, resultKey, resultNonce}: the signature is the permission to run."""
        return dict(jobs.submit(gateway, body))

    @app.get("/v1/jobs")
    def mine(who: SignedIn) -> dict[str, Any]:
        """The caller's own jobs, newest first."""
        return jobs.mine(gateway, who)

    @app.get("/v1/jobs/{identity}")
    def show(identity: str, who: SignedIn) -> dict[str, Any]:
        """State, events, manifest and sealed outputs, to its requester."""
        return jobs.show(gateway, identity, who)

    @app.post("/v1/jobs/{identity}/cancel")
    def cancel(identity: str, who: SignedIn) -> dict[str, Any]:
        """Ends a job that has not ended."""
        return jobs.cancel(gateway, identity, who)

    @app.get("/v1/jobs/{identity}/receipts")
    def receipts(identity: str, who: SignedIn) -> dict[str, Any]:
        """Exact counts and the servers' receipts, to members of the study's board."""
        return jobs.receipts(gateway, identity, who)


def _runner_routes(app: FastAPI, process: GatewayProcess) -> None:
    gateway = process.gateway

    @app.get("/v1/runners")
    def runners() -> dict[str, Any]:
        """Who asked for work lately."""
        return jobs.runners(gateway)

    @app.post("/v1/runner/claims", openapi_extra=schemas.body(schemas.NOTHING))
    def claim(body: Body, who: SignedIn) -> dict[str, Any]:
        """{}: the next job of this runner, with a lease."""
        return jobs.claim(gateway, body, who)

    @app.post("/v1/runner/jobs/{identity}/events", openapi_extra=schemas.body(schemas.EVENT))
    def event(identity: str, body: Body, who: SignedIn) -> dict[str, Any]:
        """{lease, state, stage}: where its runner is; renews the lease."""
        return dict(jobs.event(gateway, identity, body, who))

    @app.post("/v1/runner/jobs/{identity}/result", openapi_extra=schemas.body(schemas.RESULT))
    def result(identity: str, body: Body, who: SignedIn) -> dict[str, Any]:
        """{lease, manifest, counts, receipts, sealedOutputs} or {lease, error}: the end."""
        return dict(jobs.result(gateway, identity, body, who))
