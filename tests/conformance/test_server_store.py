# SPDX-License-Identifier: Apache-2.0
"""What every key server's store promises: one suite for the fake and for the database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consentum.crypto import merkle
from consentum.errors import (
    ConflictError,
    CorruptError,
    OutdatedError,
    Reason,
    ReplayedError,
)
from consentum.ports.server_store import Committed, Debit, ServerStore, VaultRow
from tests.conformance.server_rows import (
    ALICE,
    BOB,
    COMMITTEE,
    DAY,
    NO,
    NOW,
    OK,
    again,
    debit,
    decision,
    deposited,
    notice,
    reasons,
    row,
)

# Vault


def test_a_batch_is_there_with_its_records_and_shares(store: ServerStore) -> None:
    rows = [row(ALICE), row(BOB)]
    root = deposited(store, *rows)
    assert store.has_deposit(root)
    assert not store.has_deposit(b"\1" * 32)
    ids = [r.record.id for r in rows]
    assert store.vault(ids, COMMITTEE) == {r.record.id: r.record for r in rows}
    assert store.shares(ids[::-1]) == [rows[1].share, rows[0].share]


def test_the_same_batch_again_changes_nothing(store: ServerStore) -> None:
    rows = [row(), row()]
    for _ in range(3):
        deposited(store, *rows)
    assert store.shares([rows[0].record.id]) == [rows[0].share]


def test_the_same_batch_with_other_shares_is_a_conflict_and_keeps_the_first(store: ServerStore) -> None:
    rows = [row(), row()]
    deposited(store, *rows)
    with pytest.raises(ConflictError):
        deposited(store, rows[0], VaultRow(rows[1].record, bytes(32)))
    assert store.shares([r.record.id for r in rows]) == [r.share for r in rows]


def test_a_record_known_from_another_batch_is_a_conflict_and_nothing_is_stored(store: ServerStore) -> None:
    known, new = row(), row()
    deposited(store, known)
    with pytest.raises(ConflictError):
        deposited(store, new, VaultRow(known.record, bytes(32)))
    assert store.vault([new.record.id], COMMITTEE) == {}
    assert store.shares([known.record.id]) == [known.share]
    assert not store.has_deposit(merkle.root_of([new.record.id, known.record.id]))


def test_a_record_is_not_seen_under_another_committee(store: ServerStore) -> None:
    mine = row()
    deposited(store, mine)
    assert store.vault([mine.record.id, b"\1" * 32], b"\x0d" * 32) == {}


def test_a_share_that_is_not_here_is_corrupt(store: ServerStore) -> None:
    mine = row()
    deposited(store, mine)
    with pytest.raises(CorruptError):
        store.shares([mine.record.id, b"\1" * 32])


# Notices


def test_notices_are_found_by_their_subject(store: ServerStore) -> None:
    store.add_notice(notice())
    store.add_notice(notice(subject=BOB, message="bob"))
    assert store.notices([ALICE.upper().replace("X", "x")]) == {ALICE: [notice()]}
    assert store.notices(["0x" + "77" * 20]) == {}


def test_the_same_notice_again_is_harmless(store: ServerStore) -> None:
    for _ in range(3):
        store.add_notice(notice())
    assert store.notices([ALICE]) == {ALICE: [notice()]}


def test_an_unjudged_notice_becomes_judged_and_stays_so(store: ServerStore) -> None:
    store.add_notice(notice(judged=False))
    assert store.unjudged() == [notice(judged=False)]
    store.add_notice(notice())
    store.add_notice(notice(judged=False))
    assert store.unjudged() == []
    assert store.notices([ALICE]) == {ALICE: [notice()]}


def test_an_unjudged_notice_that_arrives_twice_is_still_unjudged(store: ServerStore) -> None:
    for _ in range(2):
        store.add_notice(notice(judged=False))
    assert store.unjudged() == [notice(judged=False)]


def test_only_an_unjudged_notice_can_be_dropped(store: ServerStore) -> None:
    store.add_notice(notice(judged=False))
    store.drop_unjudged(notice(judged=False))
    assert store.notices([ALICE]) == {}
    store.add_notice(notice())
    store.drop_unjudged(notice(judged=False))
    assert store.notices([ALICE]) == {ALICE: [notice()]}


def test_a_real_notice_outlives_a_forged_twin(store: ServerStore, request: pytest.FixtureRequest) -> None:
    """While no node can judge, anybody may send the same words with a signature of his own."""
    store.add_notice(notice(judged=False, signature=b"\0forged"))
    store.add_notice(notice(judged=False, signature=b"\0real"))
    store.drop_unjudged(notice(judged=False, signature=b"\0forged"))
    assert [n.signature for n in store.notices([ALICE]).get(ALICE, [])] == [b"\0real"]


def test_a_judged_notice_keeps_the_signature_that_was_judged(store: ServerStore) -> None:
    store.add_notice(notice(judged=False, signature=b"\0forged"))
    store.add_notice(notice(judged=True, signature=b"\0real"))
    assert b"\0real" in [n.signature for n in store.notices([ALICE])[ALICE] if n.judged]
    assert b"\0forged" not in [n.signature for n in store.notices([ALICE])[ALICE] if n.judged]


# Commit


def test_the_first_commit_adds_one_leaf_per_record(store: ServerStore) -> None:
    made = decision([OK, NO, OK])
    assert store.commit(made) == Committed((0, 1, 2), 3, store.root(3), (OK, NO, OK))
    assert [store.entry(n) for n in range(3)] == list(made.entries)


def test_the_same_outcome_again_has_the_same_leaves(store: ServerStore) -> None:
    first = decision([OK, NO])
    store.commit(decision([OK]))
    store.commit(first)
    assert store.commit(again(first, OK, Reason.REVOKED)) == Committed((1, 2), 3, store.root(3), (OK, Reason.REVOKED))


def test_another_outcome_adds_exactly_the_leaves_that_changed(store: ServerStore) -> None:
    first = decision([OK, NO, OK, NO])
    store.commit(first)
    assert store.commit(again(first, OK, OK, Reason.REVOKED, NO)).leaves == (0, 4, 5, 3)
    assert store.commit(again(first, OK, OK, Reason.REVOKED, NO)).size == 6
    assert store.commit(again(first, OK, OK, OK, NO)).leaves == (0, 4, 6, 3)


def test_a_nonce_belongs_to_one_page_for_ever(store: ServerStore) -> None:
    first = decision([OK])
    store.commit(first)
    with pytest.raises(ReplayedError):
        store.commit(decision([OK], nonce=first.key.nonce))
    assert store.journal_size() == 1


def test_another_runner_may_use_the_same_nonce(store: ServerStore) -> None:
    first = decision([OK])
    store.commit(first)
    other = decision([OK], nonce=first.key.nonce)
    store.commit(replace(other, key=replace(other.key, runner="0x" + "43" * 20)))
    assert store.journal_size() == 2


def test_the_cap_counts_granted_records_of_a_requester_in_a_day(store: ServerStore) -> None:
    assert reasons(store, decision([OK, NO, OK], cap=3)) == [OK, NO, OK]
    assert reasons(store, decision([OK, NO, OK], cap=3)) == [OK, NO, Reason.LIMIT]
    assert reasons(store, decision([OK, NO], cap=3)) == [Reason.LIMIT, NO]
    other = decision([OK, OK], cap=3)
    made = replace(other, key=replace(other.key, requester="0x" + "44" * 20))
    assert reasons(store, made) == [OK, OK]
    assert reasons(store, decision([OK, OK, OK], at=NOW + DAY, cap=3)) == [OK, OK, OK]


def test_a_page_at_the_cap_can_be_fetched_again(store: ServerStore) -> None:
    first = decision([OK, OK], cap=2)
    store.commit(first)
    assert store.commit(again(first, OK, OK)).leaves == (0, 1)


def test_a_page_that_is_granted_only_when_retried_counts_for_the_cap(store: ServerStore) -> None:
    first = decision([NO, NO, NO], cap=2)
    store.commit(first)
    assert reasons(store, again(first, OK, OK, OK)) == [OK, OK, Reason.LIMIT]
    assert reasons(store, decision([OK], cap=2)) == [Reason.LIMIT]


def test_what_was_released_before_comes_first_when_the_cap_is_near(store: ServerStore) -> None:
    first = decision([NO, OK, OK], cap=2)
    store.commit(first)
    assert reasons(store, again(first, OK, OK, OK)) == [Reason.LIMIT, OK, OK]


def test_a_page_counts_for_the_cap_with_the_most_it_was_ever_granted(store: ServerStore) -> None:
    first = decision([OK, OK], cap=2)
    store.commit(first)
    store.commit(again(first, NO, NO))
    assert reasons(store, decision([OK], cap=2)) == [Reason.LIMIT]


def test_a_consents_budget_is_spent_once_per_job(store: ServerStore) -> None:
    for made in (decision([OK, OK]), decision([OK, OK]), decision([OK, OK])):
        debits = [debit(600), replace(debit(600), position=1)]
        assert reasons(store, replace(made, debits=debits)) == [OK, OK]
    for epsilon, reason in ((401, Reason.BUDGET), (400, OK)):
        made = replace(decision([OK]), debits=[debit(epsilon, job=b"\4" * 32)])
        assert reasons(store, made) == [reason]
    made = replace(decision([OK]), debits=[debit(1, job=b"\5" * 32)])
    assert reasons(store, made) == [Reason.BUDGET]


def test_one_spent_budget_keeps_no_other_record_back(store: ServerStore) -> None:
    store.commit(replace(decision([OK]), debits=[debit(1_000)]))
    other = Debit(b"\4" * 32, b"\x0d" * 32, 600, 1_000, position=1)
    made = replace(decision([OK, OK, NO]), debits=[debit(1, job=b"\4" * 32), other])
    assert reasons(store, made) == [Reason.BUDGET, OK, NO]
    late = replace(decision([OK]), debits=[Debit(b"\5" * 32, b"\x0d" * 32, 401, 1_000)])
    assert reasons(store, late) == [Reason.BUDGET]


def test_what_is_over_the_cap_costs_no_budget(store: ServerStore) -> None:
    made = replace(decision([OK, OK], cap=1), debits=[replace(debit(1_000), position=1)])
    assert reasons(store, made) == [OK, Reason.LIMIT]
    made = replace(decision([OK]), debits=[debit(1_000, job=b"\4" * 32)])
    assert reasons(store, made) == [OK]


def test_a_notice_that_came_or_went_since_makes_a_decision_outdated(store: ServerStore) -> None:
    made = decision([OK])
    store.add_notice(notice())
    store.add_notice(notice(subject=BOB, message="bob"))
    with pytest.raises(OutdatedError):
        store.commit(made)
    assert store.journal_size() == 0
    assert store.commit(replace(made, notices=1)).size == 1


def test_an_outdated_commit_leaves_nothing_of_itself(store: ServerStore) -> None:
    """Neither its nonce nor its debits."""
    made = replace(decision([OK, OK]), debits=[debit(1_000)], notices=1)
    with pytest.raises(OutdatedError):
        store.commit(made)
    later = replace(decision([OK, OK], nonce=made.key.nonce), debits=[debit(1_000, job=b"\4" * 32)])
    assert reasons(store, later) == [OK, OK]
