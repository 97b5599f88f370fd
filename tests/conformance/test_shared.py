# SPDX-License-Identifier: Apache-2.0
"""What workers remember together, and what a gateway keeps of studies and transactions: fake and real on one suite."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.chain.outbox import MemoryLog
from consentum.adapters.store.sealed import SealedFile
from consentum.adapters.store.shared import SharedRows
from consentum.adapters.store.studies import StudyShelf
from consentum.adapters.store.transactions import TransactionBook
from consentum.crypto import typed
from consentum.domain.registry_messages import Amend, Propose, Terms
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.shared import Shared
from consentum.ports.studies import Card, Motion, StudyBook
from consentum.ports.transactions import Sent, TransactionLog
from tests.fakes.shared import MemoryShared
from tests.fakes.studies import MemoryStudies

KEY = b"k" * 32
HER = "0x" + "aa" * 20
TERMS = Terms(1, 0, 2, 2, (b"\5" * 32,), bytes(32))


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["fake", "real"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Shared:
    if request.param == "fake":
        return MemoryShared(clock)
    return SharedRows(SealedFile(tmp_path / "gateway.db", KEY), clock)


@pytest.fixture(params=["fake", "real"])
def studies(request: pytest.FixtureRequest, tmp_path: Path) -> StudyBook:
    return MemoryStudies() if request.param == "fake" else StudyShelf(SealedFile(tmp_path / "gateway.db", KEY))


@pytest.fixture(params=["fake", "real"])
def sent_log(request: pytest.FixtureRequest, tmp_path: Path) -> TransactionLog:
    return MemoryLog() if request.param == "fake" else TransactionBook(SealedFile(tmp_path / "gateway.db", KEY))


# Shared


def test_something_is_spent_once_until_it_expires(shared: Shared, clock: Clock) -> None:
    assert [shared.spend("challenge", b"c", 10) for _ in range(3)] == [True, False, False]
    assert shared.spend("challenge", b"d", 10)
    assert shared.spend("other", b"c", 10)
    clock.now += 9
    assert not shared.spend("challenge", b"c", 10)
    clock.now += 1
    assert shared.spend("challenge", b"c", 10)


def test_exactly_one_of_many_at_once_spends_it(shared: Shared) -> None:
    won: list[bool] = []
    racers = [threading.Thread(target=lambda: won.append(shared.spend("challenge", b"c", 10))) for _ in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(won) == [False] * 7 + [True]


def test_counts_begin_anew_after_their_time(shared: Shared, clock: Clock) -> None:
    assert [shared.count("forms", b"her", 100) for _ in range(3)] == [1, 2, 3]
    clock.now += 100
    assert shared.count("forms", b"her", 100) == 1


def test_the_first_value_is_kept_until_it_expires(shared: Shared, clock: Clock) -> None:
    assert shared.kept("answer", b"k") is None
    assert shared.keep("answer", b"k", {"n": 1}, 10) == {"n": 1}
    assert shared.keep("answer", b"k", {"n": 2}, 10) == {"n": 1}
    assert shared.kept("answer", b"k") == {"n": 1}
    clock.now += 10
    assert shared.kept("answer", b"k") is None
    assert shared.keep("answer", b"k", {"n": 2}, 10) == {"n": 2}


def test_another_worker_sees_what_this_one_spent_and_kept(tmp_path: Path) -> None:
    one, two = (SharedRows(SealedFile(tmp_path / "gateway.db", KEY)) for _ in range(2))
    assert one.spend("challenge", b"c", 100)
    assert not two.spend("challenge", b"c", 100)
    one.keep("answer", b"k", {"n": 1}, 100)
    assert two.kept("answer", b"k") == {"n": 1}


# Studies


def card(name: str = "one", salt: int = 1) -> Card:
    message = Propose(HER, b"\1" * 32, TERMS, (b"\2" * 32,), bytes([salt]) * 32)
    return Card(typed.struct_hash(message), message, name, "Title", "Summary")


def motion(number: int = 1) -> Motion:
    return Motion(bytes([number]) * 32, "Close", b"\1" * 32, {"study": "0x" + "02" * 32, "nonce": number})


def test_a_card_is_found_by_name_and_by_id(studies: StudyBook) -> None:
    made = studies.add_card(card())
    assert studies.card("one") == studies.card(made.study) == made == card()
    for wrong in ("two", b"\0" * 32, made.study.hex()):
        with pytest.raises(NotFoundError):
            studies.card(wrong)


def test_a_name_is_one_studys_and_a_study_keeps_its_first_card(studies: StudyBook) -> None:
    studies.add_card(card())
    with pytest.raises(ConflictError):
        studies.add_card(card(salt=2))
    assert studies.add_card(replace(card(), name="two", title="Other")) == card()
    studies.add_card(card("three", 3))
    assert [one.study for one in studies.cards()] == sorted(c.study for c in (card(), card(salt=3)))


def test_amendments_and_members_are_added(studies: StudyBook) -> None:
    study = studies.add_card(card()).study
    amend = Amend(study, 2, TERMS, (b"\3" * 32,))
    assert studies.amend(amend).amendments == {2: amend}
    assert studies.add_member(study, HER.upper().replace("X", "x")).members == (HER,)
    assert studies.add_member(study, HER).members == (HER,)
    found = studies.card(study)
    assert (found.forms_of(1), found.forms_of(2), found.forms_of(3)) == ((b"\2" * 32,), (b"\3" * 32,), ())
    for act in (lambda: studies.amend(replace(amend, study=bytes(32))), lambda: studies.add_member(bytes(32), HER)):
        with pytest.raises(NotFoundError):
            act()


def test_votes_are_by_member_and_a_recusal_is_for_good(studies: StudyBook) -> None:
    other = "0x" + "bb" * 20
    assert studies.vote(motion(), HER, b"\1").votes == {HER: "0x01"}
    assert studies.vote(motion(), HER, b"\2").votes == {HER: "0x02"}
    assert set(studies.vote(motion(), other, b"\3").votes) == {HER, other}
    after = studies.recuse(motion().id, HER)
    assert (dict(after.votes), after.recused) == ({other: "0x03"}, (HER,))
    with pytest.raises(ConflictError):
        studies.vote(motion(), HER, b"\1")
    assert studies.motion(motion().id) == after
    with pytest.raises(NotFoundError):
        studies.recuse(bytes(32), HER)
    with pytest.raises(NotFoundError):
        studies.motion(bytes(32))


def test_a_boards_motions_come_oldest_first(studies: StudyBook) -> None:
    for number in (3, 1, 2):
        studies.vote(motion(number), HER, b"\1")
    studies.vote(replace(motion(4), board=b"\7" * 32), HER, b"\1")
    assert [found.id[0] for found in studies.motions(b"\1" * 32)] == [3, 1, 2]


# Transactions


def slot(nonce: int, price: int = 9) -> Sent:
    return Sent(nonce, HER, "0xab", 21_000, price, "0xcd", ("0x01", "0x02"), 1.5, 2.5)


def test_transactions_are_kept_by_nonce_in_order(sent_log: TransactionLog) -> None:
    for nonce in (10, 2, 300):
        sent_log.put(slot(nonce))
    sent_log.put(slot(2, price=10))
    sent_log.remove(10)
    sent_log.remove(11)
    assert sent_log.all() == [slot(2, price=10), slot(300)]


def test_the_next_process_finds_everything_again(tmp_path: Path) -> None:
    def reopened(make: Callable[[SealedFile], Any]) -> Any:
        return make(SealedFile(tmp_path / "gateway.db", KEY))

    reopened(TransactionBook).put(slot(7))
    reopened(StudyShelf).add_card(card())
    reopened(StudyShelf).vote(motion(), HER, b"\1")
    assert reopened(TransactionBook).all() == [slot(7)]
    assert reopened(StudyShelf).card("one") == card()
    assert reopened(StudyShelf).motion(motion().id).votes == {HER: "0x01"}
    raw = (tmp_path / "gateway.db").read_bytes() + (tmp_path / "gateway.db-wal").read_bytes()
    assert b"Summary" not in raw
    assert HER[2:].encode() not in raw
