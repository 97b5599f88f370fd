# SPDX-License-Identifier: Apache-2.0
"""Runs an application under uvicorn, quietly: access logs would hold addresses of subjects."""

from __future__ import annotations

import logging

import uvicorn
from fastapi import FastAPI

from consentum.settings import ServiceSettings


def _without_trace(record: logging.LogRecord) -> bool:
    """A traceback's last line is the error's message, which may hold what the caller sent."""
    if record.exc_info:
        kind = record.exc_info[0]
        record.msg, record.args = "unexpected %s", (kind.__name__ if kind else "error",)
        record.exc_info = record.exc_text = None
    return True


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serves until SIGTERM or SIGINT, then finishes what it is answering."""
    logging.getLogger("uvicorn.error").addFilter(_without_trace)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
