# SPDX-License-Identifier: Apache-2.0
"""The runner over HTTP: who it is and whether it works. Jobs it fetches itself, from its gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from consentum.jobs.pull import Puller
from consentum.services.http import health_routes, new_app
from consentum.wiring.runner import RunnerProcess


def create_app(process: RunnerProcess) -> FastAPI:
    """The application of one runner; it pulls jobs for as long as the application lives."""
    app = new_app("Consentum runner", process.settings.max_body_bytes)
    puller = Puller(process)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        puller.start()
        yield
        puller.stop()
        process.lock.release()

    app.router.lifespan_context = lifespan
    app.include_router(health_routes(process.why_not_ready))

    @app.get("/v1/runner")
    def about() -> dict[str, str]:
        """Who this is, for boards to accredit and jobs to name."""
        return {"address": process.key.address.lower()}

    return app
