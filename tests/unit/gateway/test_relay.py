# SPDX-License-Identifier: Apache-2.0
"""Relay: what is validly signed is kept, sent on and mined; what is not leaves nothing behind."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.domain.messages import Freeze
from consentum.domain.parsing import hexed
from consentum.errors import (
    ConsentumError,
    MalformedError,
    NotFoundError,
    SignatureRefused,
)
from consentum.flow.gateway import relay
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from tests.unit.client.world import NOW, World
from tests.unit.gateway.messages import grant_body, notice_body, revocation

# Taking messages


def test_a_grant_is_queued_and_its_opening_kept(gateway: Gateway, world: World) -> None:
    consent = world.consent(world.alice)
    answer = relay.grant(gateway, grant_body(consent, world.alice))
    commitment = typed.struct_hash(consent)
    assert answer == {"commitment": hexed(commitment), "state": "queued"}
    assert gateway.store.opening(commitment) == consent
    [queued] = gateway.store.queued(9)
    assert (queued.kind, queued.subject, queued.value) == ("Consent", consent.subject, hexed(commitment))


def test_a_grant_sent_twice_is_one_message(gateway: Gateway, world: World) -> None:
    body = grant_body(world.consent(world.alice), world.alice)
    assert relay.grant(gateway, body) == relay.grant(gateway, body)
    assert len(gateway.store.queued(9)) == 1


def test_a_delegate_for_consents_may_grant_for_her(gateway: Gateway, world: World) -> None:
    world.ledger.delegates.add((world.alice.address.lower(), Roles.CONSENT, world.bob.address.lower()))
    relay.grant(gateway, grant_body(world.consent(world.alice), world.bob))
    assert len(gateway.store.queued(9)) == 1


@pytest.mark.parametrize("role", [None, Roles.GUARDIAN, Roles.RECOVERY, Roles.DEPOSIT, Roles.ASSERTION])
def test_a_grant_signed_by_anybody_else_is_refused_and_nothing_is_kept(
    gateway: Gateway, world: World, role: int | None
) -> None:
    if role is not None:
        world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    consent = world.consent(world.alice)
    with pytest.raises(SignatureRefused):
        relay.grant(gateway, grant_body(consent, world.bob))
    assert gateway.store.queued(9) == []
    with pytest.raises(NotFoundError):
        gateway.store.opening(typed.struct_hash(consent))


@pytest.mark.parametrize("field", ["purposes", "access", "salt", "expires", "subject"])
def test_a_signature_over_other_terms_is_refused(gateway: Gateway, world: World, field: str) -> None:
    body = grant_body(world.consent(world.alice), world.alice)
    other = typed.to_json(world.consent(world.bob))
    other.update(purposes=1, access=3, expires=1)
    body["consent"] = {**body["consent"], field: other[field]}
    with pytest.raises(SignatureRefused):
        relay.grant(gateway, body)
    assert gateway.store.queued(9) == []


@pytest.mark.parametrize(
    "change",
    [{"more": 1}, {"consent": None}, {"consent": {}}, {"signature": "0x"}, {"signature": 7}, {"signature": "0x09aa"}],
)
def test_a_grant_of_another_form_is_malformed(gateway: Gateway, world: World, change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        relay.grant(gateway, {**grant_body(world.consent(world.alice), world.alice), **change})


def test_an_address_has_one_spelling_so_that_an_opening_is_found_again(gateway: Gateway, world: World) -> None:
    body = grant_body(world.consent(world.alice), world.alice)
    subject = body["consent"]["subject"]
    body["consent"]["subject"] = f"{subject[:4]} {subject[4:]}"
    try:
        relay.grant(gateway, body)
    except MalformedError:
        return
    assert gateway.store.openings_of([subject]) != {}


def test_a_revocation_goes_to_every_server_and_into_the_queue(gateway: Gateway, world: World) -> None:
    answer = relay.revoke(gateway, revocation(world.alice))
    assert answer["state"] == "queued"
    assert set(answer["servers"]) == {peer.address for peer in world.peers}
    for peer in world.peers:
        [held] = peer.server.store.notices([world.alice.address.lower()])[world.alice.address.lower()]
        assert (held.kind, held.commitment, held.judged) == ("Revoke", b"\1" * 32, True)
    assert gateway.store.relayed(bytes.fromhex(answer["id"][2:])).kind == "Revoke"


@pytest.mark.parametrize("down", [[0], [1, 2], [0, 1, 2]])
def test_a_revocation_names_the_servers_that_took_it_and_no_other(
    gateway: Gateway, world: World, down: list[int]
) -> None:
    for number in down:
        world.peers[number].fault = "down"
    answer = relay.revoke(gateway, revocation(world.alice))
    assert set(answer["servers"]) == {peer.address for n, peer in enumerate(world.peers) if n not in down}
    assert answer["state"] == "queued"


def test_a_revocation_is_queued_even_if_no_server_is_known(gateway: Gateway, world: World) -> None:
    world.peers.clear()
    assert relay.revoke(gateway, revocation(world.alice))["servers"] == []
    assert len(gateway.store.queued(9)) == 1


@pytest.mark.parametrize("role", [None, Roles.RECOVERY, Roles.DEPOSIT, Roles.ASSERTION])
def test_a_revocation_signed_by_nobody_entitled_is_refused_and_told_to_nobody(
    gateway: Gateway, world: World, role: int | None
) -> None:
    if role is not None:
        world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    with pytest.raises(SignatureRefused):
        relay.revoke(gateway, revocation(world.alice, signer=world.bob))
    assert gateway.store.queued(9) == []
    assert not any(peer.asked for peer in world.peers)


@pytest.mark.parametrize("role", [Roles.CONSENT, Roles.GUARDIAN])
def test_a_delegate_or_a_guardian_may_revoke_for_her(gateway: Gateway, world: World, role: int) -> None:
    world.ledger.delegates.add((world.alice.address.lower(), role, world.bob.address.lower()))
    assert len(relay.revoke(gateway, revocation(world.alice, signer=world.bob))["servers"]) == 3


def test_a_freeze_is_the_guardians_and_not_the_delegates(gateway: Gateway, world: World) -> None:
    alice, bob = world.alice.address.lower(), world.bob.address.lower()
    message = Freeze(alice, NOW + 100)
    world.ledger.delegates.add((alice, Roles.CONSENT, bob))
    with pytest.raises(SignatureRefused):
        relay.revoke(gateway, notice_body(message, world.bob))
    world.ledger.delegates.add((alice, Roles.GUARDIAN, bob))
    assert len(relay.revoke(gateway, notice_body(message, world.bob))["servers"]) == 3


def test_a_revocation_reaches_the_servers_while_the_gateways_node_is_down(gateway: Gateway, world: World) -> None:
    world.ledger.down = True
    with suppress(ConsentumError):
        relay.revoke(gateway, revocation(world.alice))
    assert all("notice" in peer.asked for peer in world.peers)


def test_a_revocation_refused_for_one_signer_can_come_again_from_another(gateway: Gateway, world: World) -> None:
    relay.revoke(gateway, revocation(world.alice))
    gateway.store.mark([message.id for message in gateway.store.queued(9)], "refused")
    assert relay.revoke(gateway, revocation(world.alice))["state"] == "queued"
