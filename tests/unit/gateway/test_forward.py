# SPDX-License-Identifier: Apache-2.0
"""Forward: a runner's pages go to the key servers, with the openings attached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from consentum.crypto.signing import WalletKey
from consentum.errors import (
    MalformedError,
    NotFoundError,
    Reason,
    RefusedError,
)
from consentum.flow.client import collect
from consentum.flow.client.collect import Member
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway import forward
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import ReleaseRequest
from tests.unit.client.world import DEADLINE, World, must_open
from tests.unit.gateway.messages import granted


def hospital(world: World) -> str:
    return world.hospital.address.lower()


def deposited(gateway: Gateway, world: World) -> Batch:
    batch = world.batch()
    assert forward.deposit(gateway, batch.to_json(), hospital(world))["acknowledged"]
    return batch


def consenting(gateway: Gateway, world: World) -> None:
    for who in (world.alice, world.bob):
        world.granted(granted(gateway, world, who))


def page(world: World, batch: Batch) -> dict[str, Any]:
    """A signed page as a runner sends it to the gateway, without openings."""
    request = collect.sign_release(world.collector(), [r.id for r in batch.records], DEADLINE)
    return {key: value for key, value in request.to_json().items() if key != "openings"}


def released(gateway: Gateway, world: World, body: Any, server: Any = None, who: WalletKey | None = None) -> Any:
    to = world.peers[0].address if server is None else server
    return forward.release(gateway, {"server": to, "request": body}, (who or world.runner).address.lower())


# Releases


@dataclass
class ThroughGateway:
    """A key server as a runner reaches it."""

    gateway: Gateway
    address: str
    who: str

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = {key: value for key, value in request.items() if key != "openings"}
        return forward.release(self.gateway, {"server": self.address, "request": plain}, self.who)


def test_a_job_gets_its_keys_through_the_gateway_which_attaches_the_openings(gateway: Gateway, world: World) -> None:
    batch = deposited(gateway, world)
    consenting(gateway, world)
    collector = world.collector()
    who = world.runner.address.lower()
    members = [
        Member(m.index, m.checkpoint_key, ThroughGateway(gateway, m.peer.address, who))  # type: ignore[arg-type]
        for m in collector.members
    ]
    ids = [record.id for record in batch.records]
    must_open(world, batch, collect.collect(replace(collector, members=members), ids, DEADLINE))


def test_the_openings_of_a_page_are_looked_up_once_for_all_servers(gateway: Gateway, world: World) -> None:
    batch = deposited(gateway, world)
    consenting(gateway, world)
    body = page(world, batch)
    before = world.ledger.reviews
    seen = [released(gateway, world, body, peer.address) for peer in world.peers]
    checks = 2 * len(world.peers)  # each server's own, at two blocks
    assert world.ledger.reviews - before == checks + 1
    assert {answer["receipt"]["counts"]["ALLOWED"] for answer in seen} == {2}


@pytest.mark.parametrize("who", ["researcher", "alice", "hospital"])
def test_nobody_but_the_jobs_runner_is_forwarded(gateway: Gateway, world: World, who: str) -> None:
    body = page(world, deposited(gateway, world))
    with pytest.raises(NotFoundError):
        released(gateway, world, body, who=getattr(world, who))
    assert not any("release" in peer.asked for peer in world.peers)


@pytest.mark.parametrize("server", ["0x" + "77" * 20, "http://127.0.0.1:1", "", None, 7, [], {}])
def test_nothing_is_sent_to_a_server_that_is_not_in_the_settings(gateway: Gateway, world: World, server: Any) -> None:
    body = page(world, deposited(gateway, world))
    who = world.runner.address.lower()
    with pytest.raises((NotFoundError, MalformedError)):
        forward.release(gateway, {"server": server, "request": body}, who)
    assert not any("release" in peer.asked for peer in world.peers)


@pytest.mark.parametrize("field", [key for key in ReleaseRequest.KEYS if key != "openings"])
@pytest.mark.parametrize("value", [None, 7, [], "0x00", {"more": 1}])
def test_a_page_of_another_form_is_malformed_and_not_forwarded(
    gateway: Gateway, world: World, field: str, value: Any
) -> None:
    body = page(world, deposited(gateway, world))
    with pytest.raises(MalformedError):
        released(gateway, world, {**body, field: value})
    assert not any("release" in peer.asked for peer in world.peers)


def test_a_runner_does_not_bring_openings_of_its_own(gateway: Gateway, world: World) -> None:
    body = page(world, deposited(gateway, world))
    with pytest.raises(MalformedError):
        released(gateway, world, {**body, "openings": [None, None]})


def test_what_a_server_refuses_comes_back_as_it_was_said(gateway: Gateway, world: World) -> None:
    body = page(world, deposited(gateway, world))
    world.peers[0].server.behind_anchor = True
    with pytest.raises(RefusedError) as caught:
        released(gateway, world, body)
    assert caught.value.reason == Reason.BEHIND_ANCHOR
