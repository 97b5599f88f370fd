# SPDX-License-Identifier: Apache-2.0
"""Servers tell each other what they hold: each notice once, in order, from whoever has it; nobody is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Freeze, Revoke
from consentum.errors import CorruptError, MalformedError, Reason, RefusedError, UnavailableError
from consentum.flow.keyserver import notice, spread
from consentum.flow.wire import Notice
from tests.fakes.peers import FakeKeyServer
from tests.fakes.store import MemoryServerStore
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World, build_server


@pytest.fixture
def other(world: World) -> FakeKeyServer:
    """Another server of the same chain, with a store of its own."""
    made = build_server(world, world.server.sealing_keys[1], "0x" + "01" * 20)
    return FakeKeyServer(replace(made, store=MemoryServerStore()))


def some(world: World, count: int) -> list[Notice]:
    """Revocations by people of their own."""
    people = [WalletKey() for _ in range(count)]
    return [world.notice(Revoke(key.address.lower(), bytes([n]) * 32), key) for n, key in enumerate(people, 1)]


def held(server: Any) -> list[bytes]:
    return [arrival.notice.commitment for arrival in server.store.arrivals(0, 10_000)]


def waiting(world: World, *peers: FakeKeyServer) -> spread.Waiting:
    return spread.Waiting(world.server, 10.0, {peer.endpoint for peer in peers})


def fetched(world: World, peer: Any, wait: spread.Waiting) -> int:
    """Reads a peer to its end; how many pages that took."""
    after: int | None = 0
    pages = 0
    while after is not None:
        after = spread.fetch_page(world.server, peer, after, wait)
        pages += 1
    return pages


# Passing on


def test_a_new_notice_reaches_a_peer_once(world: World, other: FakeKeyServer) -> None:
    for made in some(world, 3):
        notice.accept(world.server, made)
    for _ in range(3):
        assert spread.pass_on(world.server, other)
    assert held(other.server) == held(world.server)
    assert other.asked == ["notice"] * 3


def test_a_peer_that_is_down_gets_it_later_and_in_order(world: World, other: FakeKeyServer) -> None:
    made = some(world, 3)
    notice.accept(world.server, made[0])
    other.fault = "down"
    with pytest.raises(UnavailableError):
        spread.pass_on(world.server, other)
    for later in made[1:]:
        notice.accept(world.server, later)
    other.fault = None
    spread.pass_on(world.server, other)
    assert held(other.server) == held(world.server) == [m.message.commitment for m in made]  # type: ignore[union-attr]


def test_what_goes_round_comes_to_an_end(world: World, other: FakeKeyServer) -> None:
    me = FakeKeyServer(world.server)
    notice.accept(world.server, some(world, 1)[0])
    for _ in range(5):
        spread.pass_on(world.server, other)
        spread.pass_on(other.server, me)
    assert (len(other.asked), len(me.asked)) == (1, 1)


def test_only_what_was_new_wakes_those_who_pass_on(world: World, given: Given) -> None:
    import threading

    listener = threading.Event()
    world.server.listeners.append(listener)
    made = world.revocation(given.consent)
    notice.accept(world.server, made)
    assert listener.is_set()
    listener.clear()
    notice.accept(world.server, made)
    assert not listener.is_set()


def test_what_a_peer_refuses_for_good_does_not_hold_up_the_rest(world: World, other: FakeKeyServer) -> None:
    """A delegate who signed here is none any more there."""
    world.delegate(world.patient, b"guardian", world.stranger)
    notice.accept(
        world.server, world.notice(Freeze(world.patient.address.lower(), world.ledger.now + 9), world.stranger)
    )
    world.ledger.pending.delegates.clear()
    world.ledger.settle()
    notice.accept(world.server, some(world, 1)[0])
    spread.pass_on(world.server, other)
    assert held(other.server) == [b"\1" * 32]


def test_a_peer_whose_own_list_is_full_is_asked_again(world: World, other: FakeKeyServer) -> None:
    notice.accept(world.server, some(world, 1)[0])
    world.ledger.down = True
    row = replace(world.store.kept[0], judged=False)
    for n in range(notice.MAX_UNJUDGED):
        other.server.store.add_notice(replace(row, message=str(n)))
    with pytest.raises(RefusedError):
        spread.pass_on(world.server, other)
    assert world.store.passed_on(other.endpoint) == 0


# Fetching


def test_what_was_missed_is_fetched_and_blocks(world: World, given: Given, other: FakeKeyServer) -> None:
    notice.accept(other.server, world.revocation(given.consent))
    assert world.verdict(given.page) == {"ALLOWED": 1}
    fetched(world, other, waiting(world, other))
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_pages_follow_each_other_to_the_end(
    world: World, other: FakeKeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "MAX_ITEMS", 2)
    for made in some(world, 5):
        notice.accept(other.server, made)
    assert fetched(world, other, waiting(world, other)) == 4
    assert held(world.server) == held(other.server)


def test_what_is_known_costs_no_question(world: World, given: Given, other: FakeKeyServer) -> None:
    made = world.revocation(given.consent)
    for server in (world.server, other.server):
        notice.accept(server, made)
    before = world.ledger.reads
    fetched(world, other, waiting(world, other))
    assert world.ledger.reads == before


class Liar:
    """A peer that answers whatever a test says."""

    endpoint = "http://liar"

    def __init__(self, *pages: Any) -> None:
        self.pages = list(pages)

    def notice(self, _: Any) -> dict[str, Any]:
        return {}

    def notices(self, _: int) -> Any:
        return self.pages.pop(0) if self.pages else {"notices": []}


def item(made: Notice, number: Any = 1) -> dict[str, Any]:
    return {"number": number, **made.to_json()}


def test_a_forged_notice_from_a_peer_is_left_out(world: World, given: Given) -> None:
    good = world.revocation(given.consent)
    forged = Notice(good.message, world.sign(world.stranger, good.message))
    other = some(world, 1)[0]
    fetched(world, Liar({"notices": [item(forged), item(other, 2)]}), waiting(world))
    assert held(world.server) == [b"\1" * 32]
    assert world.verdict(given.page) == {"ALLOWED": 1}


@pytest.mark.parametrize(
    "page",
    [
        {},
        {"notices": None},
        {"notices": [], "more": 1},
        {"notices": [7]},
        {"notices": ["backwards"]},
        {"notices": ["text"]},
        {"notices": [None] * 1_001},
    ],
    ids=["empty", "null", "more", "number", "backwards", "text", "too many"],
)
def test_a_page_that_is_none_is_refused(world: World, page: dict[str, Any]) -> None:
    made = some(world, 1)[0]
    if page.get("notices") == ["backwards"]:
        page = {"notices": [item(made, 2), item(made, 2)]}
    if page.get("notices") == ["text"]:
        page = {"notices": [item(made, "1")]}
    with pytest.raises(CorruptError):
        fetched(world, Liar(page), waiting(world))
    assert held(world.server) == []


def test_a_number_below_zero_is_no_place_to_begin(world: World) -> None:
    with pytest.raises(MalformedError):
        spread.page(world.server, -1)


# Waiting


def test_nothing_is_released_until_every_peer_was_asked(world: World, given: Given, other: FakeKeyServer) -> None:
    wait = waiting(world, other)
    with pytest.raises(RefusedError) as caught:
        world.ask(given.page)
    assert caught.value.reason == Reason.NOTICES_UNFETCHED
    assert world.store.journal_size() == 0
    fetched(world, other, wait)
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_notices_are_taken_while_others_are_fetched(world: World, given: Given, other: FakeKeyServer) -> None:
    waiting(world, other)
    notice.accept(world.server, world.revocation(given.consent))
    assert len(held(world.server)) == 1


def test_peers_that_are_down_are_waited_for_so_long_and_no_longer(
    world: World, given: Given, other: FakeKeyServer
) -> None:
    wait = waiting(world, other)
    world.clock.mono += 9.9
    assert wait.check()
    world.clock.mono += 0.2
    assert not wait.check()
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_peer_that_gives_new_ones_is_waited_for_longer(world: World, other: FakeKeyServer) -> None:
    wait = waiting(world, other)
    for made in some(world, 2):
        world.clock.mono += 9
        spread.fetch_page(world.server, Liar({"notices": [item(made)]}), 0, wait)
        assert wait.check()
    world.clock.mono += 10
    assert not wait.check()


def test_what_is_known_or_forged_does_not_lengthen_the_wait(world: World, given: Given, other: FakeKeyServer) -> None:
    known = world.revocation(given.consent)
    notice.accept(world.server, known)
    forged = Notice(known.message, world.sign(world.stranger, known.message))
    wait = waiting(world, other)
    world.clock.mono += 9
    spread.fetch_page(world.server, Liar({"notices": [item(known), item(forged, 2)]}), 0, wait)
    world.clock.mono += 2
    assert not wait.check()


def test_even_a_peer_that_always_gives_new_ones_is_not_waited_for_for_ever(world: World, other: FakeKeyServer) -> None:
    wait = waiting(world, other)
    for _ in range(60):
        world.clock.mono += 9
        wait.progress()
    assert not wait.check()


def test_a_wait_that_is_over_stays_over(world: World, other: FakeKeyServer) -> None:
    wait = waiting(world, other)
    world.clock.mono += 11
    wait.check()
    wait.progress()
    assert not wait.check()


def test_a_server_without_peers_waits_for_nobody(world: World, given: Given) -> None:
    assert not waiting(world).check()
    assert world.verdict(given.page) == {"ALLOWED": 1}
