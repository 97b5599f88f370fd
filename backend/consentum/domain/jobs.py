# SPDX-License-Identifier: Apache-2.0
"""A job's states, what may follow what, and how each step changes its progress. Pure: times come in, values go out.

A runner holds a job by a lease. A lease that runs out puts the job back; what was cancelled, expired or put back is
known to its former runner by LeaseError alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from consentum.errors import LeaseError, StateError

LEASE_SECONDS = 60
MAX_ATTEMPTS = 3
MAX_EVENTS = 500


class State(StrEnum):
    """Where a job stands; the last three are final."""

    QUEUED = "queued"
    ADMITTED = "admitted"
    RUNNING = "running"
    RELEASED = "released"
    FAILED = "failed"
    EXPIRED = "expired"


# The one table: whatever is not here cannot happen.
NEXT: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.ADMITTED, State.FAILED, State.EXPIRED}),
    State.ADMITTED: frozenset({State.RUNNING, State.QUEUED, State.FAILED, State.EXPIRED}),
    State.RUNNING: frozenset({State.RELEASED, State.QUEUED, State.FAILED, State.EXPIRED}),
    State.RELEASED: frozenset(),
    State.FAILED: frozenset(),
    State.EXPIRED: frozenset(),
}
OPEN = frozenset(state for state, following in NEXT.items() if following)
LEASED = frozenset({State.ADMITTED, State.RUNNING})


@dataclass(frozen=True, slots=True)
class Event:
    """What a job's requester is told: when (UTC seconds), the state, and the stage in words."""

    at: int
    state: State
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job came to. manifest and sealed are the requester's; counts (exact) and receipts the board's."""

    manifest: Mapping[str, Any] | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)
    receipts: tuple[Mapping[str, Any], ...] = ()
    sealed: bytes | None = field(default=None, repr=False)
    error: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """lease: the token of whoever holds the job, or ended it; lease_until in UTC seconds."""

    state: State = State.QUEUED
    stage: str = ""
    attempt: int = 0
    lease: str = field(default="", repr=False)
    lease_until: int = 0
    events: tuple[Event, ...] = ()
    outcome: Outcome = Outcome()

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def due(self, deadline: int) -> int:
        """When this job changes by itself."""
        return min(deadline + 1, self.lease_until) if self.state in LEASED else deadline + 1


def begun(now: int) -> Progress:
    return Progress(events=(Event(now, State.QUEUED),))


def moved(progress: Progress, to: State, now: int, stage: str = "") -> Progress:
    """The only way from one state to another. StateError for a step that is not in the table."""
    if to not in NEXT[progress.state]:
        raise StateError(f"a job that is {progress.state} cannot become {to}", field="state")
    events = (*progress.events[: MAX_EVENTS - 1], Event(now, to, stage))
    return replace(progress, state=to, stage=stage, events=events)


def claimed(progress: Progress, lease: str, now: int) -> Progress:
    """A runner takes it for a minute; another attempt begins."""
    taken = moved(progress, State.ADMITTED, now)
    return replace(taken, attempt=progress.attempt + 1, lease=lease, lease_until=now + LEASE_SECONDS)


def renewed(progress: Progress, lease: str, told: Event) -> Progress:
    """Its runner works on and says where it is. LeaseError for whoever does not hold it (any longer); StateError for a
    state that is not a runner's to tell."""
    _held(progress, lease, told.at)
    if told.state not in LEASED:
        raise StateError("a runner says admitted or running", field="state")
    held = replace(progress, lease_until=told.at + LEASE_SECONDS)
    if told.state != progress.state:
        return moved(held, told.state, told.at, told.stage)
    if told.stage == progress.stage:
        return held
    return replace(held, stage=told.stage, events=(*held.events[: MAX_EVENTS - 1], told))


def ended(progress: Progress, lease: str, outcome: Outcome, now: int) -> Progress:
    """Its runner is done. The same runner saying it again (its answer was lost) changes nothing."""
    if not progress.is_open and progress.lease == lease and progress.outcome == outcome:
        return progress
    _held(progress, lease, now)
    to = State.FAILED if outcome.error else State.RELEASED
    stage = outcome.error["code"] if outcome.error else ""
    return replace(moved(progress, to, now, stage), outcome=outcome)


def cancelled(progress: Progress, now: int) -> Progress:
    """By its requester. Cancelled twice is cancelled; StateError for what ended otherwise."""
    if _code(progress) == "CANCELLED":
        return progress
    return _failed(progress, now, "CANCELLED", "its requester cancelled it")


def put_back(progress: Progress, now: int) -> Progress:
    """The runner that held it does not any longer: it waits for the next attempt, or is given up after the third."""
    if progress.attempt >= MAX_ATTEMPTS:
        return _failed(progress, now, "RUNNER_LOST", f"its runner was lost {MAX_ATTEMPTS} times")
    return replace(moved(progress, State.QUEUED, now, "its runner was lost"), lease="", lease_until=0)


def settled(progress: Progress, deadline: int, now: int) -> Progress:
    """What time alone has done by `now`."""
    if not progress.is_open:
        return progress
    if now > deadline:
        return replace(moved(progress, State.EXPIRED, deadline + 1), lease="", lease_until=0)
    if progress.state in LEASED and now >= progress.lease_until:
        return put_back(progress, progress.lease_until)
    return progress


def _held(progress: Progress, lease: str, now: int) -> None:
    if progress.state not in LEASED or not lease or progress.lease != lease or now >= progress.lease_until:
        raise LeaseError("this runner does not hold the job any longer", field="lease")


def _failed(progress: Progress, now: int, code: str, detail: str) -> Progress:
    outcome = Outcome(error={"code": code, "detail": detail})
    return replace(moved(progress, State.FAILED, now, code), lease="", lease_until=0, outcome=outcome)


def _code(progress: Progress) -> str:
    return progress.outcome.error["code"] if progress.outcome.error else ""
