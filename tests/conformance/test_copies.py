# SPDX-License-Identifier: Apache-2.0
"""What every ledger of copies promises: one suite for the fake and for the file."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from consentum.adapters.store.copies import CopyBook
from consentum.domain.cid import RAW, Cid
from consentum.errors import UnavailableError
from consentum.ports.copies import CopyState, Kept, Round, Tally
from consentum.ports.pins import PinStatus
from tests.fakes.copies import MemoryCopyLedger

A, B, C = sorted(Cid.of(RAW, letter) for letter in (b"a", b"b", b"c"))
NODES = ["one", "two", "three"]
Ledger = CopyBook | MemoryCopyLedger


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    made: Ledger = MemoryCopyLedger() if request.param == "memory" else CopyBook(tmp_path / "copies.db")
    yield made
    made.close()


def test_a_record_is_written_then_kept_then_leaves_then_is_gone(ledger: Ledger) -> None:
    states = [ledger.state(A)]
    ledger.begin([A])
    states.append(ledger.state(A))
    assert (ledger.find(A), ledger.writing()) == (None, [A])
    ledger.keep([A], NODES[:2])
    states.append(ledger.state(A))
    assert (ledger.find(A), ledger.writing()) == (Kept(A, frozenset(NODES[:2])), [])
    ledger.leave([A], ["one", "two"])
    states.append(ledger.state(A))
    assert ledger.find(A) is None
    for name in ("one", "two"):
        ledger.paid(A, name)
        states.append(ledger.state(A))
    writing, kept, leaving = CopyState.WRITING, CopyState.KEPT, CopyState.LEAVING
    assert states == [None, writing, kept, leaving, leaving, None]


def test_what_is_kept_stays_kept_when_it_is_written_again(ledger: Ledger) -> None:
    ledger.keep([A], ["one"])
    ledger.begin([A])
    assert ledger.state(A) == CopyState.KEPT
    ledger.keep([A], ["two"])
    assert ledger.find(A) == Kept(A, frozenset({"one", "two"}))


def test_what_is_written_again_owes_nothing(ledger: Ledger) -> None:
    ledger.leave([A, B], NODES)
    ledger.begin([A])
    assert [ledger.owed(name, 9) for name in NODES] == [[B]] * 3
    assert (ledger.state(A), ledger.state(B)) == (CopyState.WRITING, CopyState.LEAVING)


def test_a_payment_ends_nothing_but_what_was_leaving(ledger: Ledger) -> None:
    ledger.keep([A], ["one"])
    ledger.paid(A, "one")
    ledger.paid(B, "one")
    assert (ledger.state(A), ledger.state(B)) == (CopyState.KEPT, None)


def test_the_kept_are_listed_in_order_and_from_anywhere(ledger: Ledger) -> None:
    ledger.keep([C, A, B], ["one"])
    ledger.begin([Cid.of(RAW, b"d")])
    assert [kept.root for kept in ledger.after(b"", 9)] == [A, B, C]
    assert [kept.root for kept in ledger.after(A.raw, 1)] == [B]
    assert ledger.after(C.raw, 9) == []


def test_debts_are_listed_by_name_and_no_more_than_asked_for(ledger: Ledger) -> None:
    ledger.leave([C, A, B], ["one"])
    assert ledger.owed("one", 2) == [A, B]
    assert ledger.owed("two", 9) == []


def test_missing_silent_and_foreign_copies_count_as_none(ledger: Ledger) -> None:
    ledger.keep([A], NODES)
    ledger.keep([B], ["one", "two"])
    ledger.keep([C], ["a node of long ago"])
    ledger.begin([Cid.of(RAW, b"d")])
    assert ledger.tally(NODES, 3) == Tally(3, 0 + 1 + 3, 0)
    ledger.seen(A, "one", None)
    ledger.seen(A, "two", False)
    assert ledger.tally(NODES, 3).missing == 6
    assert ledger.find(A) == Kept(A, frozenset({"one", "three"}))
    ledger.seen(A, "one", True)
    assert ledger.tally(NODES, 3).missing == 5
    assert ledger.tally(NODES, 1).missing == 1
    ledger.leave([B], NODES)
    assert ledger.tally(NODES, 3) == Tally(2, 1 + 3, 3)


def test_nothing_is_seen_of_a_record_that_is_not_kept(ledger: Ledger) -> None:
    ledger.seen(A, "one", True)
    ledger.leave([B], ["one"])
    ledger.seen(B, "one", True)
    ledger.seen(C, "one", None)
    ledger.keep([A, B, C], ["two"])
    assert [kept.nodes for kept in ledger.after(b"", 9)] == [frozenset({"two"})] * 3


def test_the_scrubbers_place_is_kept(ledger: Ledger) -> None:
    assert ledger.round() == Round()
    for where in (Round(A.raw, 5.5, 1.0), Round(b"", 5.5, 9.25)):
        ledger.set_round(where)
        assert ledger.round() == where


def test_pins_are_due_when_they_say_and_go_with_the_record(ledger: Ledger) -> None:
    ledger.keep([A, B], ["one"])
    ledger.begin([C])
    assert {kept.root for kept in ledger.to_pin("s", 0.0, 9)} == {A, B}
    assert len(ledger.to_pin("s", 0.0, 1)) == 1
    ledger.pinned(A, "s", PinStatus.QUEUED, 60.0)
    ledger.pinned(B, "s", PinStatus.PINNED, 100.0)
    ledger.pinned(C, "s", PinStatus.PINNED, 100.0)
    assert [kept.root for kept in ledger.to_pin("s", 60.0, 9)] == [A]
    assert len(ledger.to_pin("another", 60.0, 9)) == 2
    assert (ledger.unpinned(["s"]), ledger.unpinned(["s", "another"]), ledger.unpinned([])) == (1, 3, 0)
    ledger.leave([B], ["s"])
    ledger.keep([B], ["one"])
    assert ledger.unpinned(["s"]) == 2


def test_whoever_removes_is_kept_apart_from_everybody_and_writers_are_not_from_each_other(ledger: Ledger) -> None:
    with ledger.hold([A, B], alone=False, seconds=0), ledger.hold([B, C], alone=False, seconds=0):
        for root in (A, C):
            with pytest.raises(UnavailableError), ledger.hold([root], alone=True, seconds=0):
                pytest.fail("held by two")
    with ledger.hold([A], alone=True, seconds=0):
        for alone in (True, False):
            with pytest.raises(UnavailableError), ledger.hold([A], alone=alone, seconds=0.01):
                pytest.fail("held by two")


def test_whoever_waits_gets_it_when_it_is_free(ledger: Ledger) -> None:
    waiting, got = Event(), Event()

    def wait() -> None:
        waiting.set()
        with ledger.hold([A], alone=True, seconds=30):
            got.set()

    thread = Thread(target=wait)
    with ledger.hold([A], alone=False, seconds=0):
        thread.start()
        assert waiting.wait(10)
        assert not got.is_set()
    thread.join(30)
    assert got.is_set()


def _die_holding(path: Path, ready: Callable[[], object]) -> None:
    with CopyBook(path).hold([A], alone=False, seconds=0):
        ready()
        os._exit(9)


def test_a_process_that_dies_lets_go_and_what_it_noted_stays(tmp_path: Path) -> None:
    first = CopyBook(tmp_path / "copies.db")
    first.begin([A])
    first.leave([B], ["one"])
    first.set_round(Round(C.raw, 2.0, 1.0))
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=_die_holding, args=(tmp_path / "copies.db", ready.set))
    process.start()
    process.join(60)
    assert (process.exitcode, ready.is_set()) == (9, True)
    second = CopyBook(tmp_path / "copies.db")
    with second.hold([A], alone=True, seconds=0):
        assert (second.writing(), second.owed("one", 9), second.round()) == ([A], [B], Round(C.raw, 2.0, 1.0))
    assert (tmp_path / "copies.db").stat().st_mode & 0o077 == 0
    for ledger in (first, second):
        ledger.close()
