# SPDX-License-Identifier: Apache-2.0
"""Enrolments: one suite for the fake and the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentum.adapters.store.enrolments import EnrolmentBook
from consentum.adapters.store.sealed import SealedFile
from consentum.crypto import typed
from consentum.domain.messages import Enrol
from consentum.errors import NotFoundError
from consentum.ports.enrolments import Enrolments, SignedEnrol
from tests.fakes.enrolments import MemoryEnrolments

ANNA, BERTA = "0x" + "a1" * 20, "0x" + "b2" * 20
TICKET = b"\x77" * 32
WARD, CLINIC = "0x" + "c3" * 20, "0x" + "d4" * 20


@pytest.fixture(params=["fake", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Enrolments]:
    if request.param == "fake":
        yield MemoryEnrolments()
        return
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    yield EnrolmentBook(file)
    file.close()


def enrolled(subject: str = ANNA, custodian: str = WARD, ref: int = 1, recognised: bool = False) -> SignedEnrol:
    return SignedEnrol(Enrol(subject, custodian, bytes([ref]) * 32), b"\0" + bytes(64), recognised)


def test_an_enrolment_is_kept_and_waits_for_its_custodian(book: Enrolments) -> None:
    assert book.add(enrolled()) == enrolled()
    assert book.of_custodian(WARD, 10) == [enrolled()]
    assert not book.recognised(ANNA)


def test_the_same_enrolment_again_changes_nothing(book: Enrolments) -> None:
    book.add(enrolled(recognised=True))
    assert book.add(enrolled()).recognised
    assert book.of_custodian(WARD, 10) == [enrolled(recognised=True)]


def test_an_enrolment_is_found_by_its_hash_and_nothing_else_is(book: Enrolments) -> None:
    book.add(enrolled())
    assert book.find(typed.struct_hash(enrolled().enrol)) == enrolled()
    assert book.find(typed.struct_hash(enrolled(ref=2).enrol)) is None


def test_a_custodian_recognises_her_own(book: Enrolments) -> None:
    book.add(enrolled())
    book.recognise(typed.struct_hash(enrolled().enrol), WARD.upper().replace("X", "x"))
    assert book.recognised(ANNA)


def test_a_later_copy_that_is_recognised_recognises_it(book: Enrolments) -> None:
    book.add(enrolled())
    assert book.add(enrolled(recognised=True)).recognised
    assert book.recognised(ANNA)


def test_another_custodian_can_neither_see_nor_recognise_it(book: Enrolments) -> None:
    book.add(enrolled())
    with pytest.raises(NotFoundError):
        book.recognise(typed.struct_hash(enrolled().enrol), CLINIC)
    assert book.of_custodian(CLINIC, 10) == []
    assert not book.recognised(ANNA)


def test_what_is_not_there_cannot_be_recognised(book: Enrolments) -> None:
    with pytest.raises(NotFoundError):
        book.recognise(bytes(32), WARD)


def test_recognising_one_subject_recognises_no_other(book: Enrolments) -> None:
    book.add(enrolled(recognised=True))
    book.add(enrolled(BERTA))
    assert book.recognised(ANNA)
    assert not book.recognised(BERTA)


def test_a_ticket_is_open_until_it_expires_and_keeps_its_time(book: Enrolments) -> None:
    book.add_tickets(WARD, {TICKET: 100}, 50)
    book.add_tickets(WARD, {TICKET: 900}, 50)
    assert (book.is_open(TICKET, 99), book.is_open(TICKET, 100)) == (True, False)
    assert not book.is_open(bytes(32), 50)
    assert (book.open_tickets(WARD, 99), book.open_tickets(WARD, 100), book.open_tickets(CLINIC, 50)) == (1, 0, 0)


def test_expired_tickets_are_forgotten_when_their_own_custodian_leaves_more(book: Enrolments) -> None:
    book.add_tickets(WARD.upper().replace("X", "x"), {TICKET: 100}, 50)
    book.add_tickets(CLINIC, {bytes(32): 200}, 100)
    assert book.is_open(TICKET, 99)
    book.add_tickets(WARD, {}, 100)
    assert not book.is_open(TICKET, 99)
    assert book.is_open(bytes(32), 100)


def test_enrolments_are_counted_under_the_ticket_they_came_under_first(book: Enrolments) -> None:
    book.add(enrolled(), TICKET)
    book.add(enrolled(), bytes(32))
    book.add(enrolled(ref=2), TICKET)
    book.add(enrolled(ref=3))
    assert (book.under(TICKET), book.under(bytes(32))) == (2, 0)


def test_pages_follow_each_other_without_gap_or_double(book: Enrolments) -> None:
    for ref in range(1, 8):
        book.add(enrolled(ref=ref))
    seen: list[SignedEnrol] = []
    after = b""
    while page := book.of_custodian(WARD, 3, after):
        seen += page
        after = typed.struct_hash(page[-1].enrol)
    assert len(seen) == len({typed.struct_hash(e.enrol) for e in seen}) == 7


def test_a_file_opened_again_has_what_was_added(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    EnrolmentBook(file).add(enrolled(recognised=True))
    file.close()
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    assert EnrolmentBook(file).of_custodian(WARD, 10) == [enrolled(recognised=True)]
    file.close()


def test_a_copy_of_the_file_links_nothing_to_an_address(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    EnrolmentBook(file).add(enrolled())
    file.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for address in (ANNA, WARD):
        assert bytes.fromhex(address[2:]) not in content
        assert address[2:].encode() not in content
