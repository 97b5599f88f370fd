# SPDX-License-Identifier: Apache-2.0
"""Forged notices and key servers that sign nonsense: neither may stand in anybody's way."""

from __future__ import annotations

import httpx
import pytest

from consentum.domain.journal import DEPOSIT_CONTEXT
from consentum.domain.parsing import hexed
from consentum.flow.gateway import forward, relay
from consentum.flow.gateway.gateway import Gateway
from consentum.wiring.gateway import KeyServers
from tests.unit.client.world import World
from tests.unit.gateway.messages import revocation
from tests.unit.gateway.sender import MiningSender


def test_a_forged_notice_sent_while_the_node_is_down_does_not_shadow_the_real_one(
    gateway: Gateway, world: World, sender: MiningSender
) -> None:
    world.ledger.down = True
    relay.revoke(gateway, revocation(world.alice, signer=world.bob))
    world.ledger.down = False
    real = revocation(world.alice)
    relay.revoke(gateway, real)
    relay.relay_once(gateway, 100)
    relayed = [item for call in sender.sent for item in call.args[0]]
    assert real["signature"] in [hexed(signature) for _, _, signature in relayed]


def test_a_server_that_signs_a_text_for_a_receipt_is_waited_for_like_one_that_is_down(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, kind, liar = world.batch(), type(world.peers[0]), world.peers[0].address
    honest = kind.deposit

    def deposit(peer, request):  # type: ignore[no-untyped-def]
        if peer.address != liar:
            return honest(peer, request)
        return {"receipt": "x", "signature": hexed(peer.server.checkpoint_key.sign(DEPOSIT_CONTEXT + b'"x"'))}

    monkeypatch.setattr(kind, "deposit", deposit)
    answer = forward.deposit(gateway, batch.to_json(), world.hospital.address.lower())
    assert (answer["acknowledged"], answer["waiting"]) == (False, [liar])


@pytest.mark.parametrize("content", [b"{}", b'{"address": null}', b'{"address": "none"}'])
def test_a_server_that_does_not_say_who_it_is_leaves_the_others_reachable(content: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        honest = b'{"address": "0x%s"}' % (b"22" * 20)
        return httpx.Response(200, content=content if request.url.host == "liar" else honest)

    servers = KeyServers(["http://liar", "http://honest"])
    for endpoint, client in servers._clients.items():
        client._client = httpx.Client(transport=httpx.MockTransport(answer), base_url=endpoint)
    assert [peer.address for peer in servers()] == ["0x" + "22" * 20]
