# SPDX-License-Identifier: Apache-2.0
"""Runs an application under uvicorn, quietly: access logs would hold addresses of subjects."""

from __future__ import annotations

import logging

import uvicorn
from fastapi import FastAPI

from consentum.settings import ServiceSettings


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what it is answering."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
