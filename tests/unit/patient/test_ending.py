# SPDX-License-Identifier: Apache-2.0
"""Ending consent: to the gateway and straight to every key server; only a verified receipt counts."""

from __future__ import annotations

import pytest

from consentum.crypto import typed
from consentum.domain.messages import Consent
from consentum.errors import MalformedError, SignatureRefused, UnavailableError
from consentum.flow.client.notices import HOLDS, UNJUDGED, UNVERIFIED
from consentum.ports.chain import Roles
from consentum.sdk import ending
from tests.unit.client.world import NOW
from tests.unit.gateway.messages import granted
from tests.unit.patient.conftest import Home


def consent(home: Home) -> Consent:
    return home.world.granted(granted(home.gateway, home.world))


def held(home: Home) -> list[int]:
    subject = home.world.alice.address.lower()
    return [len(peer.server.store.notices([subject]).get(subject, [])) for peer in home.world.peers]


def test_a_revocation_is_held_by_every_server_and_queued_for_the_chain(home: Home) -> None:
    told = ending.revoke(home, typed.struct_hash(consent(home)))
    assert told.gateway == "queued"
    assert list(told.servers.values()) == [HOLDS] * 3
    assert (told.holding, held(home)) == (3, [1, 1, 1])


@pytest.mark.parametrize("act", [ending.stop, lambda h: ending.freeze(h, 30)])
def test_with_the_gateway_down_the_servers_hold_it_all_the_same(home: Home, act: object) -> None:
    home.down = True
    told = act(home)  # type: ignore[operator]
    assert told.gateway == "UNAVAILABLE"
    assert (told.holding, held(home)) == (3, [1, 1, 1])


def test_a_server_that_is_down_is_named_and_not_counted(home: Home) -> None:
    home.world.peers[1].fault = "down"
    told = ending.stop(home)
    assert told.servers[home.world.peers[1].address] == "UNAVAILABLE"
    assert told.holding == 2


def test_a_receipt_by_another_key_does_not_count(home: Home) -> None:
    first, second = home.world.peers[0].address, home.world.peers[1].address
    home.world.ledger.keys[first] = home.world.ledger.keys[second]
    told = ending.stop(home)
    assert told.servers[first] == "CORRUPT"
    assert told.holding == 2


def test_while_the_chain_does_not_answer_nothing_is_called_verified(home: Home) -> None:
    home.world.ledger.down = True
    told = ending.stop(home)
    assert set(told.servers.values()) == {UNVERIFIED}
    assert told.holding == 0
    assert held(home) == [1, 1, 1]


def test_nobody_taking_it_is_an_error(home: Home) -> None:
    home.down = True
    for peer in home.world.peers:
        peer.fault = "down"
    with pytest.raises(UnavailableError):
        ending.stop(home)


def test_what_nobody_entitled_signed_is_refused_everywhere(home: Home) -> None:
    with pytest.raises(SignatureRefused):
        ending.stop(home, home.world.bob.address.lower())
    assert held(home) == [0, 0, 0]


def test_a_guardian_ends_and_freezes_for_her_ward(home: Home) -> None:
    bob = home.world.bob.address.lower()
    home.world.ledger.delegates.add((bob, Roles.GUARDIAN, home.world.alice.address.lower()))
    assert ending.stop(home, bob).holding == 3
    assert ending.freeze(home, 7, bob).holding == 3


@pytest.mark.parametrize("days", [0, 31, -1])
def test_a_freeze_lasts_one_to_thirty_days(home: Home, days: int) -> None:
    with pytest.raises(MalformedError):
        ending.freeze(home, days)
    assert held(home) == [0, 0, 0]


def test_a_stop_is_dated_by_the_chain(home: Home) -> None:
    ending.stop(home)
    subject = home.world.alice.address.lower()
    [notice] = home.world.peers[0].server.store.notices([subject])[subject]
    assert (notice.kind, notice.until) == ("RevokeAll", NOW)


def test_a_notice_that_no_node_could_judge_is_held_unjudged(home: Home) -> None:
    peer = home.world.peers[0]
    peer.server.ledger = _Down()  # type: ignore[assignment]
    told = ending.stop(home)
    assert told.servers[peer.address] == UNJUDGED
    assert told.holding == 3


class _Down:
    def __getattr__(self, name: str) -> object:
        raise UnavailableError("the node does not answer")
