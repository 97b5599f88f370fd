# SPDX-License-Identifier: Apache-2.0
"""What every suite measures with: a clock, percentiles, and what a run may be asked for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.demonstration.story import Story

if TYPE_CHECKING:
    from scripts.benchmarks.live import Live

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Run:
    """One run. quick: a few samples, only to see that everything works; entries: how long the journal grows."""

    story: Story
    folder: Path
    quick: bool = False
    entries: int = 100_000
    started: list[Live] = field(default_factory=list)

    def many(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def live(self) -> Live:
        """The running system, started when the first suite asks for it."""
        from scripts.benchmarks.live import Live  # noqa: PLC0415 - pandas and scikit-learn take a second

        if not self.started:
            made = Live(self)
            self.started.append(made)
            made.start()
        return self.started[0]

    def close(self) -> None:
        for live in self.started:
            live.close()


@dataclass(frozen=True, slots=True)
class Suite:
    """A name, its keys with their units, and what measures them. optional: keys that need a program of the machine."""

    name: str
    title: str
    keys: Mapping[str, str]
    run: Callable[[Run], dict[str, float]]
    optional: frozenset[str] = frozenset()


def seconds_of(action: Callable[[], object]) -> float:
    """How long one call took."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def samples(run: Run, what: str, actions: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of each, one after another."""
    found = []
    for number, action in enumerate(actions, start=1):
        run.story.doing(f"{what}: {number} of {len(actions)}")
        found.append(seconds_of(action))
    return found


def best(repeats: int, action: Callable[[], object]) -> float:
    """The shortest of some: for work that only the processor limits, what is longer was disturbed."""
    return min(seconds_of(action) for _ in range(repeats))


def percentile(seconds: Sequence[float], share: float) -> float:
    """The smallest sample that `share` of all do not exceed (nearest rank)."""
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def milliseconds(prefix: str, seconds: Sequence[float], *shares: int) -> dict[str, float]:
    """`prefix`_p50_ms and so on."""
    return {f"{prefix}_p{share}_ms": percentile(seconds, share / 100) * 1_000 for share in shares}


def chunks(total: int, size: int) -> Iterator[int]:
    """`total` in parts of at most `size`."""
    while total > 0:
        yield min(size, total)
        total -= size
