# SPDX-License-Identifier: Apache-2.0
"""Asks several servers at once, and waits no longer for one that hangs than its answer is worth."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from consentum.errors import ConsentumError, UnavailableError

log = logging.getLogger("consentum.gateway")
T = TypeVar("T")
MAX_OUTSTANDING = 32
GRACE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Answers(Generic[T]):
    """What came in time: values by server, and what the others failed with. Who is in neither is still being asked."""

    values: Mapping[str, T]
    errors: Mapping[str, ConsentumError]


@dataclass(slots=True)
class Hedge:
    """Counts what is under way to each server: one that hangs costs a few threads, not all of them."""

    _outstanding: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, tasks: Mapping[str, Callable[[], T]], seconds: float, enough: int | None = None) -> Answers[T]:
        """Runs every task at once. Returns when all have ended, after `seconds`, or a moment after `enough` have
        succeeded; the rest go on in the background, and what they do there is done all the same."""
        results: queue.SimpleQueue[tuple[str, T | ConsentumError]] = queue.SimpleQueue()
        for server, task in tasks.items():
            self._start(server, task, results)
        values: dict[str, T] = {}
        errors: dict[str, ConsentumError] = {}
        deadline = time.monotonic() + seconds
        while len(values) + len(errors) < len(tasks):
            if enough is not None and len(values) >= enough:
                deadline, enough = min(deadline, time.monotonic() + GRACE_SECONDS), None
            try:
                server, result = results.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(result, ConsentumError):
                errors[server] = result
            else:
                values[server] = result
        return Answers(values, errors)

    def _start(
        self, server: str, task: Callable[[], T], results: queue.SimpleQueue[tuple[str, T | ConsentumError]]
    ) -> None:
        with self._lock:
            busy = self._outstanding[server] >= MAX_OUTSTANDING
            self._outstanding[server] += not busy
        if busy:
            results.put((server, UnavailableError("too many requests to this server are under way")))
            return

        def run() -> None:
            try:
                results.put((server, task()))
            except ConsentumError as error:
                results.put((server, error))
            except Exception as error:  # noqa: BLE001 - whoever waits must get an answer; the type leaks nothing
                log.error("asking a key server failed: %s", type(error).__name__)
                results.put((server, UnavailableError("asking the server failed")))
            finally:
                with self._lock:
                    self._outstanding[server] -= 1

        threading.Thread(target=run, daemon=True).start()
