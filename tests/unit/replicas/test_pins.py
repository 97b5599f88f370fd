# SPDX-License-Identifier: Apache-2.0
"""Pins at a service follow the records: asked for once they are acknowledged, gone when they are removed, never counted
as copies."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs.pinning import PinningClient
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.store.copies import CopyBook
from consentum.errors import NotFoundError
from consentum.flow.gateway.pins import AGAIN_SECONDS, PAUSE_SECONDS, PinKeeper
from consentum.flow.gateway.scrub import Scrubber
from consentum.ports.copies import Replica
from consentum.ports.pins import PinStatus
from tests.fakes.content import MemoryContentStore
from tests.fakes.pinning import TOKEN, FakePinning, failure

ENDPOINT = "https://pinning.example"
NAME = f"pinning:{ENDPOINT}"


class World:
    """One node, one pinning service, a clock."""

    def __init__(self, folder: Path) -> None:
        self.service, self.now = FakePinning(), 1_000_000.0
        self.ledger = CopyBook(folder / "copies.db")
        self.store = ReplicaStore([Replica("one", MemoryContentStore())], 1, self.ledger, folder, [NAME])
        pinning = PinningClient(ENDPOINT, TOKEN, transport=self.service.transport(), sleep=lambda _: None)
        self.keeper = PinKeeper(pinning, self.ledger, self.ledger, ["/ip4/10.0.0.7/tcp/4001"], lambda: self.now)
        self.scrubber = Scrubber(self.store, 0, [self.keeper])

    def tend(self, after: float = 0.0) -> list[str]:
        """What was asked of the service."""
        self.service.requests.clear()
        self.now += after
        self.keeper.tend()
        return list(self.service.requests)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_acknowledged_record_is_pinned_and_asked_about_until_it_is(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    assert world.tend() == ["GET /pins", "POST /pins"]
    assert world.service.pins[0]["pin"] == {"cid": str(root), "origins": ["/ip4/10.0.0.7/tcp/4001"]}
    assert world.tend(59) == []
    assert world.ledger.unpinned([NAME]) == 1
    world.service.set_all("pinned")
    assert world.tend(1) == ["GET /pins"]
    assert world.ledger.unpinned([NAME]) == 0
    assert world.tend(AGAIN_SECONDS[PinStatus.PINNED] - 1) == []
    world.service.pins.clear()
    assert world.tend(1) == ["GET /pins", "POST /pins"]


def test_a_pin_that_failed_is_replaced_by_another(world: World) -> None:
    world.store.put(BytesIO(b"a record"))
    world.service.status = "failed"
    world.tend()
    assert world.tend(AGAIN_SECONDS[PinStatus.FAILED]) == ["GET /pins", "DELETE /pins/", "POST /pins"]
    assert len(world.service.pins) == 1


def test_nothing_is_asked_for_twice_when_the_answer_was_lost(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    world.service._add({"cid": str(root)})
    assert world.tend() == ["GET /pins"]


def test_a_removed_record_is_unpinned_wherever_it_was_asked_for(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    world.tend()
    world.service._add({"cid": str(root)})
    world.store.remove(root)
    assert world.scrubber.tally().owed == 1
    assert world.scrubber.tend() == 1
    assert world.service.pins == []
    assert world.ledger.state(root) is None


def test_an_unpinning_that_the_service_refuses_stays_owed(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    world.tend()
    world.store.remove(root)
    world.service.failures = [failure(500, "BROKEN")]
    assert world.scrubber.tend() == 0
    assert world.ledger.owed(NAME, 9) == [root]
    assert world.scrubber.tend() == 1
    with pytest.raises(NotFoundError):
        world.keeper.remove(root)


def test_a_removed_record_is_not_pinned_any_more(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    due = world.ledger.to_pin(NAME, world.now, 9)
    world.store.remove(root)
    world.ledger.to_pin = lambda *_: due  # type: ignore[method-assign]
    assert world.tend() == []


def test_a_service_that_fails_has_a_rest(world: World) -> None:
    for number in range(3):
        world.store.put(BytesIO(b"%d" % number))
    world.service.failures = [failure(401, "UNAUTHORIZED")]
    assert world.tend() == ["GET /pins"]
    assert world.tend(PAUSE_SECONDS - 1) == []
    assert len(world.tend(1)) == 6


def test_a_pin_is_no_copy(world: World) -> None:
    root = world.store.put(BytesIO(b"a record"))
    world.service.status = "pinned"
    world.tend()
    node = world.store.nodes[0].store
    assert isinstance(node, MemoryContentStore)
    node.blocks.clear()
    report = world.scrubber.full()
    assert (report.missing, report.lost) == (1, [root])
