# SPDX-License-Identifier: Apache-2.0
"""The state machine of jobs: what may follow what, and, longer, what may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consentum.domain.jobs import (
    LEASE_SECONDS,
    MAX_ATTEMPTS,
    MAX_EVENTS,
    NEXT,
    OPEN,
    Event,
    Outcome,
    Progress,
    State,
    begun,
    cancelled,
    claimed,
    ended,
    moved,
    put_back,
    renewed,
    settled,
)
from consentum.errors import LeaseError, StateError

NOW, DEADLINE = 1_000, 10_000
ALLOWED = {(one, other) for one, following in NEXT.items() for other in following}
DONE = Outcome(manifest={}, sealed=b"x")


def at(state: State) -> Progress:
    """A job in that state, by the only way there."""
    queued = begun(NOW)
    admitted = claimed(queued, "lease", NOW)
    running = renewed(admitted, "lease", Event(NOW, State.RUNNING))
    return {
        State.QUEUED: queued,
        State.ADMITTED: admitted,
        State.RUNNING: running,
        State.RELEASED: ended(running, "lease", DONE, NOW),
        State.FAILED: ended(running, "lease", Outcome(error={"code": "JOB_FAILED", "detail": ""}), NOW),
        State.EXPIRED: settled(queued, NOW - 1, NOW),
    }[state]


@pytest.mark.parametrize("state", State)
def test_every_state_can_be_reached(state: State) -> None:
    assert at(state).state == state
    assert at(state).events[-1].state == state


@pytest.mark.parametrize("to", State)
@pytest.mark.parametrize("state", State)
def test_every_step_that_is_not_in_the_table_is_refused(state: State, to: State) -> None:
    if (state, to) in ALLOWED:
        assert moved(at(state), to, NOW).state == to
    else:
        with pytest.raises(StateError):
            moved(at(state), to, NOW)


def test_nothing_follows_the_end() -> None:
    assert {State.RELEASED, State.FAILED, State.EXPIRED} == set(State) - OPEN
    for state in set(State) - OPEN:
        assert NEXT[state] == frozenset()


STEPS: dict[str, Callable[[Progress], Progress]] = {
    "claimed": lambda p: claimed(p, "other", NOW),
    "renewed": lambda p: renewed(p, "lease", Event(NOW, State.RUNNING)),
    "released": lambda p: ended(p, "lease", Outcome(manifest={}, sealed=b"other"), NOW),
    "failed": lambda p: ended(p, "lease", Outcome(error={"code": "CORRUPT", "detail": ""}), NOW),
    "put back": lambda p: put_back(p, NOW),
    "cancelled": lambda p: cancelled(p, NOW),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", sorted(set(State) - OPEN))
def test_what_has_ended_stays_as_it_is(state: State, step: str) -> None:
    with pytest.raises((StateError, LeaseError)):
        STEPS[step](at(state))
    assert settled(at(state), DEADLINE, DEADLINE + 99) == at(state)


def test_a_job_cannot_be_claimed_twice() -> None:
    for state in (State.ADMITTED, State.RUNNING):
        with pytest.raises(StateError):
            claimed(at(state), "other", NOW)


def test_a_job_nobody_ran_cannot_be_released() -> None:
    with pytest.raises(StateError):
        ended(at(State.ADMITTED), "lease", DONE, NOW)
    with pytest.raises(LeaseError):
        ended(at(State.QUEUED), "lease", DONE, NOW)


# Leases


@pytest.mark.parametrize("lease", ["", "other", "LEASE"])
def test_only_the_lease_lets_a_runner_speak(lease: str) -> None:
    for state in (State.QUEUED, State.ADMITTED, State.RUNNING):
        with pytest.raises(LeaseError):
            renewed(at(state), lease, Event(NOW, State.RUNNING))
        with pytest.raises(LeaseError):
            ended(at(state), lease, DONE, NOW)


@pytest.mark.parametrize("state", sorted({State.QUEUED, State.RELEASED, State.FAILED, State.EXPIRED}))
def test_a_runner_tells_no_state_but_its_own(state: State) -> None:
    with pytest.raises(StateError):
        renewed(at(State.RUNNING), "lease", Event(NOW, state))


def test_a_lease_lasts_a_minute_and_is_renewed_by_every_word() -> None:
    last = NOW + LEASE_SECONDS - 1
    again = renewed(at(State.RUNNING), "lease", Event(last, State.RUNNING, "x"))
    assert settled(again, DEADLINE, last + LEASE_SECONDS - 1) == again
    with pytest.raises(LeaseError):
        renewed(at(State.RUNNING), "lease", Event(last + 1, State.RUNNING))
    with pytest.raises(LeaseError):
        ended(at(State.RUNNING), "lease", DONE, last + 1)


def test_a_lease_that_runs_out_puts_the_job_back_three_times_and_then_gives_it_up() -> None:
    progress, now = begun(NOW), NOW
    for attempt in range(1, MAX_ATTEMPTS + 1):
        progress = claimed(progress, f"lease {attempt}", now)
        assert progress.attempt == attempt
        now += LEASE_SECONDS
        progress = settled(progress, DEADLINE, now)
    assert progress.state == State.FAILED
    assert progress.outcome.error == {"code": "RUNNER_LOST", "detail": "its runner was lost 3 times"}


def test_a_result_said_twice_is_one_result_and_another_one_is_none() -> None:
    released = at(State.RELEASED)
    assert ended(released, "lease", DONE, NOW + 999) == released
    with pytest.raises(LeaseError):
        ended(released, "lease", Outcome(manifest={}, sealed=b"y"), NOW)
    with pytest.raises(LeaseError):
        ended(released, "other", DONE, NOW)


# Time, cancelling


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_job_expires_after_its_deadline_and_not_at_it(state: State) -> None:
    held = replace(at(state), lease_until=DEADLINE + 99)
    assert settled(held, DEADLINE, DEADLINE) == held
    assert settled(held, DEADLINE, DEADLINE + 1).state == State.EXPIRED
    assert settled(held, DEADLINE, DEADLINE + 1).events[-1].at == DEADLINE + 1
    assert held.due(DEADLINE) == DEADLINE + 1


@pytest.mark.parametrize("state", sorted(OPEN))
def test_a_job_that_has_not_ended_can_be_cancelled_and_its_runner_is_out(state: State) -> None:
    over = cancelled(at(state), NOW)
    assert (over.state, over.outcome.error and over.outcome.error["code"]) == (State.FAILED, "CANCELLED")
    assert cancelled(over, NOW + 1) == over
    with pytest.raises(LeaseError):
        ended(over, "lease", DONE, NOW)


def test_a_stage_is_told_once_and_never_more_than_so_many_times() -> None:
    progress = at(State.RUNNING)
    same = renewed(progress, "lease", Event(NOW, State.RUNNING, progress.stage))
    assert same.events == progress.events
    for n in range(MAX_EVENTS + 9):
        progress = renewed(progress, "lease", Event(NOW, State.RUNNING, str(n)))
    assert len(progress.events) == MAX_EVENTS
    assert progress.events[-1].stage == progress.stage == str(MAX_EVENTS + 8)
