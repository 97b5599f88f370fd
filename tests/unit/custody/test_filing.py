# SPDX-License-Identifier: Apache-2.0
"""Depositing a manifest: whatever is interrupted, no record twice and none forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consentum.crypto.signing import WalletKey
from consentum.errors import ConflictError, ConsentumError, UnavailableError
from consentum.flow.client import filing
from consentum.ports.custody import SignedBatch
from tests.unit.custody.conftest import Ward


@pytest.fixture
def files(ward: Ward) -> tuple[str, ...]:
    """Alice with two files, Bob with one; the manifest's lines."""
    ward.patient("4711", ward.world.alice)
    ward.patient("4712", ward.world.bob)
    for name in ("a.json", "b.csv", "c.dcm"):
        ward.write(name, name.encode())
    return "a.json,4711,laboratory", "b.csv,4711,laboratory+notes", "c.dcm,4712,imaging"


def test_a_folder_is_deposited_and_reported(ward: Ward, files: tuple[str, ...]) -> None:
    report = ward.deposit(ward.entries(*files))
    assert report == filing.Report(deposited=3)
    assert report.complete
    assert ward.listed() == 3
    assert {f.state for f in ward.book.files()} == {"deposited"}


def test_the_same_again_deposits_nothing(ward: Ward, files: tuple[str, ...]) -> None:
    ward.deposit(ward.entries(*files))
    assert ward.deposit(ward.entries(*files)) == filing.Report(already=3)
    assert ward.listed() == 3


def test_a_new_file_is_deposited_beside_the_old_ones(ward: Ward, files: tuple[str, ...]) -> None:
    ward.deposit(ward.entries(*files[:2]))
    report = ward.deposit(ward.entries(*files))
    assert (report.deposited, report.already) == (1, 2)


@pytest.mark.parametrize("fault", ["unsent", "unanswered"])
def test_a_batch_without_an_answer_is_pending_and_sent_again_byte_by_byte(
    ward: Ward, files: tuple[str, ...], fault: str
) -> None:
    ward.fault = fault
    assert ward.deposit(ward.entries(*files)).pending == 3
    ward.fault = None
    assert ward.deposit(ward.entries(*files)) == filing.Report(deposited=3)
    assert all(batch == ward.sent[0] for batch in ward.sent)
    assert (len(ward.sent), ward.listed()) == (3, 3)


def test_a_server_that_is_down_keeps_it_pending_until_it_has_answered(ward: Ward, files: tuple[str, ...]) -> None:
    entries, custodian = ward.entries(*files), ward.world.custodian()
    ward.world.peers[2].fault = "down"
    batch = filing._file_part(ward.filing(), custodian, entries, _enrolments(ward))
    assert batch == [("pending", 3)]
    assert ward.listed() == 0
    ward.world.peers[2].fault = None
    assert ward.deposit(entries).deposited == 3
    assert ward.listed() == 3


def _enrolments(ward: Ward) -> dict[str, object]:
    from consentum.flow.client.custody import enrolments_by_number

    return dict(enrolments_by_number(ward.book))


def test_a_server_that_was_only_slow_is_asked_once_more_before_the_run_ends(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["pending", "deposited"])
    monkeypatch.setattr(filing, "_send", lambda *_: next(answers))
    assert ward.deposit(ward.entries(*files)) == filing.Report(deposited=3)


def test_killed_between_writing_down_and_sending_it_is_sent_by_the_next_run(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ward.entries(*files)
    with monkeypatch.context() as patch:
        patch.setattr(filing, "_send", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ward.deposit(entries)
    assert (ward.sent, [f.state for f in ward.book.files()]) == ([], ["signed"] * 3)
    assert ward.deposit(entries) == filing.Report(deposited=3)
    assert ward.listed() == 3


def test_killed_between_answer_and_noting_it_is_asked_again_and_not_deposited_twice(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ward.entries(*files)
    with monkeypatch.context() as patch:
        patch.setattr(type(ward.book), "settle", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ward.deposit(entries)
    assert ward.deposit(entries) == filing.Report(deposited=3)
    assert ward.listed() == 3


def test_killed_between_upload_and_writing_down_leaves_nothing_that_opens(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = ward.entries(*files)
    with monkeypatch.context() as patch:
        patch.setattr(type(ward.book), "add_batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ward.deposit(entries)
    assert (ward.sent, ward.book.files()) == ([], [])
    assert ward.deposit(entries) == filing.Report(deposited=3)
    assert ward.listed() == 3


def test_the_word_of_the_gateway_without_receipts_is_not_enough(ward: Ward, files: tuple[str, ...]) -> None:
    def boasting(batch: object) -> dict[str, object]:
        answer = dict(ward.send(batch))  # type: ignore[arg-type]
        return {**answer, "acknowledged": True, "receipts": {}, "waiting": []}

    lazy = replace(ward.filing(), send=boasting)
    report = filing.deposit(lazy, ward.world.custodian(), ward.entries(*files), _enrolments(ward), lambda _: None)  # type: ignore[arg-type]
    assert (report.deposited, report.pending) == (0, 3)


def test_a_receipt_about_other_shares_ends_the_batch_and_the_files_may_go_again(
    ward: Ward, files: tuple[str, ...]
) -> None:
    def swapped(batch: object) -> dict[str, object]:
        answer = dict(ward.send(batch))  # type: ignore[arg-type]
        one, *others = answer["receipts"]
        receipts = {**answer["receipts"], one: answer["receipts"][others[0]]}
        return {**answer, "receipts": receipts}

    lying = replace(ward.filing(), send=swapped)
    report = filing.deposit(lying, ward.world.custodian(), ward.entries(*files), _enrolments(ward), lambda _: None)  # type: ignore[arg-type]
    assert report.refused == {"CORRUPT (receipt)": 3}
    assert ward.book.open_batches() == []


@pytest.mark.parametrize("answer", [{}, {"recordsRoot": "0x00"}, {"acknowledged": True}])
def test_an_answer_that_is_none_leaves_it_pending(
    ward: Ward, files: tuple[str, ...], answer: dict[str, object]
) -> None:
    odd = replace(ward.filing(), send=lambda _: answer)
    report = filing.deposit(odd, ward.world.custodian(), ward.entries(*files), _enrolments(ward), lambda _: None)  # type: ignore[arg-type]
    assert report.pending == 3
    assert ward.deposit(ward.entries(*files)).deposited == 3


def test_a_refusal_for_good_is_reported_by_reason_and_the_next_run_tries_anew(
    ward: Ward, files: tuple[str, ...]
) -> None:
    entries = ward.entries(*files)
    other = replace(ward.world.custodian(), signer=WalletKey())
    report = filing.deposit(ward.filing(), other, entries, _enrolments(ward), lambda _: None)  # type: ignore[arg-type]
    assert report.refused == {"SIGNATURE (signature)": 3}
    assert ward.listed() == 0
    assert ward.deposit(entries).deposited == 3
    assert ward.listed() == 3


def test_a_file_that_changed_since_the_check_is_refused_and_the_others_go(ward: Ward, files: tuple[str, ...]) -> None:
    entries = ward.entries(*files)
    ward.write("b.csv", b"something else")
    report = ward.deposit(entries)
    assert (report.deposited, report.refused) == (2, {"CHANGED": 1})


def test_a_store_that_stops_answering_ends_the_run_with_its_code(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: object) -> None:
        raise UnavailableError("down")

    monkeypatch.setattr(ward.world.depository, "put_all", down)
    report = ward.deposit(ward.entries(*files))
    assert (report.stopped, report.left, report.complete) == ("UNAVAILABLE", 3, False)


def test_batches_are_small_enough_for_one_body(
    ward: Ward, files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "BATCH_BODY_BYTES", 2 * 3 * filing.RECORD_BODY_BYTES)
    assert ward.deposit(ward.entries(*files)).deposited == 3
    assert [len(batch["requests"][ward.world.peers[0].address]["records"]) for batch in ward.sent] == [2, 1]


def test_a_record_is_as_long_in_a_body_as_the_batches_are_cut_for(ward: Ward, files: tuple[str, ...]) -> None:
    import json

    ward.deposit(ward.entries(*files))
    part = ward.sent[0]["requests"][ward.world.peers[0].address]
    each = [*part["records"], *part["enrolments"]]
    longest = max(len(json.dumps(r)) for r in part["records"]) + max(len(json.dumps(e)) for e in part["enrolments"])
    assert len(each) == 5
    # An enrolment may be signed by a passkey, about 500 bytes more in hex.
    assert longest + 2 * 32 + 200 < filing.RECORD_BODY_BYTES


def test_the_book_takes_no_file_twice(ward: Ward, files: tuple[str, ...]) -> None:
    ward.deposit(ward.entries(*files))
    again = SignedBatch(b"\1" * 32, {}, tuple(replace(f, record=f.digest) for f in ward.book.files()))
    with pytest.raises(ConflictError):
        ward.book.add_batch(again)
    assert ward.book.open_batches() == []


def test_a_retracted_record_may_be_deposited_anew(ward: Ward, files: tuple[str, ...]) -> None:
    ward.deposit(ward.entries(*files))
    ward.book.end(ward.book.files()[0].record, "retracted")
    with pytest.raises(ConsentumError):
        ward.book.end(ward.book.files()[0].record, "retracted")
    assert ward.deposit(ward.entries(*files)).deposited == 1
