# SPDX-License-Identifier: Apache-2.0
"""Retractions: one suite for the fake and the gateway's sealed file, each beside the store whose records it hides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.retractions import RetractionBook
from consentum.adapters.store.sealed import SealedFile
from consentum.domain.cid import RAW, Cid
from consentum.domain.records import Record
from consentum.errors import NotFoundError
from consentum.ports.gateway_store import GatewayStore, PendingDeposit
from consentum.ports.retractions import KeptRetraction, Retractions
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.fakes.retractions import MemoryRetractions

WARD = "0x" + "c3" * 20


@dataclass(slots=True)
class Both:
    store: GatewayStore
    book: Retractions


@pytest.fixture(params=["fake", "file"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if request.param == "fake":
        store = MemoryGatewayStore()
        yield Both(store, MemoryRetractions(store))
        return
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    yield Both(GatewayDatabase(file), RetractionBook(file))
    file.close()


def record(number: int) -> Record:
    salt = hashlib.sha256(bytes([number])).digest()
    return Record(WARD, "0x" + "a1" * 20, 4, Cid.of(RAW, salt), salt, b"\x0c" * 32, salt)


def kept(number: int = 1, **changes: object) -> KeptRetraction:
    made = KeptRetraction(
        record(number).id, WARD, {"retract": {"record": number}}, ("0x01", "0x02"), {}, record(number).cid
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def deposited(store: GatewayStore) -> None:
    root = b"\7" * 32
    store.add_deposit(PendingDeposit(root, WARD, (record(1), record(2)), {"0x01": {}, "0x02": {}}, {}))
    for server in ("0x01", "0x02"):
        store.add_receipt(root, server, {})


def test_a_retracted_record_is_listed_no_more(both: Both) -> None:
    deposited(both.store)
    assert both.book.add(kept()) == kept()
    assert both.store.records(7) == [record(2)]
    assert both.store.records_by_id([record(1).id, record(2).id]) == {record(2).id: record(2)}


def test_a_content_is_used_until_every_record_that_has_it_is_retracted(both: Both) -> None:
    assert not both.store.uses(record(1).cid)
    twin = replace(record(2), cid=record(1).cid)
    both.store.add_deposit(PendingDeposit(b"\7" * 32, WARD, (record(1), twin), {"0x01": {}}, {}))
    for one in (record(1), twin):
        assert both.store.uses(record(1).cid)
        both.book.add(kept(record=one.id))
    assert not both.store.uses(record(1).cid)


def test_a_record_retracted_before_it_was_acknowledged_is_not_listed_then(both: Both) -> None:
    both.book.add(kept())
    deposited(both.store)
    assert both.store.records(7) == [record(2)]


def test_the_first_retraction_stays(both: Both) -> None:
    both.book.add(kept())
    both.book.add_receipt(kept().record, "0x01", {"a": 1})
    assert both.book.add(kept(request={"other": 1})) == kept(receipts={"0x01": {"a": 1}})
    assert both.book.find(kept().record) == kept(receipts={"0x01": {"a": 1}})


@pytest.mark.parametrize("order", [("0x01", "0x02", "content"), ("content", "0x02", "0x01")])
def test_it_is_pending_until_the_last_server_has_acknowledged_and_its_content_is_erased(
    both: Both, order: tuple[str, ...]
) -> None:
    both.book.add(kept())
    both.book.add(kept(2))
    for who, left in zip(order, (2, 2, 1), strict=True):
        if who == "content":
            assert both.book.erased(kept().record).erased
        else:
            both.book.add_receipt(kept().record, who, {})
        assert len(both.book.pending()) == left
    assert both.book.pending() == [kept(2)]
    found = both.book.find(kept().record)
    assert found is not None
    assert found.waiting == []


def test_what_was_never_retracted_is_not_there(both: Both) -> None:
    assert both.book.find(b"\1" * 32) is None
    assert both.book.pending() == []
    with pytest.raises(NotFoundError):
        both.book.add_receipt(b"\1" * 32, "0x01", {})
    with pytest.raises(NotFoundError):
        both.book.erased(b"\1" * 32)


def test_a_file_opened_again_has_what_was_kept(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    RetractionBook(file).add(kept())
    file.close()
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    assert RetractionBook(file).pending() == [kept()]
    file.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert WARD[2:].encode() not in content
