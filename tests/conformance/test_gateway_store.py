# SPDX-License-Identifier: Apache-2.0
"""What every gateway's store promises: one suite for the fake and for the database."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.sealed import SealedFile
from consentum.crypto import merkle, typed
from consentum.domain.cid import RAW, Cid
from consentum.domain.messages import Consent
from consentum.domain.records import Record
from consentum.domain.terms import Category
from consentum.errors import NotFoundError
from consentum.ports.gateway_store import GatewayStore, PendingDeposit, Relayed
from tests.fakes.gateway_store import MemoryGatewayStore

KEY = bytes(range(32))
ALICE = "0x" + "a1" * 20
BOB = "0x" + "b0" * 20
CUSTODIAN = "0x" + "c7" * 20
SERVERS = tuple("0x" + f"{n:02x}" * 20 for n in (1, 2, 3))
ALL = (1 << 63) - 1
FORM_TEXT = "I agree that my laboratory values may be used for research on diabetes."


@pytest.fixture(params=["memory", "database"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GatewayStore]:
    if request.param == "memory":
        yield MemoryGatewayStore()
        return
    database = GatewayDatabase(SealedFile(tmp_path / "gateway.db", KEY))
    yield database
    database.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[GatewayDatabase]:
    made = GatewayDatabase(SealedFile(tmp_path / "gateway.db", KEY))
    yield made
    made.close()


def consent(subject: str = ALICE, signed_at: int = 1_700_000_000) -> Consent:
    policy, scope, form = "0x" + "d0" * 20, b"\5" * 32, sha256(FORM_TEXT.encode()).digest()
    times, access, epsilon = (signed_at, 0, signed_at + 1_000), 2, 777_333_111
    salt = secrets.token_bytes(32)
    return Consent(subject, policy, scope, form, 6, 1, b"\7" * 32, ALL, *times, access, epsilon, salt)


def opened(store: GatewayStore, made: Consent) -> bytes:
    commitment = typed.struct_hash(made)
    store.add_opening(commitment, made)
    return commitment


def message(kind: str = "Revoke", value: str = "0x" + "ab" * 32, subject: str = ALICE) -> Relayed:
    identity = sha256(f"{kind}{value}{subject}".encode()).digest()
    return Relayed(identity, kind, subject, value, b"\0" * 65, "queued")


def record(subject: str = ALICE, categories: int = int(Category.LABORATORY)) -> Record:
    salt = secrets.token_bytes(32)
    return Record(CUSTODIAN, subject, categories, Cid.of(RAW, salt), b"\2" * 32, b"\3" * 32, salt)


def deposit(*records: Record) -> PendingDeposit:
    root = merkle.root_of([r.id for r in records])
    requests = {server: {"sealed": "0x" + "5e" * 40, "epoch": 1} for server in SERVERS}
    return PendingDeposit(root, CUSTODIAN, records, requests, {})


def acknowledge(store: GatewayStore, made: PendingDeposit) -> PendingDeposit:
    for server in SERVERS:
        made = store.add_receipt(made.records_root, server, {"receipt": {"server": server}, "signature": "0x00"})
    return made


# Openings and forms


def test_an_opening_comes_back_whole_by_its_commitment_and_by_its_subject(store: GatewayStore) -> None:
    first, second, other = consent(), consent(signed_at=1_700_000_500), consent(BOB)
    for made in (first, second, other):
        assert store.opening(opened(store, made)) == made
    found = store.openings_of([ALICE, "0x" + "99" * 20])
    assert set(found) == {ALICE}
    assert sorted(found[ALICE], key=lambda c: c.signedAt) == [first, second]


def test_a_subject_is_found_however_its_address_is_spelled(store: GatewayStore) -> None:
    commitment = opened(store, consent("0x" + "A1" * 20))
    found = store.openings_of([ALICE.replace("a", "A")])
    assert [typed.struct_hash(made) for made in found[ALICE]] == [commitment]


def test_an_opening_is_kept_once_and_never_replaced(store: GatewayStore) -> None:
    made = consent()
    commitment = opened(store, made)
    store.add_opening(commitment, replace(made, epsilonMilli=1))
    assert store.opening(commitment) == made
    assert store.openings_of([ALICE]) == {ALICE: [made]}


def test_openings_of_very_many_subjects_are_found(store: GatewayStore) -> None:
    subjects = [f"0x{n:040x}" for n in range(1, 2_502)]
    for subject in (subjects[0], subjects[1_200], subjects[-1]):
        opened(store, consent(subject))
    assert set(store.openings_of(subjects)) == {subjects[0], subjects[1_200], subjects[-1]}
    assert store.openings_of([]) == {}


def test_a_form_comes_back_to_the_letter_and_is_never_replaced(store: GatewayStore) -> None:
    form, text = sha256(b"form").digest(), "Einwilligung\r\n\tfür «Ärzte»  \U0001f9ec"
    store.add_form(form, text)
    store.add_form(form, "another text")
    assert store.form(form) == text


@pytest.mark.parametrize("ask", ["opening", "form", "relayed"])
def test_what_is_not_here_is_not_found(store: GatewayStore, ask: str) -> None:
    with pytest.raises(NotFoundError):
        getattr(store, ask)(bytes(32))


# Messages for the chain


def test_a_message_is_queued_until_it_is_marked(store: GatewayStore) -> None:
    mined, refused, waiting = (message(value=f"0x{n:064x}") for n in (1, 2, 3))
    for one in (mined, refused, waiting):
        assert store.enqueue(one) == one
    store.mark([mined.id], "mined")
    store.mark([refused.id], "refused")
    store.mark([], "refused")
    assert store.queued(10) == [waiting]
    assert [store.relayed(m.id).state for m in (mined, refused, waiting)] == ["mined", "refused", "queued"]


@pytest.mark.parametrize("state", ["queued", "mined"])
def test_a_message_sent_in_twice_stays_as_it_is(store: GatewayStore, state: str) -> None:
    first = store.enqueue(message())
    store.mark([first.id], state)
    again = store.enqueue(replace(message(), signature=b"\0" + b"\1" * 64))
    assert again == replace(first, state=state)
    assert len(store.queued(10)) == (state == "queued")


def test_no_more_messages_come_than_were_asked_for(store: GatewayStore) -> None:
    for n in range(12):
        store.enqueue(message(value=f"0x{n:064x}"))
    assert len(store.queued(5)) == 5
    assert len(store.queued(50)) == 12


def test_very_many_messages_are_marked_at_once(store: GatewayStore) -> None:
    made = [message(value=f"0x{n:064x}") for n in range(1_003)]
    for one in made:
        store.enqueue(one)
    store.mark([one.id for one in made], "mined")
    assert store.queued(5_000) == []


# Deposits and records


def test_a_deposit_is_pending_and_its_records_unseen_until_every_server_has_answered(store: GatewayStore) -> None:
    made = store.add_deposit(deposit(record(), record(BOB)))
    for position, server in enumerate(SERVERS):
        assert not made.acknowledged
        assert store.records(ALL) == []
        assert [p.records_root for p in store.pending_deposits()] == [made.records_root]
        made = store.add_receipt(made.records_root, server, {"n": position})
    assert made.acknowledged
    assert dict(made.receipts) == {server: {"n": position} for position, server in enumerate(SERVERS)}
    assert store.pending_deposits() == []
    assert {r.subject for r in store.records(ALL)} == {ALICE, BOB}


def test_a_pending_deposit_keeps_what_each_server_is_to_be_sent(store: GatewayStore) -> None:
    made = deposit(record(), record())
    store.add_deposit(made)
    store.add_receipt(made.records_root, SERVERS[1], {"n": 1})
    [pending] = store.pending_deposits()
    assert dict(pending.requests) == dict(made.requests)
    assert set(pending.receipts) == {SERVERS[1]}
    assert {r.id for r in pending.records} == {r.id for r in made.records}
    assert pending.custodian == CUSTODIAN


def test_an_acknowledged_deposit_keeps_no_shares(store: GatewayStore) -> None:
    made = acknowledge(store, store.add_deposit(deposit(record())))
    assert set(made.requests) == set(SERVERS)
    assert set(made.requests.values()) == {None}


def test_a_deposit_sent_in_twice_keeps_the_receipts_it_has(store: GatewayStore) -> None:
    made = deposit(record())
    store.add_deposit(made)
    store.add_receipt(made.records_root, SERVERS[0], {"n": 0})
    again = store.add_deposit(replace(made, requests={server: {"sealed": "0x"} for server in SERVERS}))
    assert dict(again.receipts) == {SERVERS[0]: {"n": 0}}
    assert dict(again.requests) == dict(made.requests)
    assert len(store.pending_deposits()) == 1


def test_a_dropped_deposit_leaves_nothing_and_can_come_again(store: GatewayStore) -> None:
    made = deposit(record())
    store.add_deposit(made)
    store.add_receipt(made.records_root, SERVERS[0], {"n": 0})
    store.drop_deposit(made.records_root)
    assert store.pending_deposits() == []
    assert store.records_by_id([made.records[0].id]) == {}
    assert dict(store.add_deposit(made).receipts) == {}


def test_an_acknowledged_deposit_cannot_be_dropped(store: GatewayStore) -> None:
    made = acknowledge(store, store.add_deposit(deposit(record())))
    store.drop_deposit(made.records_root)
    store.drop_deposit(bytes(32))
    assert [r.id for r in store.records(ALL)] == [made.records[0].id]


@pytest.mark.parametrize(
    ("mask", "found"),
    [
        (Category.LABORATORY, {"laboratory"}),
        (Category.LABORATORY | Category.NOTES, {"laboratory", "both", "far"}),
        (Category.NOTES, {"far"}),
        (Category.IMAGING, set()),
        (ALL, {"laboratory", "both", "far", "highest"}),
    ],
)
def test_a_mask_finds_records_all_of_whose_categories_are_in_it(
    store: GatewayStore, mask: int, found: set[str]
) -> None:
    made = {
        "laboratory": record(categories=int(Category.LABORATORY)),
        "both": record(categories=int(Category.LABORATORY | Category.NOTES)),
        "far": record(categories=int(Category.NOTES)),
        "highest": record(categories=1 << 62),
    }
    acknowledge(store, store.add_deposit(deposit(*made.values())))
    ids = [r.id for r in store.records(int(mask))]
    assert ids == sorted(made[name].id for name in found)


def test_records_come_back_whole_by_id_and_unknown_ids_are_missing(store: GatewayStore) -> None:
    made = [record(), record(BOB, int(Category.NOTES))]
    acknowledge(store, store.add_deposit(deposit(*made)))
    ids = [r.id for r in made]
    assert store.records_by_id([*ids, bytes(32)]) == dict(zip(ids, made, strict=True))
    assert store.records_by_id([bytes([n % 256, n // 256]) * 16 for n in range(1_500)]) == {}
    assert store.records_by_id([]) == {}


# The database alone


def test_reopening_keeps_everything(database: GatewayDatabase, tmp_path: Path) -> None:
    made, one = consent(), message()
    commitment = opened(database, made)
    database.add_form(b"\1" * 32, FORM_TEXT)
    database.enqueue(one)
    database.enqueue(message("Freeze", "1"))
    database.mark([one.id], "refused")
    pending = database.add_deposit(deposit(record(BOB)))
    database.add_receipt(pending.records_root, SERVERS[2], {"n": 2})
    done = acknowledge(database, database.add_deposit(deposit(record())))
    database.close()
    again = GatewayDatabase(SealedFile(tmp_path / "gateway.db", KEY))
    try:
        assert again.opening(commitment) == made
        assert again.form(b"\1" * 32) == FORM_TEXT
        assert again.relayed(one.id) == replace(one, state="refused")
        assert [m.kind for m in again.queued(9)] == ["Freeze"]
        [still] = again.pending_deposits()
        assert dict(still.receipts) == {SERVERS[2]: {"n": 2}}
        assert [r.id for r in again.records(ALL)] == [done.records[0].id]
    finally:
        again.close()
