# SPDX-License-Identifier: Apache-2.0
"""A gateway stands between runner and servers; whatever it changes, nothing is opened that should not be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.crypto.sealing import SealingKey
from consentum.domain.parsing import hexed
from consentum.errors import Reason, RefusedError
from consentum.flow.client.collect import Collector, Member
from consentum.flow.client.deposit import Batch
from tests.fakes.peers import FakeKeyServer
from tests.unit.client.world import DEADLINE, World, collected, must_open


@dataclass
class Meddling:
    """A gateway that changes what passes through it."""

    peer: FakeKeyServer
    ask: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body
    tell: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body

    @property
    def address(self) -> str:
        return self.peer.address

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return self.tell(dict(self.peer.release(self.ask(dict(request)))))


def through(world: World, **changes: Any) -> Collector:
    collector = world.collector()
    members = [Member(m.index, m.checkpoint_key, Meddling(m.peer, **changes)) for m in collector.members]  # type: ignore[arg-type]
    return replace(collector, members=members)


THEIRS = SealingKey()


def other_key(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "responseKey": hexed(THEIRS.public)}


def other_key_and_hash(body: dict[str, Any]) -> dict[str, Any]:
    return {**other_key(body), "release": {**body["release"], "responseKeyHash": hexed(keccak(THEIRS.public))}}


MEDDLED: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another response key": other_key,
    "another response key with its hash": other_key_and_hash,
    "records in another order": lambda body: {**body, "records": body["records"][::-1]},
    "a record left out": lambda body: {**body, "records": body["records"][:1], "openings": body["openings"][:1]},
    "a record twice": lambda body: {**body, "records": [body["records"][0]] * 2},
    "a later deadline": lambda body: {**body, "release": {**body["release"], "deadline": DEADLINE + 9}},
    "another requester": lambda body: {**body, "job": {**body["job"], "requester": "0x" + "66" * 20}},
}


@pytest.mark.parametrize("how", sorted(MEDDLED))
def test_a_gateway_that_changes_the_request_gets_nothing_opened(world: World, batch: Batch, how: str) -> None:
    with pytest.raises(RefusedError) as caught:
        collected(world, batch, through(world, ask=MEDDLED[how]))
    assert caught.value.reason == Reason.TOO_FEW_SHARES
    assert all(peer.server.store.journal_size() == 0 for peer in world.peers)


def test_a_gateway_that_drops_the_openings_gets_the_records_refused(world: World, batch: Batch) -> None:
    world.attach(batch)
    assert collected(world, batch).keys == ()


def test_a_gateway_that_mixes_up_the_openings_gets_the_records_refused(world: World, batch: Batch) -> None:
    ids = [record.id for record in batch.records]
    for peer in world.peers:
        peer.openings = {ids[0]: peer.openings[ids[1]], ids[1]: peer.openings[ids[0]]}
    assert collected(world, batch).keys == ()


def test_a_gateway_that_mixes_up_the_answers_gets_none_believed(world: World, batch: Batch) -> None:
    seen: list[dict[str, Any]] = []

    def first_of_all(answer: dict[str, Any]) -> dict[str, Any]:
        seen.append(answer)
        return seen[0]

    found = "1 of 2 servers answered"
    with pytest.raises(RefusedError, match=found):
        collected(world, batch, through(world, tell=first_of_all))


def test_a_gateway_that_replays_an_older_release_gets_none_believed(world: World, batch: Batch) -> None:
    older: dict[str, dict[str, Any]] = {}

    def keep(answer: dict[str, Any]) -> dict[str, Any]:
        return older.setdefault(answer["receipt"]["server"], answer)

    must_open(world, batch, collected(world, batch, through(world, tell=keep)))
    for peer in world.peers:
        older.setdefault(peer.address, {"receipt": {}, "signature": "0x", "sealed": "0x"})
    with pytest.raises(RefusedError, match="0 of 2 servers answered"):
        collected(world, batch, through(world, tell=keep))


def test_a_gateway_that_gives_one_servers_message_for_anothers_is_found_out(world: World, batch: Batch) -> None:
    collector = world.collector()
    swapped: dict[str, Any] = {}

    def swap(answer: dict[str, Any]) -> dict[str, Any]:
        other = swapped.get("sealed", answer["sealed"])
        swapped["sealed"] = answer["sealed"]
        return {**answer, "sealed": other}

    members = [Member(m.index, m.checkpoint_key, Meddling(m.peer, tell=swap)) for m in collector.members]  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="CORRUPT"):
        collected(world, batch, replace(collector, members=members))


def test_nobody_but_the_response_key_can_open_an_answer(world: World, batch: Batch) -> None:
    with pytest.raises(RefusedError, match="CORRUPT"):
        collected(world, batch, replace(world.collector(), response_key=_Lookalike(world.response, THEIRS)))


class _Lookalike(SealingKey):
    """Asks for answers to one key and tries to open them with another."""

    def __init__(self, asked: SealingKey, holder: SealingKey) -> None:
        super().__init__(holder.seed)
        self.public = asked.public
