# SPDX-License-Identifier: Apache-2.0
"""Runs an application under uvicorn, without its access log, which would hold addresses of subjects."""

from __future__ import annotations

from typing import Any

import uvicorn
from fastapi import FastAPI

from consentum.services import logs
from consentum.settings import ServiceSettings

DRAIN_SECONDS = 30


def serve(app: FastAPI, settings: ServiceSettings) -> None:
    """Serves until SIGTERM or SIGINT; then takes no new connection, finishes what it is answering, and stops."""
    logs.begin()
    uvicorn.run(app, **options(settings))


def options(settings: ServiceSettings) -> dict[str, Any]:
    """What uvicorn is told, whether it serves in one process or in several."""
    return {
        "host": settings.host,
        "port": settings.port,
        "access_log": False,
        "log_config": None,
        "timeout_graceful_shutdown": DRAIN_SECONDS,
        "ssl_certfile": settings.tls_certificate,
        "ssl_keyfile": settings.tls_key,
        "proxy_headers": bool(settings.trusted_proxies),
        "forwarded_allow_ips": list(settings.trusted_proxies),
    }
