# SPDX-License-Identifier: Apache-2.0
"""Caps on what costs the gateway something: forms a person adds in a day, requests of somebody who did not sign in."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from consentum.errors import ConsentumError, Reason, RefusedError
from consentum.flow.login import LoginDesk, bearer
from consentum.ports.shared import Shared
from consentum.services.http import problem, status_of

FORMS_PER_DAY = 100
DAY_SECONDS = 86_400
ANONYMOUS_PER_MINUTE = 3_000
MAX_CLIENTS = 10_000
# Revoking is never harder or slower than anything else, and the health routes are for machines.
_FREE = ("/v1/revocations", "/live", "/ready")


def count_form(shared: Shared, who: str) -> None:
    """RefusedError(LIMIT) for the form after the last of today."""
    if shared.count("forms", who.encode(), DAY_SECONDS) > FORMS_PER_DAY:
        raise RefusedError(Reason.LIMIT, f"at most {FORMS_PER_DAY} forms a day")


class Meter:
    """Requests by client address within the minute, in the memory of one worker."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str) -> bool:
        """Whether this client may ask once more."""
        minute = int(self._clock() // 60)
        with self._lock:
            since, count = self._seen.pop(client, (minute, 0))
            count = count + 1 if since == minute else 1
            self._seen[client] = (minute, count)
            while len(self._seen) > MAX_CLIENTS:
                self._seen.popitem(last=False)
        return count <= self._limit


def add_meter(app: FastAPI, meter: Meter, desk: LoginDesk) -> None:
    """Anonymous requests above the limit are answered with LIMIT (429), before their body is read. A header that is no
    session of this gateway is anonymous too."""

    @app.middleware("http")
    async def metered(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        counted = request.url.path not in _FREE and not _signed_in(desk, request.headers.get("authorization"))
        if counted and not meter.take(request.client.host if request.client else ""):
            error = RefusedError(Reason.LIMIT, f"at most {ANONYMOUS_PER_MINUTE} requests a minute without signing in")
            return problem(status_of(error), error.code, str(error))
        return await call_next(request)


def _signed_in(desk: LoginDesk, header: str | None) -> bool:
    try:
        desk.who(bearer(header))
    except ConsentumError:
        return False
    return True
