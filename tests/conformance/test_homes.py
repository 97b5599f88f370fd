# SPDX-License-Identifier: Apache-2.0
"""The books of custodians and patients: one suite for the fakes and the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.store.custody import CustodyFile
from consentum.adapters.store.home import HomeFile
from consentum.domain.invites import Invite
from consentum.domain.messages import Enrol
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.custody import CustodyBook, Filed, SignedBatch
from consentum.ports.enrolments import SignedEnrol
from consentum.ports.home import HomeBook, Kept
from tests.fakes.custody import MemoryCustody, MemoryHome

WARD = "0x" + "c3" * 20
ANNA, BERTA = "0x" + "a1" * 20, "0x" + "b2" * 20


@pytest.fixture(params=["fake", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CustodyBook]:
    if request.param == "fake":
        yield MemoryCustody()
        return
    file = CustodyFile(tmp_path / "custodian.db")
    yield file
    file.close()


@pytest.fixture(params=["fake", "file"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HomeBook]:
    if request.param == "fake":
        yield MemoryHome()
        return
    file = HomeFile(tmp_path / "home.db")
    yield file
    file.close()


def invite(code: int = 1) -> Invite:
    return Invite(bytes([code]) * 16, WARD, "http://gateway.test", 1_800_000_000)


def enrolled(subject: str = ANNA) -> SignedEnrol:
    return SignedEnrol(Enrol(subject, WARD, bytes(32)), b"\0" * 65, False)


def filed(record: int = 1, **changes: Any) -> Filed:
    plain = {
        "path": "a",
        "digest": bytes([record]) * 32,
        "number": "1",
        "categories": 8,
        "record": bytes([record]) * 32,
    }
    return Filed(**{**plain, **changes})


def batch(root: int = 1, *files: Filed) -> SignedBatch:
    return SignedBatch(bytes([root]) * 32, {"requests": {"0x01": {"sealed": "0x00"}}}, files or (filed(root),))


# A custodian's


def test_an_open_invite_links_number_and_subject_once(book: CustodyBook) -> None:
    book.add_invite("1", invite())
    book.link(invite().code, enrolled())
    [patient] = book.patients()
    assert (patient.number, patient.subject, patient.enrolment) == ("1", ANNA, enrolled())
    assert [(one.number, one.invite, one.state) for one in book.invites()] == [("1", invite(), "used")]


@pytest.mark.parametrize(
    ("subject", "code", "field"), [(BERTA, 1, "invite"), (ANNA, 2, "subject"), (BERTA, 9, "invite")]
)
def test_what_would_make_two_of_one_changes_nothing(book: CustodyBook, subject: str, code: int, field: str) -> None:
    book.add_invite("1", invite(1))
    book.link(invite(1).code, enrolled())
    book.add_invite("2", invite(2))
    before = (book.patients(), book.invites())
    with pytest.raises(ConflictError) as caught:
        book.link(invite(code).code, enrolled(subject))
    assert caught.value.field == field
    assert (book.patients(), book.invites()) == before


def test_a_newer_invite_replaces_the_open_one_and_only_that(book: CustodyBook) -> None:
    book.add_invite("1", invite(1))
    book.add_invite("2", invite(2))
    book.add_invite("1", invite(3))
    assert [one.state for one in book.invites()] == ["replaced", "open", "open"]
    with pytest.raises(ConflictError):
        book.link(invite(1).code, enrolled())


def test_a_number_with_a_patient_takes_no_invite(book: CustodyBook) -> None:
    book.add_invite("1", invite(1))
    book.link(invite(1).code, enrolled())
    with pytest.raises(ConflictError):
        book.add_invite("1", invite(2))
    assert len(book.invites()) == 1


def test_recognised_is_noted_of_one_subject(book: CustodyBook) -> None:
    for code, subject in ((1, ANNA), (2, BERTA)):
        book.add_invite(str(code), invite(code))
        book.link(invite(code).code, enrolled(subject))
    book.recognised(ANNA.upper().replace("X", "x"))
    assert [one.enrolment.recognised for one in book.patients()] == [True, False]


def test_a_batch_is_open_with_every_byte_until_it_is_settled(book: CustodyBook) -> None:
    book.add_batch(batch(1))
    book.add_batch(batch(2))
    assert book.open_batches() == [batch(1), batch(2)]
    book.settle(batch(1).root)
    assert book.open_batches() == [batch(2)]
    book.settle(batch(2).root, "CONFLICT")
    assert [(one.state, one.reason) for one in book.files()] == [("deposited", ""), ("refused", "CONFLICT")]


def test_settled_once_is_settled(book: CustodyBook) -> None:
    book.add_batch(batch(1))
    book.settle(batch(1).root)
    book.settle(batch(1).root, "CONFLICT")
    book.settle(b"\7" * 32, "CONFLICT")
    assert [one.state for one in book.files()] == ["deposited"]


def test_a_file_on_its_way_or_there_is_taken_in_no_second_batch(book: CustodyBook) -> None:
    book.add_batch(batch(1))
    second = batch(2, filed(3), filed(4, digest=filed(1).digest))
    for _ in range(2):
        with pytest.raises(ConflictError):
            book.add_batch(second)
        assert len(book.files()) == 1
        book.settle(batch(1).root)


@pytest.mark.parametrize("end", ["refused", "retracted", "superseded"])
def test_what_was_refused_or_taken_back_may_go_again(book: CustodyBook, end: str) -> None:
    book.add_batch(batch(1))
    book.settle(batch(1).root, "CONFLICT" if end == "refused" else "")
    if end != "refused":
        book.end(filed(1).record, end)
    book.add_batch(batch(2, filed(2, digest=filed(1).digest)))
    assert [one.state for one in book.files()] == [end, "signed"]


def test_only_a_deposited_record_can_be_ended(book: CustodyBook) -> None:
    book.add_batch(batch(1))
    for record in (filed(1).record, bytes(32)):
        with pytest.raises(NotFoundError):
            book.end(record, "retracted")


def test_a_custodians_file_opened_again_has_everything(tmp_path: Path) -> None:
    file = CustodyFile(tmp_path / "custodian.db")
    file.add_invite("1", invite())
    file.link(invite().code, enrolled())
    file.add_batch(batch(1))
    file.close()
    file = CustodyFile(tmp_path / "custodian.db")
    assert (len(file.patients()), file.open_batches()) == (1, [batch(1)])
    file.close()


# A patient's


def test_what_is_kept_stays_as_it_was_first(home: HomeBook) -> None:
    first, second = Kept("consent", b"\1" * 32, {"n": 1}), Kept("consent", b"\1" * 32, {"n": 2})
    assert home.keep(first) == first
    assert home.keep(second) == first
    assert home.find("consent", b"\1" * 32) == first
    assert home.find("enrolment", b"\1" * 32) is None


def test_what_arrived_is_not_dropped_and_the_rest_is(home: HomeBook) -> None:
    for number in (1, 2):
        home.keep(Kept("consent", bytes([number]) * 32, {}))
    home.arrived("consent", b"\1" * 32)
    home.arrived("consent", b"\7" * 32)
    for number in (1, 2):
        home.drop("consent", bytes([number]) * 32)
    assert home.all("consent") == [Kept("consent", b"\1" * 32, {}, arrived=True)]
    assert home.all("enrolment") == []


def test_servers_are_remembered_by_address_and_a_new_endpoint_replaces_the_old(home: HomeBook) -> None:
    home.remember({})
    home.remember({ANNA.upper().replace("X", "x"): "http://1", BERTA: "http://2"})
    home.remember({ANNA: "http://3"})
    assert home.servers() == {ANNA: "http://3", BERTA: "http://2"}


@pytest.mark.parametrize(("kind", "name"), [(CustodyFile, "custodian.db"), (HomeFile, "home.db")])
def test_nobody_else_can_read_the_files(tmp_path: Path, kind: Any, name: str) -> None:
    old = os.umask(0)
    try:
        kind(tmp_path / name).close()
    finally:
        os.umask(old)
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
