# SPDX-License-Identifier: Apache-2.0
"""Asks the gateway with patience: waits while nobody answers, or while it says that it cannot now.

Everything sent through it may be sent twice: reads, questions, and messages that are known by their hash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from consentum.adapters.peers.http import HttpClient
from consentum.errors import UnavailableError
from consentum.wiring.client import Connection

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 5.0
T = TypeVar("T")


class Session:
    """patience: how many seconds an absent gateway is waited for."""

    def __init__(self, connection: Connection, patience: float = 30.0) -> None:
        self._connection, self.patience = connection, patience
        self.pause: Callable[[float], None] = time.sleep
        self.clock: Callable[[], float] = time.monotonic

    def get(self, path: str, **params: Any) -> Any:
        return self._call(lambda client: client.get(path, **params))

    def post(self, path: str, body: Any) -> Any:
        return self._call(lambda client: client.post(path, body))

    def put(self, path: str, body: Any) -> Any:
        return self._call(lambda client: client.put(path, body))

    def _call(self, ask: Callable[[HttpClient], T]) -> T:
        """UnavailableError only after `patience`; every other refusal at once."""
        end, pause = self.clock() + self.patience, FIRST_PAUSE_SECONDS
        while True:
            try:
                return ask(self._connection.gateway)
            except UnavailableError:
                if self.clock() + pause > end:
                    raise
                self.pause(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
