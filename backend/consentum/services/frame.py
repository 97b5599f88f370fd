# SPDX-License-Identifier: Apache-2.0
"""The frame of every service: an application whose background work lives as long as it, with health and sign-in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from fastapi import FastAPI

from consentum.flow.login import LoginDesk
from consentum.services.http import add_login, health_routes, new_app


class Process(Protocol):
    """What wiring builds from a folder."""

    @property
    def settings(self) -> Any: ...

    @property
    def desk(self) -> LoginDesk: ...

    def why_not_ready(self) -> dict[str, str]: ...


def framed(title: str, process: Process, start: Callable[[], None], stop: Callable[[], None]) -> FastAPI:
    """The application of a process, still without its own routes. start runs before the first request, stop after
    the last."""
    app = new_app(title, process.settings.max_body_bytes)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        start()
        yield
        stop()

    app.router.lifespan_context = lifespan
    app.include_router(health_routes(process.why_not_ready))
    add_login(app, process.desk)
    return app
