# SPDX-License-Identifier: Apache-2.0
"""What every key server's store promises about the order of notices and about retracted records: fake and database."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import merkle
from consentum.errors import ConflictError, CorruptError, NotFoundError, OutdatedError, Reason
from consentum.ports.server_store import ON_CHAIN_AT_ONCE, NoticeRow, ServerStore, Tombstone, VaultRow
from tests.conformance.server_rows import (
    ALICE,
    BOB,
    COMMITTEE,
    MASTER,
    decision,
    deposited,
    notice,
    row,
)

CUSTODIAN = "0x" + "c7" * 20


def buried(made: VaultRow, **changes: object) -> Tombstone:
    return replace(Tombstone(made.record.id, CUSTODIAN, bytes(32), 7, b"\0s"), **changes)  # type: ignore[arg-type]


# In the order of their coming


def test_notices_are_read_in_the_order_of_their_coming(store: ServerStore) -> None:
    for position in range(5):
        assert store.add_notice(notice(message=str(position)), at=100 + position)
    first = store.arrivals(0, 3)
    rest = store.arrivals(first[-1].number, 3)
    assert [(a.notice.message, a.at) for a in [*first, *rest]] == [(str(n), 100 + n) for n in range(5)]
    assert store.arrivals(rest[-1].number, 3) == []


def test_a_notice_that_comes_again_is_not_new_and_keeps_its_place(store: ServerStore) -> None:
    assert store.add_notice(notice(judged=False), at=5)
    assert not store.add_notice(notice(), at=9)
    [arrival] = store.arrivals(0, 10)
    assert (arrival.at, arrival.notice) == (5, notice())


def test_a_number_is_never_given_twice(store: ServerStore) -> None:
    """Or a peer that has read so far would never see what took the place of a dropped one."""
    store.add_notice(notice(judged=False))
    [dropped] = store.arrivals(0, 10)
    store.drop_unjudged(notice(judged=False))
    assert store.arrivals(0, 10) == []
    store.add_notice(notice(message="another"))
    assert [arrival.notice.message for arrival in store.arrivals(dropped.number, 10)] == ["another"]


def test_what_a_peer_was_given_is_remembered(store: ServerStore) -> None:
    assert store.passed_on("http://one") == 0
    store.pass_on("http://one", 3)
    store.pass_on("http://one", 8)
    assert (store.passed_on("http://one"), store.passed_on("http://two")) == (8, 0)


# What this server puts on chain


def test_only_judged_notices_of_known_subjects_wait_for_the_chain(store: ServerStore) -> None:
    deposited(store, row(BOB))  # `deposited` also brings an enrolment of ALICE
    for who in (ALICE, BOB, "0x" + "77" * 20):
        store.add_notice(notice(subject=who, message=who), at=5)
    store.add_notice(notice(judged=False, message="unjudged"), at=5)
    assert [a.notice.subject for a in store.unsettled(5, 10)] == [ALICE, BOB]
    assert store.unsettled(4, 10) == []


def test_what_is_settled_waits_no_more(store: ServerStore) -> None:
    deposited(store, row())
    store.add_notice(notice(), at=5)
    store.settle([a.number for a in store.unsettled(5, 10)])
    assert store.unsettled(5, 10) == []


def test_vain_attempts_come_last_and_end(store: ServerStore) -> None:
    deposited(store, row())
    for message in ("one", "two"):
        store.add_notice(notice(message=message), at=5)
    one, two = store.unsettled(5, 10)
    store.tried([one.number], 2)
    assert store.unsettled(5, 10) == [two, one]
    store.tried([one.number], 2)
    assert store.unsettled(5, 10) == [two]


# Nobody's flood delays another


def test_every_subjects_first_notice_comes_before_anybodys_second(store: ServerStore) -> None:
    deposited(store, row(BOB))
    for n in range(ON_CHAIN_AT_ONCE + 5):
        store.add_notice(notice(subject=ALICE, message=f"a{n}"), at=5)
    for n in range(2):
        store.add_notice(notice(subject=BOB, message=f"b{n}"), at=6)
    assert [a.notice.message for a in store.unsettled(6, 4)] == ["a0", "b0", "a1", "b1"]
    assert len(store.unsettled(6, 99)) == ON_CHAIN_AT_ONCE + 2


def ending(kind: str, until: int) -> NoticeRow:
    return replace(notice(message=f"{kind} {until}"), kind=kind, until=until)


def test_of_what_supersedes_only_the_furthest_waits_and_what_it_covers_is_settled_with_it(store: ServerStore) -> None:
    deposited(store, row())
    for kind in ("RevokeAll", "Freeze"):
        for until in (7, 9, 8):
            store.add_notice(ending(kind, until), at=5)
    stop, freeze = store.unsettled(5, 10)
    assert {stop.notice.message, freeze.notice.message} == {"RevokeAll 9", "Freeze 9"}
    store.settle([stop.number])
    assert store.unsettled(5, 10) == [freeze]
    store.add_notice(ending("Freeze", 10), at=5)
    store.settle([freeze.number])
    assert [a.notice.message for a in store.unsettled(5, 10)] == ["Freeze 10"]


def test_what_the_contract_does_not_take_hides_nothing_that_it_covers(store: ServerStore) -> None:
    deposited(store, row())
    for until in (7, 9):
        store.add_notice(ending("RevokeAll", until), at=5)
    [further] = store.unsettled(5, 10)
    store.tried([further.number], 4)
    [mine] = store.unsettled(5, 10)
    assert (further.notice.until, mine.notice.until) == (9, 7)
    for _ in range(3):
        store.tried([further.number], 4)  # given up, not on chain
    assert store.unsettled(5, 10) == [mine]


# Retraction


def test_a_retracted_record_is_unknown_and_its_share_is_gone(store: ServerStore) -> None:
    rows = [row(), row()]
    deposited(store, *rows)
    assert store.retract(buried(rows[0])) == buried(rows[0])
    assert list(store.vault([r.record.id for r in rows], COMMITTEE)) == [rows[1].record.id]
    with pytest.raises(CorruptError):
        store.shares([rows[0].record.id])
    assert store.shares([rows[1].record.id]) == [rows[1].share]


def test_retracting_again_gives_the_first_tombstone(store: ServerStore) -> None:
    mine = row()
    deposited(store, mine)
    store.retract(buried(mine))
    assert store.retract(buried(mine, signed_at=9)) == buried(mine)


def test_a_retracted_record_is_never_deposited_again(store: ServerStore) -> None:
    rows = [row(), row()]
    deposited(store, *rows)
    store.retract(buried(rows[0]))
    deposited(store, *rows)  # a late try of the same batch is harmless
    assert list(store.vault([r.record.id for r in rows], COMMITTEE)) == [rows[1].record.id]
    with pytest.raises(ConflictError):
        deposited(store, rows[0])
    assert not store.has_deposit(merkle.root_of([rows[0].record.id]))


def test_another_custodian_can_retract_nothing(store: ServerStore) -> None:
    mine = row()
    deposited(store, mine)
    for made in (buried(mine, custodian="0x" + "c8" * 20), buried(row())):
        with pytest.raises(NotFoundError) as caught:
            store.retract(made)
        assert caught.value.field == "record"
    assert store.shares([mine.record.id]) == [mine.share]
    store.retract(buried(mine))
    with pytest.raises(NotFoundError):
        store.retract(buried(mine, custodian="0x" + "c8" * 20))


def test_a_successor_must_be_here_and_of_the_same_custodian(store: ServerStore) -> None:
    old, new = row(), row()
    deposited(store, old)
    with pytest.raises(NotFoundError) as caught:
        store.retract(buried(old, successor=new.record.id))
    assert caught.value.field == "successor"
    assert store.shares([old.record.id]) == [old.share]
    deposited(store, new)
    assert store.retract(buried(old, successor=new.record.id)).successor == new.record.id
    with pytest.raises(ConflictError):
        store.retract(buried(old))


def test_a_record_retracted_since_makes_a_decision_outdated(store: ServerStore) -> None:
    mine = row()
    deposited(store, mine)
    made = decision([Reason.ALLOWED])
    made = replace(made, entries=[replace(made.entries[0], record="0x" + mine.record.id.hex())])
    store.retract(buried(mine))
    with pytest.raises(OutdatedError):
        store.commit(made)
    assert store.journal_size() == 0


# The database alone


def test_nothing_of_a_retracted_share_is_left_in_the_files(tmp_path: Path) -> None:
    store, mine = KeyServerStore(tmp_path / "vault.db", MASTER), row()
    deposited(store, mine, row())
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        query = "SELECT wrapped, share FROM wrapping JOIN vault USING (record) WHERE record = ?"
        secret = connection.execute(query, (mine.record.id,)).fetchone()
    connection.close()
    store.retract(buried(mine))
    content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert [part in content for part in secret] == [False, False]
    store.close()


def test_a_vault_from_before_the_numbers_gets_them_when_opened(tmp_path: Path) -> None:
    store = KeyServerStore(tmp_path / "vault.db", MASTER)
    store.add_notice(notice())
    store.close()
    with sqlite3.connect(tmp_path / "vault.db") as connection:
        connection.execute("DELETE FROM arrivals")
    store = KeyServerStore(tmp_path / "vault.db", MASTER)
    assert [arrival.notice for arrival in store.arrivals(0, 10)] == [notice()]
    store.close()
