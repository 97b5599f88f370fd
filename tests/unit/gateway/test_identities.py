# SPDX-License-Identifier: Apache-2.0
"""Identity messages: the controller's own, in the order of her nonce, for those the gateway pays for."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import AddDelegate, CancelOwner, ProposeOwner, RevokeDelegate, SetRecovery
from consentum.errors import ConflictError, MalformedError, NotFoundError, NotSponsoredError, RevertedError
from consentum.errors import SignatureRefused as Refused
from consentum.flow.gateway import identities, relay
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles
from consentum.ports.registries import IdentityFacts
from tests.unit.client.world import NOW, World
from tests.unit.gateway.messages import revocation
from tests.unit.gateway.routes import problem
from tests.unit.gateway.sender import MiningSender

KIND = b"guardian".ljust(32, b"\0")
OTHER = "0x" + "99" * 20


def body(gateway: Gateway, message: Any, signer: WalletKey) -> dict[str, Any]:
    signature = signer.sign(typed.digest(gateway.registries.did_domain, message))
    return {"kind": type(message).__name__, "message": typed.to_json(message), "signature": hexed(signature)}


def naming(who: WalletKey, nonce: int = 0) -> AddDelegate:
    return AddDelegate(who.address.lower(), KIND, OTHER, 1_000, nonce)


def stands(gateway: Gateway, who: WalletKey, nonce: int = 0, pending: int = 0, threshold: int = 0) -> None:
    address, successor = who.address.lower(), OTHER if pending else None
    facts = IdentityFacts(address, nonce, threshold, successor, pending)
    gateway.registries.identities[address] = facts  # type: ignore[attr-defined]


def test_every_kind_becomes_the_call_of_its_name(gateway: Gateway, world: World, sender: MiningSender) -> None:
    alice = world.alice.address.lower()
    made = [
        naming(world.alice),
        RevokeDelegate(alice, KIND, OTHER, 1),
        SetRecovery(alice, 2, 2),
        ProposeOwner(alice, OTHER, 3),
        CancelOwner(alice, 4),
    ]
    for message in reversed(made):
        assert identities.submit(gateway, body(gateway, message, world.alice))["state"] == "queued"
    for nonce in range(5):
        stands(gateway, world.alice, nonce)
        relay.relay_once(gateway, 100)
    assert sender.functions == ["addDelegate", "revokeDelegate", "setRecovery", "proposeOwner", "cancelOwner"]
    assert [call.args[:-1] for call in sender.sent] == [
        (alice, KIND, OTHER, 1_000),
        (alice, KIND, OTHER),
        (alice, 2),
        (alice, OTHER),
        (alice,),
    ]
    assert gateway.store.queued(9) == []


def test_a_message_of_somebody_else_is_refused(gateway: Gateway, world: World) -> None:
    with pytest.raises(Refused):
        identities.submit(gateway, body(gateway, naming(world.alice), world.bob))
    world.ledger.delegates.add((world.alice.address.lower(), Roles.CONSENT, world.bob.address.lower()))
    with pytest.raises(Refused):
        identities.submit(gateway, body(gateway, naming(world.alice), world.bob))
    assert gateway.store.queued(9) == []


def test_a_stranger_is_not_paid_for(gateway: Gateway, world: World) -> None:
    with pytest.raises(NotSponsoredError):
        identities.submit(gateway, body(gateway, naming(world.researcher), world.researcher))
    assert gateway.store.queued(9) == []


def test_a_spent_nonce_and_one_far_ahead_are_refused(gateway: Gateway, world: World) -> None:
    stands(gateway, world.alice, nonce=3)
    with pytest.raises(ConflictError, match="next is 3"):
        identities.submit(gateway, body(gateway, naming(world.alice, 2), world.alice))
    with pytest.raises(MalformedError):
        identities.submit(gateway, body(gateway, naming(world.alice, 3 + identities.MAX_AHEAD), world.alice))


@pytest.mark.parametrize("kind", ["Consent", "Revoke", "SetAttribute", "Propose", "", None, 3, ["AddDelegate"]])
def test_another_kind_is_malformed(gateway: Gateway, world: World, kind: Any) -> None:
    with pytest.raises(MalformedError):
        identities.submit(gateway, {**body(gateway, naming(world.alice), world.alice), "kind": kind})


def test_what_was_mined_before_a_crash_is_not_sent_twice(gateway: Gateway, world: World, sender: MiningSender) -> None:
    told = identities.submit(gateway, body(gateway, naming(world.alice), world.alice))
    relay.relay_once(gateway, 100)
    gateway.store.mark([bytes.fromhex(told["id"][2:])], "queued")  # the process died before it noted it
    stands(gateway, world.alice, nonce=1)
    relay.relay_once(gateway, 100)
    assert len(sender.sent) == 1
    assert identities.relayed(gateway, told["id"])["state"] == "mined"


def test_what_another_message_overtook_is_refused(gateway: Gateway, world: World, sender: MiningSender) -> None:
    told = identities.submit(gateway, body(gateway, naming(world.alice), world.alice))
    stands(gateway, world.alice, nonce=1)
    relay.relay_once(gateway, 100)
    assert sender.sent == []
    assert identities.relayed(gateway, told["id"]) == {**told, "kind": "AddDelegate", "state": "refused"}


def test_what_the_contract_refuses_is_refused_and_holds_up_nobody_else(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    hers = identities.submit(gateway, body(gateway, naming(world.alice), world.alice))
    his = identities.submit(gateway, body(gateway, naming(world.bob), world.bob))
    sender.fail = lambda call: RevertedError("Frozen") if call.args[0] == world.alice.address.lower() else None
    relay.relay_once(gateway, 100)
    assert [identities.relayed(gateway, one["id"])["state"] for one in (hers, his)] == ["refused", "mined"]


def test_a_message_nobody_queued_is_not_found(gateway: Gateway) -> None:
    with pytest.raises(NotFoundError):
        identities.relayed(gateway, "0x" + "00" * 32)


# Recovery


def recovery(gateway: Gateway, world: World, *voters: WalletKey, nonce: int = 0) -> dict[str, Any]:
    message = ProposeOwner(world.alice.address.lower(), OTHER, nonce)
    digest = typed.digest(gateway.registries.did_domain, message)
    votes = [{"member": voter.address, "signature": hexed(voter.sign(digest))} for voter in voters]
    return {"identity": world.alice.address, "newOwner": OTHER, "votes": votes}


def friends(world: World) -> list[WalletKey]:
    found = [WalletKey(), WalletKey()]
    for friend in found:
        world.ledger.delegates.add((world.alice.address.lower(), Roles.RECOVERY, friend.address.lower()))
    return found


def test_recovery_delegates_together_propose_an_owner(gateway: Gateway, world: World, sender: MiningSender) -> None:
    stands(gateway, world.alice, threshold=2)
    two = friends(world)
    assert identities.recover(gateway, recovery(gateway, world, *two))["state"] == "queued"
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    assert (call.function, call.args[:2]) == ("recoverOwner", (world.alice.address.lower(), OTHER))
    assert [member for member, _ in call.args[2]] == sorted(friend.address.lower() for friend in two)


def test_fewer_others_or_votes_over_another_nonce_do_not(gateway: Gateway, world: World) -> None:
    stands(gateway, world.alice, threshold=2)
    two = friends(world)
    with pytest.raises(MalformedError):
        identities.recover(gateway, recovery(gateway, world, two[0]))
    with pytest.raises(MalformedError):
        identities.recover(gateway, recovery(gateway, world, two[0], two[0]))
    with pytest.raises(Refused):
        identities.recover(gateway, recovery(gateway, world, two[0], world.bob))
    with pytest.raises(Refused):
        identities.recover(gateway, recovery(gateway, world, *two, nonce=1))
    assert gateway.store.queued(9) == []


def test_an_owner_change_is_finalized_once_it_is_due(gateway: Gateway, world: World, sender: MiningSender) -> None:
    her = {"identity": world.alice.address}
    with pytest.raises(NotFoundError):
        identities.finalize(gateway, her)
    stands(gateway, world.alice, pending=NOW + 1)
    with pytest.raises(ConflictError):
        identities.finalize(gateway, her)
    stands(gateway, world.alice, pending=NOW)
    identities.finalize(gateway, her)
    relay.relay_once(gateway, 100)
    assert sender.functions == ["finalizeOwner"]
    with pytest.raises(NotSponsoredError):
        identities.finalize(gateway, {"identity": world.researcher.address})


# Idempotency keys


def test_the_same_key_and_body_get_the_same_answer_and_another_body_is_refused(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    headers = {"Idempotency-Key": "key-1"}
    good = body(gateway, naming(world.alice), world.alice)
    first = client.post("/v1/identities", json=good, headers=headers).json()
    gateway.store.mark([bytes.fromhex(first["id"][2:])], "mined")
    assert client.post("/v1/identities", json=good, headers=headers).json() == first
    other = body(gateway, naming(world.alice, nonce=1), world.alice)
    told = problem(client.post("/v1/identities", json=other, headers=headers), 409, "IDEMPOTENCY")
    assert told["field"] == "Idempotency-Key"
    assert gateway.store.queued(9) == []


def test_a_revocation_sent_again_reaches_the_servers_that_missed_it_whatever_its_key(
    client: TestClient, gateway: Gateway, world: World
) -> None:
    headers = {"Idempotency-Key": "key-1"}
    for peer in world.peers:
        peer.fault = "down"
    assert client.post("/v1/revocations", json=revocation(world.alice), headers=headers).json()["servers"] == []
    for peer in world.peers:
        peer.fault = ""
    again = client.post("/v1/revocations", json=revocation(world.alice), headers=headers).json()
    assert len(again["servers"]) == 3
    assert len(gateway.store.queued(9)) == 1


def test_a_key_that_somebody_else_used_refuses_no_revocation(client: TestClient, world: World) -> None:
    headers = {"Idempotency-Key": "key-1"}
    assert client.post("/v1/revocations", json=revocation(world.bob), headers=headers).status_code == 200
    assert len(client.post("/v1/revocations", json=revocation(world.alice), headers=headers).json()["servers"]) == 3


def test_what_was_refused_under_a_key_can_be_sent_right(client: TestClient, gateway: Gateway, world: World) -> None:
    headers = {"Idempotency-Key": "key-2"}
    problem(client.post("/v1/identities", json={}, headers=headers), 400, "MALFORMED")
    good = body(gateway, naming(world.alice), world.alice)
    assert client.post("/v1/identities", json=good, headers=headers).status_code == 200


def test_one_key_may_serve_two_routes(client: TestClient, gateway: Gateway, world: World) -> None:
    headers = {"Idempotency-Key": "key-3"}
    good = body(gateway, naming(world.alice), world.alice)
    assert client.post("/v1/identities", json=good, headers=headers).status_code == 200
    assert client.post("/v1/revocations", json=revocation(world.alice), headers=headers).status_code == 200


@pytest.mark.parametrize("key", ["", "x" * 65, "a\tb", "\x7f"])
def test_a_key_that_is_none_is_malformed(client: TestClient, world: World, key: str) -> None:
    response = client.post("/v1/revocations", json=revocation(world.alice), headers={"Idempotency-Key": key})
    problem(response, 400, "MALFORMED")
