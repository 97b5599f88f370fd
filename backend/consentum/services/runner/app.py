# SPDX-License-Identifier: Apache-2.0
"""The runner over HTTP: who it is and whether it works. Jobs it fetches itself, from its gateway."""

from __future__ import annotations

from fastapi import FastAPI

from consentum.jobs.pull import Puller
from consentum.services.frame import framed
from consentum.services.observe import age_of
from consentum.wiring.runner import RunnerProcess


def create_app(process: RunnerProcess) -> FastAPI:
    """The application of one runner; it pulls jobs for as long as the application lives."""
    puller = Puller(process)

    def stop() -> None:
        puller.stop()
        process.lock.release()

    app = framed("Consentum runner", process, puller.start, stop)
    age = "Age of the newest block."
    app.state.metrics.gauge("consentum_newest_block_age_seconds", age, lambda: age_of(process.ledger))

    @app.get("/v1/runner")
    def about() -> dict[str, str]:
        """Who this is, for boards to accredit and jobs to name."""
        return {"address": process.key.address.lower()}

    return app
