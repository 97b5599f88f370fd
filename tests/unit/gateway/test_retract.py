# SPDX-License-Identifier: Apache-2.0
"""A retraction through the gateway: listed no more at once, told to every server until each has said yes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import Any
from unittest.mock import Mock

import pytest
from starlette.testclient import TestClient

from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Retract
from consentum.domain.parsing import hexed
from consentum.domain.records import Record
from consentum.errors import (
    ConflictError,
    CorruptError,
    MalformedError,
    NotFoundError,
    SignatureRefused,
    UnavailableError,
)
from consentum.flow.client import retraction as client_retract
from consentum.flow.gateway import forward, retract
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import Retraction
from consentum.ports.gateway_store import PendingDeposit
from tests.unit.client.world import DOMAIN, NOW, World
from tests.unit.gateway.test_forward_deposits import ALL, deposited, hospital


def made(world: World, record: bytes, successor: bytes | None = None, by: WalletKey | None = None) -> dict[str, Any]:
    message = Retract(hospital(world), record, successor or bytes(32), NOW)
    return client_retract.retract(DOMAIN, by or world.hospital, message).to_json()


def ids(gateway: Gateway) -> set[bytes]:
    return {record.id for record in gateway.store.records(ALL)}


def test_a_record_all_servers_gave_up_is_acknowledged_with_their_receipts(gateway: Gateway, world: World) -> None:
    gone, stays = (record.id for record in deposited(gateway, world).records)
    request = made(world, gone)
    answer = retract.retract(gateway, request, hospital(world))
    assert (answer["acknowledged"], answer["waiting"]) == (True, {})
    assert ids(gateway) == {stays}
    assert set(gateway.store.records_by_id([gone, stays])) == {stays}
    for peer in world.peers:
        key = peer.server.checkpoint_key.public_key().public_bytes_raw()
        client_retract.verify_receipt(
            Retraction.parse(request).retract, peer.address, key, answer["receipts"][peer.address]
        )
        with pytest.raises(CorruptError):
            peer.server.store.shares([gone])
        assert peer.server.store.shares([stays])


def stored(gateway: Gateway, world: World, record: Record) -> None:
    """Its content is in the gateway's store, as after an upload."""
    content = world.depository.get_all([record.cid])[record.cid]
    assert gateway.content.put(BytesIO(content)) == record.cid


def test_its_content_is_erased_from_the_store_and_no_others_is(gateway: Gateway, world: World) -> None:
    gone, stays = deposited(gateway, world).records
    for record in (gone, stays):
        stored(gateway, world, record)
    assert retract.retract(gateway, made(world, gone.id), hospital(world))["erased"]
    assert (gateway.content.has(gone.cid), gateway.content.has(stays.cid)) == (False, True)


def test_a_content_that_another_record_has_too_is_not_erased_with_one_of_them(gateway: Gateway, world: World) -> None:
    gone, stays = deposited(gateway, world).records
    stored(gateway, world, gone)
    twin = replace(stays, cid=gone.cid)
    gateway.store.add_deposit(PendingDeposit(b"\7" * 32, hospital(world), (twin,), {"0x01": {}}, {}))
    retract.retract(gateway, made(world, gone.id), hospital(world))
    assert gateway.content.has(gone.cid)
    gateway.retractions.add(replace(gateway.retractions.find(gone.id), record=twin.id, erased=False))  # type: ignore[type-var]
    retract.retry_retractions(gateway)
    assert not gateway.content.has(gone.cid)


def test_a_content_is_erased_once_the_store_answers_again(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = deposited(gateway, world).records[0]
    stored(gateway, world, gone)
    with monkeypatch.context() as patch:
        patch.setattr(gateway.content, "remove", Mock(side_effect=UnavailableError("the store does not answer")))
        answer = retract.retract(gateway, made(world, gone.id), hospital(world))
    assert (answer["acknowledged"], answer["erased"]) == (True, False)
    assert [kept.record for kept in gateway.retractions.pending()] == [gone.id]
    retract.retry_retractions(gateway)
    assert gateway.retractions.pending() == []
    assert not gateway.content.has(gone.cid)


@pytest.mark.parametrize("down", [[1], [0, 1, 2]])
def test_it_is_listed_no_more_at_once_and_retried_until_every_server_has_it(
    gateway: Gateway, world: World, down: list[int]
) -> None:
    gone, stays = (record.id for record in deposited(gateway, world).records)
    for number in down:
        world.peers[number].fault = "down"
    answer = retract.retract(gateway, made(world, gone), hospital(world))
    assert not answer["acknowledged"]
    assert answer["waiting"] == {world.peers[number].address: "UNAVAILABLE" for number in down}
    assert ids(gateway) == {stays}
    retract.retry_retractions(gateway)
    assert len(gateway.retractions.pending()) == 1
    for number in down:
        world.peers[number].fault = None
    retract.retry_retractions(gateway)
    assert gateway.retractions.pending() == []
    for peer in world.peers:
        with pytest.raises(CorruptError):
            peer.server.store.shares([gone])


def test_a_record_whose_deposit_is_on_its_way_is_retracted_when_it_arrives(gateway: Gateway, world: World) -> None:
    batch, late = world.batch(), world.peers[1]
    late.fault = "down"
    forward.deposit(gateway, batch.to_json(), hospital(world))
    late.fault = None
    gone = batch.records[0].id
    answer = retract.retract(gateway, made(world, gone), hospital(world))
    assert answer["waiting"] == {late.address: "NOT_FOUND"}
    forward.retry_deposits(gateway)
    retract.retry_retractions(gateway)
    assert gateway.retractions.pending() == []
    assert ids(gateway) == {batch.records[1].id}


def test_the_same_again_asks_nobody_and_another_successor_is_a_conflict(gateway: Gateway, world: World) -> None:
    gone, stays = (record.id for record in deposited(gateway, world).records)
    first = retract.retract(gateway, made(world, gone), hospital(world))
    before = [len(peer.asked) for peer in world.peers]
    assert retract.retract(gateway, made(world, gone), hospital(world)) == first
    assert [len(peer.asked) for peer in world.peers] == before
    with pytest.raises(ConflictError):
        retract.retract(gateway, made(world, gone, stays), hospital(world))


def test_a_successor_must_be_known_here(gateway: Gateway, world: World) -> None:
    old, new = (record.id for record in deposited(gateway, world).records)
    with pytest.raises(NotFoundError) as caught:
        retract.retract(gateway, made(world, old, b"\1" * 32), hospital(world))
    assert caught.value.field == "successor"
    assert ids(gateway) == {old, new}
    answer = retract.retract(gateway, made(world, old, new), hospital(world))
    assert {one["receipt"]["successor"] for one in answer["receipts"].values()} == {hexed(new)}
    with pytest.raises(NotFoundError):  # what was retracted supersedes nothing
        retract.retract(gateway, made(world, new, old), hospital(world))


def test_nobody_but_who_may_deposit_can_retract(gateway: Gateway, world: World) -> None:
    records = {record.id for record in deposited(gateway, world).records}
    gone, stranger = min(records), WalletKey()
    attempts = [
        (made(world, gone), stranger.address.lower(), NotFoundError),
        (made(world, gone, by=stranger), hospital(world), SignatureRefused),
        (made(world, b"\1" * 32), hospital(world), NotFoundError),
        (
            client_retract.retract(DOMAIN, stranger, Retract(stranger.address, gone, bytes(32), NOW)).to_json(),
            stranger.address.lower(),
            NotFoundError,
        ),
    ]
    for request, who, kind in attempts:
        with pytest.raises(kind):
            retract.retract(gateway, request, who)
    assert ids(gateway) == records
    assert [peer.asked.count("retract") for peer in world.peers] == [0, 0, 0]


@pytest.mark.parametrize("field", ["retract", "signature", "more"])
def test_nonsense_is_malformed(gateway: Gateway, world: World, field: str) -> None:
    request = {**made(world, b"\1" * 32), field: 7}
    with pytest.raises(MalformedError):
        retract.retract(gateway, request, hospital(world))


@pytest.mark.parametrize("lie", ["record", "server", "successor"])
def test_a_server_that_acknowledges_something_else_has_not_acknowledged(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    gone = deposited(gateway, world).records[0].id
    liar = world.peers[0]
    honest = type(liar).retract

    def lying(peer: Any, request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = dict(honest(peer, request))
        if peer is liar:
            receipt = {**answer["receipt"], lie: "0x" + "77" * 32}
            signature = hexed(peer.server.sign(b"consentum/retraction-receipt/1\n", receipt))
            answer = {"receipt": receipt, "signature": signature}
        return answer

    monkeypatch.setattr(type(liar), "retract", lying)
    answer = retract.retract(gateway, made(world, gone), hospital(world))
    assert answer["waiting"] == {liar.address: "CORRUPT"}


def test_the_route_needs_a_session(client: TestClient, world: World) -> None:
    answer = client.post("/v1/retractions", json=made(world, b"\1" * 32))
    assert (answer.status_code, answer.json()["code"]) == (403, "SIGNATURE")


def test_an_id_that_is_none_is_not_signed(world: World) -> None:
    for record, successor in ((b"\1" * 31, None), (b"\1" * 32, b"\2"), (b"\1" * 32, b"\1" * 32)):
        with pytest.raises(MalformedError):
            made(world, record, successor)


def test_a_receipt_about_another_record_is_none(gateway: Gateway, world: World) -> None:
    gone = deposited(gateway, world).records[0].id
    request = Retraction.parse(made(world, gone))
    answer = retract.retract(gateway, request.to_json(), hospital(world))
    peer = world.peers[0]
    key = peer.server.checkpoint_key.public_key().public_bytes_raw()
    other = replace(request, retract=replace(request.retract, record=b"\1" * 32))
    with pytest.raises(CorruptError):
        client_retract.verify_receipt(other.retract, peer.address, key, answer["receipts"][peer.address])
