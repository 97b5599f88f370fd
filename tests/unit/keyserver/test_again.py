# SPDX-License-Identifier: Apache-2.0
"""The same release again, a nonce used twice, limits, and decisions that took too long."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from consentum.crypto import typed
from consentum.domain.messages import Revoke
from consentum.errors import ConsentumError, Reason, RefusedError, ReplayedError
from consentum.flow.keyserver import notice, release
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World, released


def test_a_nonce_used_for_another_page_is_replayed(world: World, given: Given) -> None:
    world.ask(given.page)
    again = world.page([given.record.id], [given.consent], nonce=given.page.release.nonce)
    with pytest.raises(ReplayedError):
        world.ask(again)
    assert world.store.journal_size() == 1


def test_the_same_page_again_has_the_same_leaves_and_the_same_shares(world: World, given: Given) -> None:
    first = world.ask(given.page)
    world.ledger.settle()
    second = world.ask(given.page)
    assert first.receipt["leaves"] == second.receipt["leaves"]
    assert world.opened(given.page, first) == world.opened(given.page, second)
    assert world.store.journal_size() == 1


def test_the_same_page_again_costs_the_budget_once(world: World, given: Given) -> None:
    job = world.job(epsilonMilli=600)
    page = world.page([given.record.id], [given.consent], job)
    for _ in range(3):
        assert world.verdict(page) == {"ALLOWED": 1}
    assert world.verdict(world.page([given.record.id], [given.consent], world.job(epsilonMilli=600))) == {"BUDGET": 1}


def test_one_patients_spent_budget_refuses_her_records_and_no_others(world: World, given: Given) -> None:
    frugal, second = world.grant(world.consent(epsilonMilli=100)), world.record()
    job = world.job(epsilonMilli=100)
    world.ask(world.page([second.id], [frugal], job))
    page = world.page([second.id, given.record.id], [frugal, given.consent], world.job(epsilonMilli=100))
    answer = world.ask(page)
    assert answer.receipt["counts"] == {"BUDGET": 1, "ALLOWED": 1}
    assert released(page, answer) == [given.record.id]
    assert len(world.opened(page, answer)) == 1
    assert [world.store.entry(n).reason for n in range(3)] == [0, Reason.BUDGET, 0]


def test_after_a_revocation_the_same_page_is_refused_with_exactly_one_further_leaf(world: World, given: Given) -> None:
    other = world.grant(world.consent())
    second = world.record()
    page = world.page([given.record.id, second.id], [given.consent, other])
    world.ask(page)
    world.revoke(given.consent)
    answer = world.ask(page)
    assert answer.receipt["counts"] == {"REVOKED": 1, "ALLOWED": 1}
    assert released(page, answer) == [second.id]
    assert answer.receipt["leaves"] == [[2, 1], [1, 1]]
    assert world.store.journal_size() == 3
    world.ask(page)
    assert world.store.journal_size() == 3
    assert [world.store.entry(n).reason for n in range(3)] == [Reason.ALLOWED, Reason.ALLOWED, Reason.REVOKED]


def test_a_page_that_was_refused_can_be_granted_later_and_only_then_costs(world: World, given: Given) -> None:
    late = world.grant(world.consent(), final=False)
    page = world.page([given.record.id], [late])
    assert world.verdict(page) == {"NOT_YET_FINAL": 1}
    assert not world.store.spent
    world.ledger.finalize()
    assert world.verdict(page) == {"ALLOWED": 1}
    assert world.store.journal_size() == 2


def test_more_records_in_a_day_than_the_cap_are_refused(world: World, given: Given) -> None:
    world.server.daily_cap = 2
    for _ in range(2):
        world.ask(world.page([given.record.id], [given.consent]))
    over = world.page([given.record.id], [given.consent])
    answer = world.ask(over)
    assert answer.receipt["counts"] == {"LIMIT": 1}
    assert world.opened(over, answer) == []
    assert world.store.entry(2).reason == Reason.LIMIT


def test_the_cap_counts_what_is_granted_to_a_page_that_was_refused_before(world: World, given: Given) -> None:
    """Openings are unsigned hints: without them everything is refused, with them later the same page is granted."""
    world.server.daily_cap = 2
    for number in range(3):
        page = world.page([given.record.id], [None])
        assert world.verdict(page) == {"NO_CONSENT": 1}
        hinted = replace(page, openings=(given.consent,))
        if number < 2:
            assert world.verdict(hinted) == {"ALLOWED": 1}
        else:
            assert world.verdict(hinted) == {"LIMIT": 1}


def test_a_consent_without_budget_gives_nothing_to_a_job_that_spends(world: World, given: Given) -> None:
    frugal = world.grant(world.consent(epsilonMilli=0))
    assert world.verdict(world.page([given.record.id], [frugal])) == {"EPSILON": 1}


def test_a_decision_older_than_two_seconds_is_made_again(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing takes three seconds the first time, and she revokes meanwhile."""
    seal = release._seal

    def slowly(*args: object) -> bytes:
        sealed = seal(*args)  # type: ignore[arg-type]
        if world.store.journal_size() == 1:
            world.clock.mono += 3
            world.revoke(given.consent)
        return sealed

    monkeypatch.setattr(release, "_seal", slowly)
    answer = world.ask(given.page)
    assert answer.receipt["counts"] == {"REVOKED": 1}
    assert world.opened(given.page, answer) == []
    assert world.store.journal_size() == 2


def test_a_decision_is_as_old_as_its_first_question(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that takes three seconds to answer gives a decision that is three seconds old."""
    check, asked = type(world.ledger).check, []

    def slowly(*args: object) -> object:
        asked.append(1)
        found = check(*args)  # type: ignore[arg-type]
        world.clock.mono += 3 if len(asked) == 2 else 0
        return found

    monkeypatch.setattr(type(world.ledger), "check", slowly)
    assert world.verdict(given.page) == {"ALLOWED": 1}
    assert len(asked) == 3


def test_a_decision_just_under_two_seconds_old_stands(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = release._seal

    def slowly(*args: object) -> bytes:
        world.clock.mono += 2
        return seal(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(release, "_seal", slowly)
    assert world.verdict(given.page) == {"ALLOWED": 1}
    assert world.store.journal_size() == 1


def test_a_server_that_is_always_too_slow_refuses(world: World, given: Given) -> None:
    world.clock.step = 2.1
    with pytest.raises(RefusedError) as caught:
        world.ask(given.page)
    assert caught.value.reason == Reason.STALE


def test_a_notice_that_arrives_between_deciding_and_writing_counts(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit

    def beaten(decision):  # type: ignore[no-untyped-def]
        if not world.store.kept:
            notice.accept(world.server, world.revocation(given.consent))
        return commit(decision)

    monkeypatch.setattr(world.store, "commit", beaten)
    answer = world.ask(given.page)
    assert answer.receipt["counts"] == {"NOTICE_HELD": 1}
    assert world.store.journal_size() == 1


def test_notices_that_never_stop_arriving_end_in_a_refusal(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit

    def beaten(decision):  # type: ignore[no-untyped-def]
        message = Revoke(given.consent.subject, len(world.store.kept).to_bytes(32, "big"))
        notice.accept(world.server, world.notice(message))
        return commit(decision)

    monkeypatch.setattr(world.store, "commit", beaten)
    with pytest.raises(RefusedError) as caught:
        world.ask(given.page)
    assert caught.value.reason == Reason.STALE
    assert world.store.journal_size() == 0


def test_the_receipt_names_the_finalized_block_that_was_asked(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finality moves between R2 and R4: what stands in the journal must be what was evaluated."""
    asked: list[bytes] = []
    check = type(world.ledger).check

    def noted(self, block, *rest):  # type: ignore[no-untyped-def]
        asked.append(block.hash)
        found = check(self, block, *rest)
        self.settle()
        return found

    monkeypatch.setattr(type(world.ledger), "check", noted)
    receipt = world.ask(given.page).receipt
    blocks = [str(receipt[name]).partition(":")[2] for name in ("finalized", "latest")]
    assert blocks == ["0x" + hashed.hex() for hashed in asked]


def test_threads_with_the_same_page_leave_one_leaf(world: World, given: Given) -> None:
    errors: list[ConsentumError] = []

    def ask() -> None:
        try:
            world.ask(given.page)
        except ConsentumError as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert world.store.journal_size() == 1


def test_a_slower_thread_is_not_refused_because_a_faster_one_saw_a_newer_block(world: World) -> None:
    """Only a node that shows less than was seen before it was asked is behind."""
    view = world.ledger.view
    inner: list[int] = []

    def overtaken():  # type: ignore[no-untyped-def]
        found = view()
        if not inner:
            inner.append(1)
            world.ledger.settle()
            world.server.fresh_view()
        return found

    object.__setattr__(world.server, "ledger", _Viewed(overtaken))
    older = world.server.fresh_view()
    # Used, but it does not lower what was seen: the next answer may not be as old.
    object.__setattr__(world.server, "ledger", _Viewed(lambda: older))
    with pytest.raises(RefusedError):
        world.server.fresh_view()


class _Viewed:
    def __init__(self, view) -> None:  # type: ignore[no-untyped-def]
        self.view = view


def test_an_altered_page_under_a_known_signature_is_refused(world: World, given: Given) -> None:
    later = replace(given.page.release, deadline=given.page.release.deadline + 1)
    assert typed.struct_hash(later) != typed.struct_hash(given.page.release)
    with pytest.raises(RefusedError, match="RELEASE_SIGNATURE"):
        world.ask(replace(given.page, release=later))
