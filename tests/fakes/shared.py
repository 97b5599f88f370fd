# SPDX-License-Identifier: Apache-2.0
"""What workers remember together, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import RLock
from typing import Any


class MemoryShared:
    """`ports.shared.Shared`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, RLock()
        self._rows: dict[tuple[str, bytes], tuple[float, int, Mapping[str, Any]]] = {}

    def spend(self, what: str, key: bytes, seconds: float) -> bool:
        return self.count(what, key, seconds) == 1

    def count(self, what: str, key: bytes, seconds: float) -> int:
        with self._lock:
            expires, count, value = self._row(what, key, {}, seconds)
            self._rows[what, key] = (expires, count + 1, value)
            return count + 1

    def keep(self, what: str, key: bytes, value: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        with self._lock:
            row = self._row(what, key, value, seconds)
            self._rows[what, key] = row
            return row[2]

    def kept(self, what: str, key: bytes) -> Mapping[str, Any] | None:
        row = self._rows.get((what, key))
        return None if row is None or row[0] <= self._clock() else row[2]

    def _row(self, what: str, key: bytes, value: Mapping[str, Any], seconds: float) -> Any:
        row = self._rows.get((what, key))
        now = self._clock()
        return row if row is not None and row[0] > now else (now + seconds, 0, dict(value))
