# SPDX-License-Identifier: Apache-2.0
"""Jobs: one suite for the fake and the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.store import jobs as adapter
from consentum.adapters.store.jobs import JobBook
from consentum.adapters.store.sealed import SealedFile
from consentum.domain.jobs import Event, Outcome, Progress, State, begun, claimed, ended, renewed
from consentum.errors import CorruptError, NotFoundError, RefusedError, StateError
from consentum.ports.jobs import JobLimits, Jobs, KeptJob
from tests.fakes.jobs import MemoryJobs

LIMITS = JobLimits(open=3, kept=4)
MARIE, PAUL = "0x" + "a1" * 20, "0x" + "b2" * 20
RUNNER, OTHER = "0x" + "c3" * 20, "0x" + "d4" * 20
NOW, DEADLINE = 1_000, 5_000


@pytest.fixture(params=["fake", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Jobs]:
    if request.param == "fake":
        yield MemoryJobs()
        return
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    yield JobBook(file)
    file.close()


def job(number: int = 1, requester: str = MARIE, runner: str = RUNNER) -> KeptJob:
    return KeptJob(
        id=bytes([number]) * 32,
        requester=requester,
        runner=runner,
        study=b"\5" * 32,
        deadline=DEADLINE,
        submitted=NOW,
        progress=begun(NOW),
    )


def added(book: Jobs, *numbers: int, **who: str) -> None:
    for number in numbers:
        book.add(job(number, **who), {"number": number}, LIMITS)


def to(state: State, lease: str = "lease") -> Callable[[KeptJob], Progress]:
    """A step to a state, by the only way there."""

    def step(kept: KeptJob) -> Progress:
        held = claimed(kept.progress, lease, NOW)
        if state == State.ADMITTED:
            return held
        running = renewed(held, lease, Event(NOW, State.RUNNING, "running over 10 records"))
        receipts = ({"receipt": {"v": 1}, "signature": "0x00"},)
        outcome = Outcome({"of": 5}, {"of": 7}, receipts, b"sealed")
        return running if state == State.RUNNING else ended(running, lease, outcome, NOW)

    return step


def test_a_job_is_kept_as_it_came(book: Jobs) -> None:
    assert book.add(job(), {"package": {"files": {}}}, LIMITS) == job()
    assert book.get(job().id) == job()
    assert book.submission(job().id) == {"package": {"files": {}}}


def test_the_same_job_again_is_returned_as_it_stands(book: Jobs) -> None:
    added(book, 1)
    book.change(job().id, to(State.RUNNING))
    again = book.add(job(), {"number": 99}, LIMITS)
    assert again.progress.state == State.RUNNING
    assert book.submission(job().id) == {"number": 1}


@pytest.mark.parametrize("state", [State.ADMITTED, State.RUNNING, State.RELEASED])
def test_a_change_is_there_afterwards_with_everything_in_it(book: Jobs, state: State) -> None:
    added(book, 1)
    changed = book.change(job().id, to(state))
    assert changed.progress.state == state
    assert book.get(job().id) == changed == replace(job(), progress=to(state)(job()))


def test_a_change_that_is_refused_changes_nothing(book: Jobs) -> None:
    added(book, 1)
    book.change(job().id, to(State.RELEASED))
    before = book.get(job().id)
    with pytest.raises(StateError):
        book.change(job().id, to(State.RUNNING))
    assert book.get(job().id) == before


def test_of_two_who_change_at_once_the_second_sees_what_the_first_did(book: Jobs) -> None:
    added(book, 1)

    def claim(lease: str) -> bool:
        try:
            return book.change(job().id, to(State.ADMITTED, lease)).progress.lease == lease
        except StateError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(claim, map(str, range(8)))) == 1
    assert book.get(job().id).progress.attempt == 1


def test_what_is_not_there_is_not_found(book: Jobs) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: book.get(job().id),
        lambda: book.submission(job().id),
        lambda: book.change(job().id, lambda kept: kept.progress),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call()


def test_a_requester_sees_her_own_newest_first(book: Jobs) -> None:
    added(book, 2, 1, 3)
    added(book, 4, requester=PAUL)
    assert [kept.id[0] for kept in book.of_requester(MARIE.upper().replace("X", "x"))] == [3, 1, 2]
    assert [kept.id[0] for kept in book.of_requester(PAUL)] == [4]
    assert book.of_requester(RUNNER) == []


def test_a_runner_sees_what_waits_for_it_oldest_first_and_what_it_holds(book: Jobs) -> None:
    added(book, 2, 1, 3)
    added(book, 4, requester=PAUL, runner=OTHER)
    assert [identity[0] for identity in book.waiting(RUNNER)] == [2, 1, 3]
    book.change(job(1).id, to(State.ADMITTED))
    book.change(job(3).id, to(State.RELEASED))
    assert [identity[0] for identity in book.waiting(RUNNER)] == [2]
    assert [identity[0] for identity in book.held(RUNNER)] == [1]
    assert (book.held(OTHER), len(book.waiting(OTHER))) == ([], 1)


def test_a_job_is_due_when_its_lease_or_its_deadline_is_over(book: Jobs) -> None:
    added(book, 1, 2, 3)
    book.change(job(1).id, to(State.RUNNING))
    book.change(job(3).id, to(State.RELEASED))
    assert book.due(NOW + 59) == []
    assert book.due(NOW + 60) == [job(1).id]
    assert sorted(book.due(DEADLINE + 1)) == [job(1).id, job(2).id], "what has ended is never due"
    assert book.due(DEADLINE) == [job(1).id]


# Caps


def test_one_open_job_too_many_is_refused_and_anothers_is_not(book: Jobs) -> None:
    added(book, 1, 2, 3)
    with pytest.raises(RefusedError) as refused:
        added(book, 4)
    assert refused.value.code == "LIMIT"
    with pytest.raises(NotFoundError):
        book.get(job(4).id)
    added(book, 5, requester=PAUL)
    book.change(job(1).id, to(State.RELEASED))
    added(book, 4)


def test_over_the_cap_her_own_oldest_finished_job_is_forgotten_and_nobody_elses(book: Jobs) -> None:
    added(book, 9, requester=PAUL)
    book.change(job(9).id, to(State.RELEASED))
    for number in range(1, 7):
        added(book, number)
        if number != 2:
            book.change(job(number).id, to(State.RELEASED))
    assert [kept.id[0] for kept in book.of_requester(MARIE)] == [6, 5, 4, 2]
    with pytest.raises(NotFoundError):
        book.submission(job(1).id)
    assert [kept.id[0] for kept in book.of_requester(PAUL)] == [9]


# Runners


def test_a_runner_that_asked_is_seen_until_it_is_long_ago(book: Jobs) -> None:
    book.note_runner(RUNNER, NOW)
    book.note_runner(OTHER, NOW + 5)
    book.note_runner(RUNNER, NOW + 9)
    assert book.runners(NOW) == [(RUNNER, NOW + 9), (OTHER, NOW + 5)]
    assert book.runners(NOW + 6) == [(RUNNER, NOW + 9)]
    assert book.runners(NOW + 10) == []


# What only the file can do


def test_jobs_survive_and_without_the_key_nothing_of_them_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    file = SealedFile(path, bytes(32))
    JobBook(file).add(job(), {"code": "canary-5512"}, LIMITS)
    JobBook(file).change(job().id, to(State.RELEASED))
    JobBook(file).note_runner(RUNNER, NOW)
    before = JobBook(file).get(job().id)
    file.close()
    raw = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    for secret in (b"canary-5512", MARIE[2:].encode(), bytes.fromhex(MARIE[2:]), RUNNER[2:].encode(), b'sealed"'):
        assert secret not in raw
    file = SealedFile(path, bytes(32))
    assert JobBook(file).get(job().id) == before
    file.close()
    file = SealedFile(path, b"\1" * 32)
    for read in (JobBook(file).get, JobBook(file).submission):
        with pytest.raises(CorruptError):
            read(job().id)
    file.close()


def test_a_submission_does_not_open_as_a_job_nor_as_anothers(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    book = JobBook(file)
    added(book, 1, 2)
    with file.engine.begin() as connection:
        rows = connection.execute(adapter.submissions.select()).all()
        box = {row.id: row.box for row in rows}
        connection.execute(adapter.jobs.update().where(adapter.jobs.c.id == job(1).id).values(box=box[job(1).id]))
        table = adapter.submissions
        connection.execute(table.update().where(table.c.id == job(1).id).values(box=box[job(2).id]))
    for read in (book.get, book.submission):
        with pytest.raises(CorruptError):
            read(job(1).id)
    file.close()


def test_only_so_many_runners_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MAX_RUNNERS", 2)
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    for number in range(4):
        JobBook(file).note_runner("0x" + f"{number:02x}" * 20, NOW + number)
    assert [seen for _, seen in JobBook(file).runners(0)] == [NOW + 3, NOW + 2]
    file.close()
