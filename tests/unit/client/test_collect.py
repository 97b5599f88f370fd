# SPDX-License-Identifier: Apache-2.0
"""Collect: t honest servers are enough, fewer are refused with the reasons, and who lies is found out."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto import sharing
from consentum.errors import Reason, RefusedError
from consentum.flow.client import collect as module
from consentum.flow.client.deposit import Batch
from tests.fakes.peers import LIES, signed
from tests.unit.client.world import World, collected, make_world, must_open

# Enough, and too few


def test_the_keys_come_from_t_servers_and_open_the_records(world: World, batch: Batch) -> None:
    found = collected(world, batch)
    must_open(world, batch, found)
    assert found.failures == {}
    assert len(found.receipts) == len(found.answers) >= 2
    assert {receipt.counts["ALLOWED"] for receipt in found.receipts} == {2}


@pytest.mark.parametrize("down", [0, 1, 2])
def test_any_one_server_may_be_down(world: World, batch: Batch, down: int) -> None:
    world.peers[down].fault = "down"
    found = collected(world, batch)
    must_open(world, batch, found)
    assert set(found.failures) <= {str(down + 1)}


@pytest.mark.parametrize("up", [0, 1, 2])
def test_with_two_servers_down_it_is_refused_and_says_why_by_server(world: World, batch: Batch, up: int) -> None:
    for number, peer in enumerate(world.peers):
        peer.fault = None if number == up else "down"
    with pytest.raises(RefusedError) as caught:
        collected(world, batch)
    assert caught.value.reason == Reason.TOO_FEW_SHARES
    said = str(caught.value)
    assert "1 of 2 servers answered" in said
    for number in range(3):
        assert (f"server {number + 1}: UNAVAILABLE" in said) == (number != up)


def test_a_slow_server_is_not_waited_for(world: World, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEDGE_SECONDS", 0.05)
    world.peers[0].fault = "slow"
    start = time.monotonic()
    try:
        found = collected(world, batch)
        assert time.monotonic() - start < 3
        must_open(world, batch, found)
        assert {receipt.index for receipt in found.receipts} == {2, 3}
    finally:
        world.peers[0].go.set()


def test_when_all_are_quick_no_more_than_t_are_asked(world: World, batch: Batch) -> None:
    for peer in world.peers:
        peer.asked.clear()
    collected(world, batch)
    assert [peer.asked for peer in world.peers] == [["release"], ["release"], []]


def test_a_larger_committee_needs_its_own_threshold(tmp_path: Path) -> None:
    world = make_world(tmp_path, 5, 4)
    batch = world.deposited()
    world.attach(batch, *(world.granted(world.consent(who)) for who in (world.alice, world.bob)))
    world.peers[3].fault = "down"
    must_open(world, batch, collected(world, batch))
    world.peers[0].fault = "down"
    with pytest.raises(RefusedError, match="3 of 4"):
        collected(world, batch)


def test_a_record_that_is_refused_is_not_in_the_result_and_the_others_are(world: World) -> None:
    batch = world.deposited()
    world.attach(batch, world.granted(world.consent(world.bob)))
    found = collected(world, batch)
    assert [key.record for key in found.keys] == [batch.records[1].id]
    assert found.receipts[0].counts == {"NO_CONSENT": 1, "ALLOWED": 1}


def test_when_every_record_is_refused_there_are_receipts_and_no_keys(world: World) -> None:
    found = collected(world, world.deposited())
    assert found.keys == ()
    assert {tuple(receipt.counts.items()) for receipt in found.receipts} == {(("NO_CONSENT", 2),)}


def test_a_job_somebody_else_signed_gets_nothing(world: World, batch: Batch) -> None:
    with pytest.raises(RefusedError, match="JOB_SIGNATURE"):
        collected(world, batch, world.collector(signer=world.runner))


def test_a_release_somebody_else_signed_gets_nothing(world: World, batch: Batch) -> None:
    with pytest.raises(RefusedError, match="RELEASE_SIGNATURE"):
        collected(world, batch, replace(world.collector(), runner=world.researcher))


# Who lies


@pytest.mark.parametrize("lie", sorted(LIES))
@pytest.mark.parametrize("liar", [0, 1])
def test_a_lying_server_is_named_and_another_is_asked_instead(world: World, batch: Batch, lie: str, liar: int) -> None:
    world.peers[liar].fault = lie
    found = collected(world, batch)
    must_open(world, batch, found)
    assert set(found.failures) == {str(liar + 1)}
    assert liar + 1 not in {receipt.index for receipt in found.receipts}


@pytest.mark.parametrize("liar", [0, 1])
def test_a_wrong_share_is_named_and_the_key_comes_from_others(world: World, batch: Batch, liar: int) -> None:
    world.peers[liar].fault = "wrong share"
    found = collected(world, batch)
    must_open(world, batch, found)
    assert dict(found.failures) == {str(liar + 1): "SHARE_INCONSISTENT"}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_wrong_share_is_named_whoever_answers_first(
    world: World, batch: Batch, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    ask = module._ask

    def in_order(collector: Any, request: Any, want: int) -> Any:
        parts, failures = ask(collector, request, want)
        return sorted(parts, key=lambda part: order[part.receipt.index - 1]), failures

    monkeypatch.setattr(module, "_ask", in_order)
    world.peers[0].fault = "wrong share"
    found = collected(world, batch)
    must_open(world, batch, found)
    assert dict(found.failures) == {"1": "SHARE_INCONSISTENT"}


def test_a_wrong_share_of_a_server_that_was_not_needed_harms_nobody(world: World, batch: Batch) -> None:
    world.peers[2].fault = "wrong share"
    must_open(world, batch, collected(world, batch))


def test_two_wrong_shares_give_no_key_and_name_the_records(world: World, batch: Batch) -> None:
    world.peers[0].fault = world.peers[2].fault = "wrong share"
    found = collected(world, batch)
    assert found.keys == ()
    assert set(found.failures.values()) == {"SHARE_INCONSISTENT"}


def test_a_wrong_share_among_many_servers_is_pinned_on_the_right_one(tmp_path: Path) -> None:
    world = make_world(tmp_path, 5, 3)
    batch = world.deposited()
    world.attach(batch, *(world.granted(world.consent(who)) for who in (world.alice, world.bob)))
    world.peers[1].fault = "wrong share"
    found = collected(world, batch)
    must_open(world, batch, found)
    assert dict(found.failures) == {"2": "SHARE_INCONSISTENT"}


def test_a_record_whose_custodian_dealt_wrong_shares_costs_only_itself(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = sharing.split

    def crooked(column: bytes, threshold: int, count: int) -> list[bytes]:
        return [bytes([share[0] ^ n]) + share[1:] for n, share in enumerate(split(column, threshold, count))]

    monkeypatch.setattr(sharing, "split", crooked)
    batch = world.deposited()
    monkeypatch.undo()
    world.attach(batch, *(world.granted(world.consent(who)) for who in (world.alice, world.bob)))
    assert [key.record for key in collected(world, batch).keys] == [batch.records[1].id]


def test_a_server_that_refuses_everything_cannot_veto_what_t_others_release(world: World, batch: Batch) -> None:
    ledger = replace(world.ledger, rule=lambda job, item: Reason.NO_CONSENT)
    world.peers[0].server = replace(world.peers[0].server, ledger=ledger)
    must_open(world, batch, collected(world, batch))


def test_a_receipt_of_endless_leaves_is_refused_before_they_are_counted(
    world: World, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [0]

    def counting(stop: int) -> range:
        asked.append(stop)
        return range(min(stop, 10))

    monkeypatch.setattr("consentum.flow.client.receipts.range", counting, raising=False)
    monkeypatch.setitem(LIES, "endless leaves", lambda s, a: signed(s, a, leaves=[[0, 1 << 40]]))
    world.peers[0].fault = "endless leaves"
    must_open(world, batch, collected(world, batch))
    assert max(asked) <= 1_000


def test_a_receipt_of_an_infinite_size_is_one_more_lie(
    world: World, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LIES, "infinite size", lambda s, a: signed(s, a, size=float("inf")))
    world.peers[0].fault = "infinite size"
    must_open(world, batch, collected(world, batch))
