# SPDX-License-Identifier: Apache-2.0
"""Deposit, the custodian's side (D1 to D4): what is sealed to whom, and what is signed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consentum.crypto import envelope, merkle, sealing, sharing, typed
from consentum.crypto.signing import WalletKey
from consentum.errors import ConsentumError, CorruptError, MalformedError, SignatureRefused
from consentum.flow.client.deposit import Batch, Document, prepare, sealing_targets
from consentum.flow.wire import DepositRequest
from consentum.ports.chain import ServerKeys
from tests.unit.client.world import COMMITTEE, DOMAIN, LAB, NOW, World, recovered


def targets(world: World) -> list[object]:
    return list(sealing_targets(world.ledger, world.ledger.view().latest, world.committee, world.peers))


def column(world: World, batch: Batch, number: int) -> bytes:
    """What server `number` (from 0) finds in its message."""
    peer, request = world.peers[number], batch.requests[number][1]
    server = typed.address_bytes(peer.address)
    info = sealing.deposit_info(COMMITTEE, server, number + 1, batch.deposit.recordsRoot, request.epoch)
    return peer.server.sealing_keys[1].open(request.sealed, info)


# Whose keys (before D3)


def test_a_sealing_key_is_taken_if_the_chain_knows_it(world: World) -> None:
    assert len(targets(world)) == 3


@pytest.mark.parametrize("liar", [0, 2])
def test_a_sealing_key_that_the_chain_does_not_know_is_refused_by_name(world: World, liar: int) -> None:
    peer = world.peers[liar]
    peer.server = replace(peer.server, sealing_keys={1: sealing.SealingKey()})
    with pytest.raises(CorruptError, match=peer.server.address):
        targets(world)


def test_the_key_of_another_epoch_is_refused(world: World) -> None:
    peer = world.peers[1]
    known = world.ledger.keys[peer.address]
    world.ledger.keys[peer.address] = replace(known, epoch=2)
    with pytest.raises(CorruptError):
        targets(world)


def test_a_server_that_announced_nothing_is_refused(world: World) -> None:
    world.ledger.keys[world.peers[0].address] = ServerKeys(bytes(32), 0, "", bytes(32))
    with pytest.raises(CorruptError):
        targets(world)


def test_one_servers_key_does_not_pass_for_anothers(world: World) -> None:
    world.peers[0].server, world.peers[1].server = (
        replace(world.peers[0].server, sealing_keys=world.peers[1].server.sealing_keys),
        replace(world.peers[1].server, sealing_keys=world.peers[0].server.sealing_keys),
    )
    with pytest.raises(CorruptError):
        targets(world)


@pytest.mark.parametrize("key", [None, "0x", "0x00", 7, "0x" + "00" * 1_215])
def test_what_is_no_sealing_key_is_refused(world: World, monkeypatch: pytest.MonkeyPatch, key: object) -> None:
    about = {**world.peers[0].about(), "sealingKey": key}
    monkeypatch.setattr(type(world.peers[0]), "about", lambda _: about)
    with pytest.raises(MalformedError):
        targets(world)


def test_a_server_that_is_down_stops_the_batch(world: World) -> None:
    world.peers[2].fault = "down"
    with pytest.raises(ConsentumError):
        targets(world)


def test_a_member_without_a_peer_stops_the_batch(world: World) -> None:
    with pytest.raises(ConsentumError):
        sealing_targets(world.ledger, world.ledger.view().latest, world.committee, world.peers[:2])


# D1 and D2


def test_every_record_is_encrypted_under_a_key_of_its_own(world: World) -> None:
    batch = world.batch(*[world.alice] * 40)
    assert len({record.key_commitment for record in batch.records}) == 40
    assert len({record.salt for record in batch.records}) == 40
    assert len({record.id for record in batch.records}) == 40


def test_the_same_document_twice_is_two_records_that_nothing_links(world: World) -> None:
    same = [Document(world.alice.address, LAB, envelope.Header("a", "b"), b"content")] * 2
    first, second = prepare(world.custodian(), same, world.enrolments(), NOW).records
    assert first.cid != second.cid
    assert first.key_commitment != second.key_commitment


def test_what_is_stored_is_sealed_and_says_nothing(world: World) -> None:
    batch = world.batch()
    stored = world.depository.get_all([record.cid for record in batch.records])
    for raw in stored.values():
        assert b"json" not in raw
        assert b'{"n"' not in raw


def test_the_contents_are_stored_before_a_server_is_asked(world: World) -> None:
    batch = world.batch()
    assert {record.cid for record in batch.records} == set(world.depository.contents)
    assert not any("deposit" in peer.asked for peer in world.peers)


# D3


def test_two_of_three_columns_give_the_keys_and_one_says_nothing(world: World) -> None:
    batch = world.batch()
    columns = {number + 1: column(world, batch, number) for number in range(3)}
    for left_out in (1, 2, 3):
        keys = sharing.combine({n: c for n, c in columns.items() if n != left_out})
        for place, record in enumerate(batch.records):
            key = keys[32 * place : 32 * place + 32]
            assert envelope.key_commitment(key) == record.key_commitment
            assert envelope.open_(key, world.depository.contents[record.cid])[1] == b'{"n": %d}' % place
    assert len(set(columns.values())) == 3


@pytest.mark.parametrize(("message", "opener"), [(0, 1), (0, 2), (1, 0), (2, 1)])
def test_a_servers_message_opens_only_for_that_server(world: World, message: int, opener: int) -> None:
    batch = world.batch()
    request = batch.requests[message][1]
    for number in {message, opener}:
        server = typed.address_bytes(world.peers[number].address)
        info = sealing.deposit_info(COMMITTEE, server, number + 1, batch.deposit.recordsRoot, request.epoch)
        with pytest.raises(CorruptError):
            world.peers[opener].server.sealing_keys[1].open(request.sealed, info)


def test_a_message_is_bound_to_committee_index_batch_and_epoch(world: World) -> None:
    batch = world.batch()
    server, root = typed.address_bytes(world.peers[0].address), batch.deposit.recordsRoot
    key, sealed = world.peers[0].server.sealing_keys[1], batch.requests[0][1].sealed
    for info in (
        sealing.deposit_info(bytes(32), server, 1, root, 1),
        sealing.deposit_info(COMMITTEE, server, 2, root, 1),
        sealing.deposit_info(COMMITTEE, server, 1, bytes(32), 1),
        sealing.deposit_info(COMMITTEE, server, 1, root, 2),
    ):
        with pytest.raises(CorruptError):
            key.open(sealed, info)


def test_a_message_sent_to_another_server_is_refused_there(world: World) -> None:
    batch = world.batch()
    with pytest.raises(CorruptError):
        world.peers[1].deposit(batch.requests[0][1].to_json())
    assert not world.peers[1].server.store.has_deposit(batch.deposit.recordsRoot)


# D4


def test_one_signature_covers_every_record_in_order(world: World) -> None:
    batch = world.batch()
    deposit = batch.deposit
    assert deposit.recordsRoot == merkle.root_of([record.id for record in batch.records])
    assert (deposit.count, deposit.signedAt, deposit.committee) == (2, NOW, COMMITTEE)
    assert {request.signature for _, request in batch.requests} == {batch.requests[0][1].signature}
    who = recovered(typed.digest(DOMAIN, deposit), batch.requests[0][1].signature)
    assert who == world.hospital.address.lower() == deposit.custodian


def test_every_request_survives_the_wire_and_every_server_takes_its_own(world: World) -> None:
    batch = world.deposited()
    assert [server for server, _ in batch.requests] == list(world.committee.members)
    for server, request in batch.to_json()["requests"].items():
        assert DepositRequest.parse(request).to_json() == request
        assert server == server.lower()
    for peer in world.peers:
        assert peer.server.store.has_deposit(batch.deposit.recordsRoot)


def test_a_deposit_signed_by_a_stranger_is_refused_by_every_server(world: World) -> None:
    custodian = replace(world.custodian(), signer=WalletKey())
    documents = [Document(world.alice.address, LAB, envelope.Header("a", "b"), b"")]
    batch = prepare(custodian, documents, world.enrolments(), NOW)
    for peer, (_, request) in zip(world.peers, batch.requests, strict=True):
        with pytest.raises(SignatureRefused):
            peer.deposit(request.to_json())


@pytest.mark.parametrize("count", [0, 1_001])
def test_a_batch_of_none_or_too_many_is_refused_and_nothing_is_stored(world: World, count: int) -> None:
    documents = [Document(world.alice.address, LAB, envelope.Header("a", "b"), b"")] * count
    with pytest.raises(MalformedError):
        prepare(world.custodian(), documents, world.enrolments(), NOW)
    assert world.depository.contents == {}


def test_no_secret_shows_when_a_batch_is_printed(world: World) -> None:
    batch = world.batch()
    shown = repr(batch)
    for record, (_, request) in zip(batch.records, batch.requests, strict=False):
        assert repr(record.salt) not in shown
        assert repr(request.sealed)[:40] not in shown
