# SPDX-License-Identifier: Apache-2.0
"""Caps on what costs the gateway something: forms a person adds in a day, requests of somebody who did not sign in."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any

from consentum.errors import ConsentumError, Reason, RefusedError
from consentum.flow.login import LoginDesk, bearer
from consentum.ports.shared import Shared
from consentum.services.http import problem, status_of

FORMS_PER_DAY = 100
DAY_SECONDS = 86_400
ANONYMOUS_PER_MINUTE = 3_000
# A content is read a block of 1 MiB at a time, and that costs little.
BLOCKS_PER_MINUTE = 60_000
BLOCKS = "/ipfs/"
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


class Metered:
    """ASGI: anonymous requests above the limit are answered with LIMIT (429), before their body is read. A header that
    is no session of this gateway is anonymous too. Blocks are counted by themselves."""

    def __init__(self, app: Any, meter: Meter, desk: LoginDesk, blocks: Meter | None = None) -> None:
        self._app, self._meter, self._desk = app, meter, desk
        self._blocks = blocks or Meter(BLOCKS_PER_MINUTE)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and self._anonymous(scope) and not self._meter_of(scope).take(_client_of(scope)):
            error = RefusedError(Reason.LIMIT, "too many requests a minute without signing in")
            await problem(status_of(error), error.code, str(error))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _meter_of(self, scope: MutableMapping[str, Any]) -> Meter:
        return self._blocks if scope["path"].startswith(BLOCKS) else self._meter

    def _anonymous(self, scope: MutableMapping[str, Any]) -> bool:
        if scope["path"] in _FREE:
            return False
        header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
        try:
            self._desk.who(bearer(None if header is None else header.decode("latin-1")))
        except ConsentumError:
            return True
        return False


def _client_of(scope: MutableMapping[str, Any]) -> str:
    return scope["client"][0] if scope.get("client") else ""
