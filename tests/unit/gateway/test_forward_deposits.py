# SPDX-License-Identifier: Apache-2.0
"""Forward: a custodian's deposits are kept and retried until every server has acknowledged them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from consentum.domain.parsing import hexed
from consentum.errors import (
    ConflictError,
    ConsentumError,
    CorruptError,
    MalformedError,
    NotFoundError,
    Reason,
    RefusedError,
    SignatureRefused,
)
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway import forward
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from tests.unit.client.world import World

ALL = (1 << 63) - 1


def hospital(world: World) -> str:
    return world.hospital.address.lower()


def deposited(gateway: Gateway, world: World) -> Batch:
    batch = world.batch()
    assert forward.deposit(gateway, batch.to_json(), hospital(world))["acknowledged"]
    return batch


def test_a_deposit_all_servers_take_is_acknowledged_with_their_receipts(gateway: Gateway, world: World) -> None:
    batch = world.batch()
    answer = forward.deposit(gateway, batch.to_json(), hospital(world))
    assert (answer["acknowledged"], answer["waiting"]) == (True, [])
    assert set(answer["receipts"]) == {peer.address for peer in world.peers}
    assert {one["receipt"]["recordsRoot"] for one in answer["receipts"].values()} == {answer["recordsRoot"]}
    assert {record.id for record in gateway.store.records(ALL)} == {record.id for record in batch.records}


@pytest.mark.parametrize("down", [[1], [0, 2], [0, 1, 2]])
def test_a_deposit_is_pending_until_every_server_has_it(gateway: Gateway, world: World, down: list[int]) -> None:
    batch = world.batch()
    for number in down:
        world.peers[number].fault = "down"
    answer = forward.deposit(gateway, batch.to_json(), hospital(world))
    assert not answer["acknowledged"]
    assert set(answer["waiting"]) == {world.peers[number].address for number in down}
    assert gateway.store.records(ALL) == []
    forward.retry_deposits(gateway)
    assert len(gateway.store.pending_deposits()) == 1
    for number in down:
        world.peers[number].fault = None
    forward.retry_deposits(gateway)
    assert gateway.store.pending_deposits() == []
    assert len(gateway.store.records(ALL)) == 2


def test_a_server_that_has_acknowledged_is_not_asked_again(gateway: Gateway, world: World) -> None:
    batch = world.batch()
    world.peers[2].fault = "down"
    for _ in range(3):
        forward.deposit(gateway, batch.to_json(), hospital(world))
    assert [peer.asked.count("deposit") for peer in world.peers] == [1, 1, 3]


def test_an_acknowledged_deposit_sent_again_is_acknowledged_and_asks_nobody(gateway: Gateway, world: World) -> None:
    batch = deposited(gateway, world)
    before = [len(peer.asked) for peer in world.peers]
    assert forward.deposit(gateway, batch.to_json(), hospital(world))["acknowledged"]
    assert [len(peer.asked) for peer in world.peers] == before


@pytest.mark.parametrize("who", ["alice", "researcher", "runner"])
def test_nobody_else_deposits_for_a_custodian(gateway: Gateway, world: World, who: str) -> None:
    with pytest.raises(NotFoundError):
        forward.deposit(gateway, world.batch().to_json(), getattr(world, who).address.lower())
    assert gateway.store.pending_deposits() == []


def test_whoever_may_deposit_for_a_custodian_may_send_its_batch(gateway: Gateway, world: World) -> None:
    world.ledger.delegates.add((hospital(world), Roles.DEPOSIT, world.bob.address.lower()))
    assert forward.deposit(gateway, world.batch().to_json(), world.bob.address.lower())["acknowledged"]


FINAL: list[type[ConsentumError]] = [MalformedError, SignatureRefused, CorruptError, ConflictError]


@pytest.mark.parametrize("error", FINAL)
def test_a_deposit_refused_for_good_is_dropped_and_said(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch, error: type[ConsentumError]
) -> None:
    batch = world.batch()
    refuse_at(world, monkeypatch, error())
    with pytest.raises(error):
        forward.deposit(gateway, batch.to_json(), hospital(world))
    assert gateway.store.pending_deposits() == []
    assert gateway.store.records_by_id([record.id for record in batch.records]) == {}


@pytest.mark.parametrize("error", [RefusedError(Reason.STALE), RefusedError(Reason.STORE_UNAVAILABLE)])
def test_a_deposit_refused_for_now_stays(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch, error: ConsentumError
) -> None:
    batch = world.batch()
    refuse_at(world, monkeypatch, error)
    assert not forward.deposit(gateway, batch.to_json(), hospital(world))["acknowledged"]
    assert len(gateway.store.pending_deposits()) == 1


def test_one_deposit_refused_for_good_does_not_keep_the_others_waiting(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = [world.batch() for _ in range(2)]
    for peer in world.peers:
        peer.fault = "down"
    for batch in batches:
        forward.deposit(gateway, batch.to_json(), hospital(world))
    for peer in world.peers:
        peer.fault = None
    root = hexed(batches[0].deposit.recordsRoot)
    refuse_at(world, monkeypatch, CorruptError(), root)
    forward.retry_deposits(gateway)
    assert gateway.store.pending_deposits() == []
    assert {r.id for r in gateway.store.records(ALL)} == {r.id for r in batches[1].records}


def refuse_at(world: World, monkeypatch: pytest.MonkeyPatch, error: ConsentumError, root: str | None = None) -> None:
    """The second server refuses deposits (or the one of `root`)."""
    kind, bad = type(world.peers[1]), world.peers[1].address
    honest = kind.deposit

    def deposit(peer: Any, request: Mapping[str, Any]) -> Mapping[str, Any]:
        if peer.address == bad and root in (None, request["deposit"]["recordsRoot"]):
            raise error
        return honest(peer, request)

    monkeypatch.setattr(kind, "deposit", deposit)


@pytest.mark.parametrize("change", ["fewer", "none", "mixed", "no object", "unknown field"])
def test_a_deposit_of_another_form_is_malformed_and_not_kept(gateway: Gateway, world: World, change: str) -> None:
    batch, other = world.batch().to_json()["requests"], world.batch().to_json()["requests"]
    first, *rest = batch
    bodies: dict[str, Any] = {
        "fewer": {"requests": {first: batch[first]}},
        "none": {"requests": {}},
        "mixed": {"requests": {first: batch[first], **{server: other[server] for server in rest}}},
        "no object": {"requests": list(batch.values())},
        "unknown field": {"requests": batch, "more": 1},
    }
    with pytest.raises(MalformedError):
        forward.deposit(gateway, bodies[change], hospital(world))
    assert gateway.store.pending_deposits() == []


def test_a_deposit_that_leaves_a_server_of_the_committee_out_is_not_acknowledged(
    gateway: Gateway, world: World
) -> None:
    requests = world.batch().to_json()["requests"]
    requests.pop(world.peers[2].address)
    try:
        answer = forward.deposit(gateway, {"requests": requests}, hospital(world))
    except MalformedError:
        return
    assert not answer["acknowledged"]


def test_a_receipt_that_the_server_did_not_sign_acknowledges_nothing(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.batch()
    monkeypatch.setattr(type(world.peers[0]), "deposit", lambda peer, request: {"thanks": True})
    assert not forward.deposit(gateway, batch.to_json(), hospital(world))["acknowledged"]
    assert gateway.store.records(ALL) == []


def test_a_deposit_for_a_server_that_is_not_in_the_settings_is_not_kept_for_ever(
    gateway: Gateway, world: World
) -> None:
    requests = world.batch().to_json()["requests"]
    requests["0x" + "77" * 20] = requests.pop(world.peers[2].address)
    with suppress(ConsentumError):
        forward.deposit(gateway, {"requests": requests}, hospital(world))
    assert gateway.store.pending_deposits() == []
