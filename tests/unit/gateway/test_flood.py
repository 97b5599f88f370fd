# SPDX-License-Identifier: Apache-2.0
"""A recognised patient floods the relayer with what ends something: it delays only her own, and loses nobody's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Enrol, Freeze, Message, Revoke, RevokeAll
from consentum.errors import RevertedError
from consentum.flow.gateway import relay
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Standing
from consentum.ports.enrolments import SignedEnrol
from consentum.ports.gateway_store import ENDINGS_AT_ONCE
from consentum.ports.transactions import Call
from tests.unit.client.world import NOW, World
from tests.unit.gateway.messages import granted, notice_body, revocation
from tests.unit.gateway.sender import MiningSender

ZERO = bytes(32)


def stops(gateway: Gateway, who: WalletKey, cutoffs: Sequence[int]) -> list[dict[str, Any]]:
    return [relay.revoke(gateway, notice_body(RevokeAll(who.address.lower(), cutoff), who)) for cutoff in cutoffs]


def unknown(gateway: Gateway, who: WalletKey, many: int) -> list[str]:
    """What the gateway says of revocations of what it never heard of."""
    messages = [Revoke(who.address.lower(), n.to_bytes(32, "big")) for n in range(1, many + 1)]
    return [relay.revoke(gateway, notice_body(message, who))["state"] for message in messages]


def state(gateway: Gateway, told: dict[str, Any]) -> str:
    return gateway.store.relayed(bytes.fromhex(told["id"][2:])).state


def sent_about(sender: MiningSender, who: WalletKey) -> list[Call]:
    return [call for call in sender.sent if call.args[0] == who.address.lower()]


def test_of_any_number_of_stops_only_the_furthest_goes_on_chain(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    told = stops(gateway, world.bob, range(NOW - 200, NOW))
    [hers] = stops(gateway, world.alice, [NOW])
    relay.relay_endings(gateway, 100)
    assert [call.args[1] for call in sent_about(sender, world.bob)] == [NOW - 1]
    assert [call.args[1] for call in sent_about(sender, world.alice)] == [NOW]
    assert {state(gateway, one) for one in (*told, hers)} == {"mined"}
    relay.relay_endings(gateway, 100)
    assert len(sender.sent) == 2


def test_a_stop_that_covers_others_and_is_refused_leaves_them_in_the_queue(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    near, far = stops(gateway, world.bob, [NOW - 5, NOW])
    sender.fail = lambda call: RevertedError("no") if call.args[1] == NOW else None
    relay.relay_endings(gateway, 100)
    assert (state(gateway, near), state(gateway, far)) == ("queued", "refused")
    relay.relay_endings(gateway, 100)
    assert state(gateway, near) == "mined"


def test_what_the_chain_says_already_costs_nothing_and_what_says_more_is_sent(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    subject = world.bob.address.lower()
    world.ledger.standing[subject, ZERO] = Standing(0, 0, NOW, NOW + 500)
    told = [relay.revoke(gateway, notice_body(Freeze(subject, NOW + 500), world.bob))]
    told += stops(gateway, world.bob, [NOW])
    relay.relay_endings(gateway, 100)
    assert sender.sent == []
    assert {state(gateway, one) for one in told} == {"mined"}
    relay.revoke(gateway, notice_body(Freeze(subject, NOW + 600), world.bob))
    stops(gateway, world.bob, [NOW + 1])
    relay.relay_endings(gateway, 100)
    assert sender.functions == ["freeze", "revokeAll"]


def test_a_flood_of_revocations_delays_nobody_elses(gateway: Gateway, world: World, sender: MiningSender) -> None:
    unknown(gateway, world.bob, 99)
    relay.revoke(gateway, revocation(world.alice))
    relay.relay_endings(gateway, 2)
    assert [subject for subject, _, _ in sender.sent[0].args[0]] == [
        world.bob.address.lower(),
        world.alice.address.lower(),
    ]
    relay.relay_endings(gateway, 100)
    assert len(sender.sent[-1].args[0]) <= ENDINGS_AT_ONCE


def test_what_nobody_heard_of_and_is_too_many_stays_with_the_servers(gateway: Gateway, world: World) -> None:
    """Held as notices there, they bind at once, and the servers put them on chain."""
    subject = world.bob.address.lower()
    told = unknown(gateway, world.bob, relay.MAX_UNKNOWN_WAITING + 3)
    assert told == ["queued"] * relay.MAX_UNKNOWN_WAITING + ["held"] * 3
    for peer in world.peers[:2]:
        assert len(peer.server.store.notices([subject])[subject]) == relay.MAX_UNKNOWN_WAITING + 3
    assert unknown(gateway, world.bob, 1) == ["queued"]  # known already: as it stands
    assert unknown(gateway, world.alice, 1) == ["queued"]
    relay.relay_endings(gateway, 100)
    assert unknown(gateway, world.bob, relay.MAX_UNKNOWN_WAITING + 1)[-1] == "queued"  # there is room again


@pytest.mark.parametrize("kind", ["consent", "enrolment", "stop", "freeze"])
def test_what_she_agreed_to_here_is_never_too_many(gateway: Gateway, world: World, kind: str) -> None:
    unknown(gateway, world.alice, relay.MAX_UNKNOWN_WAITING)
    subject = world.alice.address.lower()
    enrol = Enrol(subject, world.hospital.address.lower(), ZERO)
    gateway.enrolments.add(SignedEnrol(enrol, b"", True))
    makers: dict[str, Callable[[], Message]] = {
        "consent": lambda: Revoke(subject, typed.struct_hash(granted(gateway, world))),
        "enrolment": lambda: Revoke(subject, typed.struct_hash(enrol)),
        "stop": lambda: RevokeAll(subject, NOW),
        "freeze": lambda: Freeze(subject, NOW + 9),
    }
    assert relay.revoke(gateway, notice_body(makers[kind](), world.alice))["state"] == "queued"


def test_what_others_agreed_to_gives_her_no_room(gateway: Gateway, world: World) -> None:
    unknown(gateway, world.bob, relay.MAX_UNKNOWN_WAITING)
    enrol = Enrol(world.alice.address.lower(), world.hospital.address.lower(), ZERO)
    gateway.enrolments.add(SignedEnrol(enrol, b"", True))
    for commitment in (typed.struct_hash(granted(gateway, world)), typed.struct_hash(enrol)):
        told = relay.revoke(gateway, notice_body(Revoke(world.bob.address.lower(), commitment), world.bob))
        assert (told["state"], told["id"]) == ("held", None)
        assert len(told["servers"]) >= 2
