# SPDX-License-Identifier: Apache-2.0
"""Relay: revocations first, in batches that fit, and nothing is given up that might still be mined."""

from __future__ import annotations

import pytest

from consentum.crypto import typed
from consentum.domain.messages import Freeze, RevokeAll
from consentum.domain.parsing import hexed
from consentum.errors import (
    ConsentumError,
    RevertedError,
    UnavailableError,
)
from consentum.flow import batches
from consentum.flow.gateway import relay
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from consentum.ports.gateway_store import Relayed
from consentum.ports.transactions import Call
from tests.unit.client.world import DOMAIN, NOW, World
from tests.unit.gateway.messages import grant_body, granted, notice_body, revocation
from tests.unit.gateway.sender import MiningSender


def test_what_is_mined_is_marked_and_sent_no_more(gateway: Gateway, world: World, sender: MiningSender) -> None:
    granted(gateway, world)
    relay.revoke(gateway, revocation(world.alice))
    for message in (RevokeAll(world.alice.address.lower(), NOW), Freeze(world.alice.address.lower(), NOW + 9)):
        relay.revoke(gateway, notice_body(message, world.alice))
    relay.relay_once(gateway, 100)
    assert gateway.store.queued(9) == []
    relay.relay_once(gateway, 100)
    assert sender.functions == ["freeze", "revokeAll", "revokeBatch", "grantBatch"]  # revocations first


def test_a_revocation_waits_for_no_grant_even_if_the_grants_fail(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    granted(gateway, world)
    relay.revoke(gateway, revocation(world.alice))
    sender.fail = lambda call: UnavailableError() if call.function == "grantBatch" else None
    with pytest.raises(UnavailableError):
        relay.relay_once(gateway, 100)
    assert [message.kind for message in gateway.store.queued(9)] == ["Consent"]


def flood(gateway: Gateway, world: World, count: int) -> None:
    for n in range(count):
        commitment = n.to_bytes(32, "big")
        signature = world.bob.sign(typed.digest_of_hash(DOMAIN, commitment))
        message = Relayed(commitment, "Consent", world.bob.address.lower(), hexed(commitment), signature, "queued")
        gateway.store.enqueue(message)


def test_a_revocation_overtakes_any_number_of_grants(gateway: Gateway, world: World, sender: MiningSender) -> None:
    flood(gateway, world, 30)
    relay.revoke(gateway, revocation(world.alice))
    sender.skip = lambda commitment: commitment != b"\1" * 32  # grants that are never done, and still signed validly
    for _ in range(5):
        relay.relay_once(gateway, 2)
    assert "revokeBatch" in sender.functions


def test_batches_hold_no_more_than_was_asked_and_stay_under_the_gas_of_a_block(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    flood(gateway, world, 25)
    relay.relay_once(gateway, 10)
    assert [len(call.args[0]) for call in sender.sent] == [10, 10, 5]
    assert all(call.gas is not None and call.gas <= batches.MAX_BATCH_GAS for call in sender.sent)


@pytest.mark.parametrize("kind", [1, 2])
def test_signatures_that_cost_more_go_in_smaller_batches(
    gateway: Gateway, world: World, sender: MiningSender, kind: int
) -> None:
    for n in range(100):
        signature = bytes([kind]) + bytes(200)
        message = Relayed(n.to_bytes(32, "big"), "Consent", "0x" + "aa" * 20, f"0x{n:064x}", signature, "queued")
        gateway.store.enqueue(message)
    relay.relay_once(gateway, 100)
    assert sum(len(call.args[0]) for call in sender.sent) == 100
    assert all(call.gas is not None and call.gas <= batches.MAX_BATCH_GAS for call in sender.sent)
    assert max(len(call.args[0]) for call in sender.sent) == 39


# What does not get through


@pytest.mark.parametrize("error", [UnavailableError(), ConsentumError("nonce too low")])
@pytest.mark.parametrize("function", ["grantBatch", "revokeBatch", "freeze"])
def test_what_the_node_did_not_send_is_tried_again(
    gateway: Gateway, world: World, sender: MiningSender, error: Exception, function: str
) -> None:
    granted(gateway, world)
    relay.revoke(gateway, revocation(world.alice))
    relay.revoke(gateway, notice_body(Freeze(world.alice.address.lower(), NOW + 9), world.alice))
    sender.fail = lambda call: error if call.function == function else None
    with pytest.raises(ConsentumError):
        relay.relay_once(gateway, 100)
    assert gateway.store.queued(9) != []
    sender.fail = lambda call: None
    relay.relay_once(gateway, 100)
    assert gateway.store.queued(9) == []
    assert function in sender.functions


def test_only_what_the_contract_refuses_is_refused(gateway: Gateway, world: World, sender: MiningSender) -> None:
    def fail(call: Call) -> Exception | None:
        return RevertedError() if call.function == "freeze" else None

    freeze = relay.revoke(gateway, notice_body(Freeze(world.alice.address.lower(), NOW + 9), world.alice))
    other = relay.revoke(gateway, revocation(world.alice))
    sender.fail = fail
    relay.relay_once(gateway, 100)
    states = [gateway.store.relayed(bytes.fromhex(one["id"][2:])).state for one in (freeze, other)]
    assert states == ["refused", "mined"]


def test_an_item_the_batch_passed_over_is_tried_again_while_its_signer_may(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    passed, mined = (typed.struct_hash(granted(gateway, world)) for _ in range(2))
    sender.skip = lambda commitment: commitment == passed
    relay.relay_once(gateway, 100)
    assert [message.value for message in gateway.store.queued(9)] == [hexed(passed)]
    sender.skip = lambda commitment: False
    relay.relay_once(gateway, 100)
    assert gateway.store.queued(9) == []
    assert mined != passed


@pytest.mark.parametrize("what", ["grant", "revocation"])
def test_an_item_the_batch_passed_over_is_refused_once_its_signer_may_not(
    gateway: Gateway, world: World, sender: MiningSender, what: str
) -> None:
    held = (world.alice.address.lower(), Roles.CONSENT, world.bob.address.lower())
    world.ledger.delegates.add(held)
    if what == "grant":
        relay.grant(gateway, grant_body(world.consent(world.alice), world.bob))
    else:
        relay.revoke(gateway, revocation(world.alice, signer=world.bob))
    [queued] = gateway.store.queued(9)
    world.ledger.delegates.remove(held)
    sender.skip = lambda commitment: True
    relay.relay_once(gateway, 100)
    assert gateway.store.relayed(queued.id).state == "refused"


def test_a_grant_that_was_revoked_meanwhile_is_done(gateway: Gateway, world: World, sender: MiningSender) -> None:
    consent = granted(gateway, world)
    world.revoked(consent)
    sender.skip = lambda commitment: True
    relay.relay_once(gateway, 100)
    assert gateway.store.queued(9) == []


def test_an_item_that_is_passed_over_again_and_again_is_given_up(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    granted(gateway, world)
    sender.skip = lambda commitment: True
    for _ in range(50):
        relay.relay_once(gateway, 100)
    assert len(sender.sent) < 50
