# SPDX-License-Identifier: Apache-2.0
"""P2: nothing is released on a chain that is old, wrong, silent or behind, and a grant counts only once it is final."""

from __future__ import annotations

import pytest

from consentum.domain.messages import Freeze, RevokeAll
from consentum.errors import Reason, RefusedError
from consentum.flow.keyserver import anchor
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World


def refusal(world: World, given: Given) -> Reason:
    """Why the whole page is refused; and that this left nothing in the journal."""
    before = world.store.journal_size()
    with pytest.raises(RefusedError) as caught:
        world.ask(given.page)
    assert world.store.journal_size() == before
    return caught.value.reason


def test_a_head_at_the_limit_of_its_age_is_used(world: World, given: Given) -> None:
    world.clock.ahead = 30
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_stale_head_is_refused(world: World, given: Given) -> None:
    world.clock.ahead = 31
    assert refusal(world, given) == Reason.STALE


def test_a_chain_whose_clock_is_ahead_is_refused(world: World, given: Given) -> None:
    world.clock.ahead = -15
    assert world.verdict(given.page) == {"ALLOWED": 1}
    world.clock.ahead = -16
    assert refusal(world, given) == Reason.CLOCK


def test_finality_that_falls_too_far_behind_is_refused(world: World, given: Given) -> None:
    final = world.ledger.blocks[world.ledger.final].timestamp
    world.ledger.mine(final + 120)
    assert world.verdict(given.page) == {"ALLOWED": 1}
    world.ledger.mine(final + 121)
    assert refusal(world, given) == Reason.STALE


def test_a_node_whose_latest_block_goes_backwards_is_refused(world: World, given: Given) -> None:
    world.ledger.mine()
    assert world.verdict(given.page) == {"ALLOWED": 1}
    world.ledger.head -= 1
    assert refusal(world, given) == Reason.STALE


def test_a_node_whose_finalized_block_goes_backwards_is_refused(world: World, given: Given) -> None:
    assert world.verdict(given.page) == {"ALLOWED": 1}
    world.ledger.final -= 1
    assert refusal(world, given) == Reason.STALE


def test_a_node_that_was_behind_is_used_again_once_it_caught_up(world: World, given: Given) -> None:
    world.ledger.mine()
    world.ask(given.page)
    world.ledger.head -= 1
    assert refusal(world, given) == Reason.STALE
    world.ledger.head += 1
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_another_chain_is_refused(world: World, given: Given) -> None:
    world.ledger.other_chain = True
    assert refusal(world, given) == Reason.OTHER_CHAIN


def test_a_silent_node_is_refused(world: World, given: Given) -> None:
    world.ledger.down = True
    assert refusal(world, given) == Reason.CHAIN_UNAVAILABLE


@pytest.mark.parametrize("read", ["committee", "check", "signed_by"])
def test_a_node_that_falls_silent_at_any_step_is_a_refusal(
    world: World, given: Given, read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ledger.down = True
    world.store.add_notice(_row(world, given, judged=False))
    world.ledger.down = False
    real = getattr(type(world.ledger), read)

    def silent(*args: object) -> object:
        world.ledger.down = True
        return real(*args)

    monkeypatch.setattr(type(world.ledger), read, silent)
    assert refusal(world, given) == Reason.CHAIN_UNAVAILABLE


def test_a_node_that_falls_behind_between_the_two_blocks_is_refused(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4 asks for the latest block anew, and no less strictly than R2."""
    check = type(world.ledger).check

    def lagging(*args: object) -> object:
        world.clock.ahead = 31
        return check(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(world.ledger), "check", lagging)
    assert refusal(world, given) == Reason.STALE


def _row(world: World, given: Given, judged: bool):  # type: ignore[no-untyped-def]
    from consentum.flow.keyserver.notice import _row as row

    return row(world.revocation(given.consent), judged)


def test_a_grant_that_is_not_final_is_not_yet_released(world: World) -> None:
    record = world.record()
    consent = world.grant(world.consent(), final=False)
    page = world.page([record.id], [consent])
    answer = world.ask(page)
    assert answer.receipt["counts"] == {"NOT_YET_FINAL": 1}
    assert world.opened(page, answer) == []
    world.ledger.finalize()
    assert world.verdict(page) == {"ALLOWED": 1}


def test_a_revocation_counts_at_the_latest_block_already(world: World, given: Given) -> None:
    world.revoke(given.consent)
    answer = world.ask(given.page)
    assert answer.receipt["counts"] == {"REVOKED": 1}
    assert world.opened(given.page, answer) == []


def test_a_cutoff_counts_at_the_latest_block_already(world: World, given: Given) -> None:
    notice = world.notice(RevokeAll(given.consent.subject, given.consent.signedAt))
    world.send("ConsentRegistry", "revokeAll", given.consent.subject, given.consent.signedAt, notice.signature)
    assert world.verdict(given.page) == {"CUT_OFF": 1}


def test_a_freeze_counts_at_the_latest_block_already(world: World, given: Given) -> None:
    until = world.ledger.now + 1_000
    notice = world.notice(Freeze(given.consent.subject, until))
    world.send("ConsentRegistry", "freeze", given.consent.subject, until, notice.signature)
    assert world.verdict(given.page) == {"FROZEN": 1}


def test_a_study_that_its_board_closed_a_block_ago_gets_nothing(world: World, given: Given) -> None:
    world.send("StudyRegistry", "close", world.study, [])
    assert world.verdict(given.page) == {"STUDY_NOT_OPEN": 1}


def test_a_server_behind_its_anchor_refuses_everything(world: World, given: Given) -> None:
    world.server.behind_anchor = True
    assert refusal(world, given) == Reason.BEHIND_ANCHOR


def test_a_journal_agrees_with_its_anchor_until_it_is_shorter_or_other(world: World, given: Given) -> None:
    world.sender.address = world.server.address
    assert anchor.agrees_with_anchor(world.server)
    world.ask(given.page)
    assert anchor.anchor(world.server, world.sender) == 1
    assert anchor.agrees_with_anchor(world.server)
    kept = world.store.journal.pop()
    assert not anchor.agrees_with_anchor(world.server)
    world.store.journal.append(kept.replace(b'"access":2', b'"access":1'))
    assert not anchor.agrees_with_anchor(world.server)


def test_a_journal_that_has_not_grown_is_not_anchored_again(world: World, given: Given) -> None:
    world.sender.address = world.server.address
    world.ask(given.page)
    anchor.anchor(world.server, world.sender)
    sent = len(world.sender.sent)
    assert anchor.anchor(world.server, world.sender) == 1
    assert len(world.sender.sent) == sent
