# SPDX-License-Identifier: Apache-2.0
"""The order in which every gateway's store gives out messages for the chain, and when it gives one up."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.sealed import SealedFile
from consentum.ports.gateway_store import ENDINGS_AT_ONCE, GatewayStore, Relayed
from tests.conformance import test_gateway_store as suite
from tests.conformance.test_gateway_store import BOB, message

store = suite.store


def test_a_message_that_was_refused_can_come_again_from_another_signer(store: GatewayStore) -> None:
    first = store.enqueue(message())
    store.mark([first.id], "refused")
    again = replace(message(), signature=b"\0" + b"\1" * 64)
    assert store.enqueue(again) == again
    assert store.queued(10) == [again]


def test_a_message_is_refused_after_as_many_failures_as_it_may_have(store: GatewayStore) -> None:
    one = store.enqueue(message())
    for _ in range(3):
        assert store.queued(10) == [one]
        store.failed(one.id, 3)
    assert store.queued(10) == []
    assert store.relayed(one.id).state == "refused"
    store.enqueue(one)
    store.failed(one.id, 3)
    assert store.queued(10) == [one]  # it counts from the start again


def test_a_failure_does_not_undo_what_was_mined(store: GatewayStore) -> None:
    one = store.enqueue(message())
    store.mark([one.id], "mined")
    store.failed(one.id, 1)
    assert store.relayed(one.id).state == "mined"


def test_what_ends_something_comes_before_every_grant_then_the_fewest_failures_then_the_oldest(
    store: GatewayStore,
) -> None:
    grants = [store.enqueue(message("Consent", f"0x{n:064x}")) for n in range(4)]
    ends = [store.enqueue(message(kind, "9")) for kind in ("Revoke", "RevokeAll", "Freeze")]
    for failing in (grants[0], grants[0], grants[2], ends[0]):
        store.failed(failing.id, 9)
    expected = [ends[1], ends[2], ends[0], grants[1], grants[3], grants[2], grants[0]]
    assert store.queued(10) == expected
    assert store.queued(3) == expected[:3]


# Nobody's flood delays another


def hers(subject: str, kind: str, value: str) -> Relayed:
    return message(kind, value, subject)


def revokes(store: GatewayStore, subject: str, many: int) -> list[Relayed]:
    return [store.enqueue(hers(subject, "Revoke", f"0x{n:064x}")) for n in range(many)]


def test_everybodys_first_comes_before_anybodys_second(store: GatewayStore) -> None:
    flood = revokes(store, BOB, 30)
    [one, two] = revokes(store, "0x" + "a7" * 20, 2)
    assert store.queued(4) == [flood[0], one, flood[1], two]
    grants = [store.enqueue(hers(who, "Consent", f"0x{n:064x}")) for who in (BOB, "0x" + "a7" * 20) for n in range(2)]
    assert [m for m in store.queued(99) if m.kind == "Consent"] == [grants[0], grants[2], grants[1], grants[3]]


def test_only_so_many_endings_of_one_subject_are_given_out_at_once(store: GatewayStore) -> None:
    flood = revokes(store, BOB, ENDINGS_AT_ONCE + 3)
    grants = [store.enqueue(hers(BOB, "Consent", f"0x{n:064x}")) for n in range(ENDINGS_AT_ONCE + 3)]
    assert store.queued(999) == [*flood[:ENDINGS_AT_ONCE], *grants]
    store.mark([m.id for m in flood[:ENDINGS_AT_ONCE]], "mined")
    assert store.queued(999) == [*flood[ENDINGS_AT_ONCE:], *grants]


def test_of_what_supersedes_only_the_furthest_of_each_kind_waits_for_its_turn(store: GatewayStore) -> None:
    made = {(kind, n): store.enqueue(hers(BOB, kind, str(n))) for kind in ("RevokeAll", "Freeze") for n in (7, 9, 8)}
    other = store.enqueue(hers("0x" + "a7" * 20, "RevokeAll", "1"))
    assert store.queued(999) == [made["RevokeAll", 9], other, made["Freeze", 9]]


def test_a_stop_comes_before_any_number_of_revocations_of_the_same_subject(store: GatewayStore) -> None:
    revokes(store, BOB, 30)
    stop = store.enqueue(hers(BOB, "RevokeAll", "5"))
    assert store.queued(1) == [stop]


def test_what_is_mined_takes_along_what_it_covers_and_nothing_else(store: GatewayStore) -> None:
    less, same, more = (store.enqueue(hers(BOB, "RevokeAll", str(n))) for n in (7, 8, 9))
    freeze = store.enqueue(hers(BOB, "Freeze", "1"))
    anna = store.enqueue(hers("0x" + "a7" * 20, "RevokeAll", "1"))
    revoke = store.enqueue(hers(BOB, "Revoke", f"0x{1:064x}"))
    store.mark([same.id], "mined")
    states = {m.id: store.relayed(m.id).state for m in (less, same, more, freeze, anna, revoke)}
    assert states == {less.id: "mined", same.id: "mined"} | dict.fromkeys(
        (more.id, freeze.id, anna.id, revoke.id), "queued"
    )


def test_what_was_covered_by_one_that_is_refused_is_not_lost(store: GatewayStore) -> None:
    """A delegate whose time is over said more than the subject did: hers comes next, and not after any more tries."""
    mine, delegates = (store.enqueue(hers(BOB, "RevokeAll", str(n))) for n in (7, 9))
    assert store.queued(9) == [delegates]
    store.failed(delegates.id, 4)
    assert store.queued(9) == [mine]
    store.mark([delegates.id], "refused")
    assert store.relayed(mine.id).state == "queued"
    store.mark([mine.id], "mined")
    assert store.queued(9) == []


def test_what_waits_is_counted_by_subject_and_kind(store: GatewayStore) -> None:
    flood = revokes(store, BOB, 3)
    store.enqueue(hers(BOB, "Consent", f"0x{9:064x}"))
    store.mark([flood[0].id], "mined")
    assert store.waiting(BOB.upper().replace("X", "x"), "Revoke") == 2
    assert store.waiting("0x" + "a7" * 20, "Revoke") == 0


def test_what_was_queued_before_there_were_lanes_is_sent_all_the_same(tmp_path: Path) -> None:
    database = GatewayDatabase(SealedFile(tmp_path / "gateway.db", bytes(32)))
    made = [database.enqueue(hers(BOB, "RevokeAll", str(n))) for n in (7, 9)]
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("DELETE FROM lanes")
    connection.close()
    assert database.queued(9) == made
    database.mark([made[1].id], "mined")
    assert database.queued(9) == made[:1]
    database.close()
