# SPDX-License-Identifier: Apache-2.0
"""What a copy of the gateway's database gives away, and what an edited one is good for: nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.sealed import SealedFile
from consentum.errors import CorruptError, NotFoundError
from tests.conformance.test_gateway_store import (
    ALICE,
    BOB,
    CUSTODIAN,
    FORM_TEXT,
    KEY,
    acknowledge,
    consent,
    deposit,
    message,
    opened,
    record,
)

FORM = b"\1" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def database(path: Path) -> Iterator[GatewayDatabase]:
    made = GatewayDatabase(SealedFile(path, KEY))
    yield made
    made.close()


def run(path: Path, statement: str, *values: Any) -> list[Any]:
    db = sqlite3.connect(path)
    try:
        with db:
            return db.execute(statement, values).fetchall()
    finally:
        db.close()


def every_byte(path: Path) -> bytes:
    """The database, its write-ahead log and its index."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def spellings(raw: bytes) -> list[bytes]:
    return [raw, raw.hex().encode(), raw.hex().upper().encode()]


def test_the_file_holds_no_subject_no_term_and_no_text_in_the_clear(database: GatewayDatabase, path: Path) -> None:
    made, stored = consent(), record(BOB)
    opened(database, made)
    database.add_form(FORM, FORM_TEXT)
    database.enqueue(message(subject=ALICE))
    database.add_deposit(deposit(record(ALICE)))
    acknowledge(database, database.add_deposit(deposit(stored)))
    raw = every_byte(path)
    hidden = [bytes.fromhex(who[2:]) for who in (ALICE, BOB, CUSTODIAN, made.policy)]
    hidden += [made.scope, made.form, made.disease, made.salt, stored.salt, stored.cid.raw, stored.key_commitment]
    hidden += [b"\x5e" * 40, b"\xab" * 32]  # the sealed shares of a pending deposit; a queued commitment
    for secret in hidden:
        assert not any(spelling in raw for spelling in spellings(secret))
    for word in (FORM_TEXT[:20].encode(), b"777333111", b"epsilonMilli", b"Revoke", str(stored.cid).encode()):
        assert word not in raw
    assert b"openings" in raw  # the search would find what is there


def test_two_subjects_tags_differ_from_key_to_key(database: GatewayDatabase, path: Path, tmp_path: Path) -> None:
    opened(database, consent())
    opened(database, consent())
    opened(database, consent(BOB))
    other_path = tmp_path / "other" / "gateway.db"
    other = GatewayDatabase(SealedFile(other_path, bytes(32)))
    opened(other, consent())
    other.close()
    tags = [tag for (tag,) in run(path, "SELECT tag FROM openings")]
    assert len(set(tags)) == 2
    assert not {tag for (tag,) in run(other_path, "SELECT tag FROM openings")} & set(tags)


def test_the_file_is_its_owners_alone(database: GatewayDatabase, path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


def test_another_key_opens_nothing(database: GatewayDatabase, path: Path) -> None:
    commitment = opened(database, consent())
    database.add_form(FORM, FORM_TEXT)
    other = GatewayDatabase(SealedFile(path, bytes(32)))
    try:
        with pytest.raises(CorruptError):
            other.opening(commitment)
        with pytest.raises(CorruptError):
            other.form(FORM)
        assert other.openings_of([ALICE]) == {}
    finally:
        other.close()


def _filled(database: GatewayDatabase) -> dict[str, tuple[bytes, bytes, Callable[[bytes], object]]]:
    """By table: the ids of two rows, and how a row is read."""
    openings = (opened(database, consent()), opened(database, consent()))
    for form in (FORM, b"\2" * 32):
        database.add_form(form, FORM_TEXT)
    relays = tuple(database.enqueue(message(value=f"0x{n:064x}")).id for n in (1, 2))
    stored = [acknowledge(database, database.add_deposit(deposit(record()))) for _ in range(2)]
    pending = [database.add_deposit(deposit(record(), record())) for _ in range(2)]
    return {
        "openings": (*openings, database.opening),
        "forms": (FORM, b"\2" * 32, database.form),
        "relays": (relays[0], relays[1], database.relayed),
        "records": (stored[0].records[0].id, stored[1].records[0].id, lambda one: database.records_by_id([one])),
        "deposits": (pending[0].records_root, pending[1].records_root, lambda _: database.pending_deposits()),
    }


TABLES = ["openings", "forms", "relays", "records", "deposits"]


@pytest.mark.parametrize("table", TABLES)
def test_a_row_moved_to_another_id_is_corrupt(database: GatewayDatabase, path: Path, table: str) -> None:
    first, second, read = _filled(database)[table]
    read(second)
    [(box,)] = run(path, f"SELECT box FROM {table} WHERE id = ?", first)
    run(path, f"UPDATE {table} SET box = ? WHERE id = ?", box, second)
    with pytest.raises(CorruptError):
        read(second)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("place", [0, 12, -1])
def test_a_row_with_one_bit_changed_is_corrupt(database: GatewayDatabase, path: Path, table: str, place: int) -> None:
    first, _, read = _filled(database)[table]
    [(box,)] = run(path, f"SELECT box FROM {table} WHERE id = ?", first)
    edited = bytearray(box)
    edited[place] ^= 1
    run(path, f"UPDATE {table} SET box = ? WHERE id = ?", bytes(edited), first)
    with pytest.raises(CorruptError):
        read(first)


@pytest.mark.parametrize(
    "box",
    [
        pytest.param(b"x" * 20),
        b"",
        None,
    ],
)
def test_a_row_cut_short_is_corrupt(database: GatewayDatabase, path: Path, box: bytes | None) -> None:
    first, _, read = _filled(database)["openings"]
    run(path, "UPDATE openings SET box = ? WHERE id = ?", box, first)
    with pytest.raises(CorruptError):
        read(first)


def test_a_message_whose_state_was_edited_still_says_what_was_signed(database: GatewayDatabase, path: Path) -> None:
    one = database.enqueue(message())
    run(path, "UPDATE relays SET state = 'mined'")
    found = database.relayed(one.id)
    assert (found.kind, found.subject, found.value, found.signature) == ("Revoke", ALICE, one.value, one.signature)


def test_a_record_whose_category_was_edited_is_not_found_under_the_false_one(
    database: GatewayDatabase, path: Path
) -> None:
    acknowledge(database, database.add_deposit(deposit(record(categories=4))))
    run(path, "UPDATE records SET categories = 1")
    with suppress(CorruptError):
        assert database.records(1) == []


def test_a_receipt_for_a_deposit_that_was_dropped_meanwhile_is_not_found(database: GatewayDatabase) -> None:
    made = database.add_deposit(deposit(record()))
    database.drop_deposit(made.records_root)
    with pytest.raises(NotFoundError):
        database.add_receipt(made.records_root, ALICE, {})
