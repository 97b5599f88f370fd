# SPDX-License-Identifier: Apache-2.0
"""How the demo speaks: numbered stages, plain sentences, never silent for more than three seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

QUIET_SECONDS = 2.0


class ExpectationFailed(Exception):
    """Something did not come out as the demo says it must."""


class Story:
    """Prints stages and remembers their seconds. A heartbeat speaks when nothing else does."""

    def __init__(self, stages: int) -> None:
        self.seconds: dict[str, float] = {}
        self._stages, self._number = stages, 0
        self._doing, self._last, self._begun = "", time.monotonic(), time.monotonic()
        self._lock = threading.Lock()
        threading.Thread(target=self._heartbeat, daemon=True).start()

    @contextmanager
    def stage(self, key: str, title: str) -> Iterator[None]:
        """One numbered stage."""
        self._number += 1
        self._print(f"\n[{self._number}/{self._stages}] {title}")
        begun = time.monotonic()
        yield
        self.seconds[key] = round(time.monotonic() - begun, 2)
        self._doing = ""
        self._print(f"      ({self.seconds[key]:.1f} s)")

    def doing(self, what: str) -> None:
        """What the heartbeat says if this takes long."""
        self._doing = what

    def say(self, text: str = "") -> None:
        """A sentence, or a block of lines, under the stage."""
        for line in text.split("\n"):
            self._print(f"      {line}" if line else "")

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Columns as wide as their widest cell."""
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            self.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def expect(self, fact: bool, what: str) -> None:
        """Checks one promise of the demo; a failure ends it."""
        if not fact:
            raise ExpectationFailed(what)
        self.say(f"ok    {what}")

    def _print(self, text: str) -> None:
        with self._lock:
            self._last = time.monotonic()
            print(text, flush=True)

    def _heartbeat(self) -> None:
        while True:
            time.sleep(0.25)
            if self._doing and time.monotonic() - self._last > QUIET_SECONDS:
                self._print(f"      ...   {self._doing} ({time.monotonic() - self._begun:.0f} s)")


def complain(text: str) -> None:
    """One clear line on stderr."""
    print(f"demo: {text}", file=sys.stderr, flush=True)
