# SPDX-License-Identifier: Apache-2.0
"""Keys are here for at most a minute; where they are needed again, the servers decide again."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from consentum.domain.messages import Consent
from consentum.errors import ConsentChanged, RefusedError, UnavailableError
from consentum.flow.client.deposit import Batch
from consentum.jobs import leases as leases_module
from consentum.jobs.dataset import Dataset
from consentum.jobs.leases import KEY_SECONDS, RELEASE_SECONDS, LeasedRecords, new_page
from tests.unit.client.world import NOW
from tests.unit.jobs.conftest import Runner


class Place:
    """Alice's two records and Bob's one between, both consenting; the first page is asked for."""

    def __init__(self, runner: Runner, drops: bool = False) -> None:
        self.runner, world = runner, runner.world
        self.batch: Batch = world.deposited(world.alice, world.bob, world.alice)
        self.bob, alice = (world.granted(world.consent(who)) for who in (world.bob, world.alice))
        world.attach(self.batch, alice, self.bob)
        ids = sorted(record.id for record in self.batch.records)
        self.leases = LeasedRecords(
            [new_page(world.collector(), ids, runner.clocks)], world.depository, runner.clocks, drops
        )
        self.leases.decide({identity: f"p{n}" for n, identity in enumerate(ids)})
        self.data = Dataset(self.leases)

    @property
    def bobs(self) -> int:
        """Bob's place in the order."""
        [identity] = [r.id for r in self.batch.records if r.subject == self.runner.world.bob.address.lower()]
        return list(self.leases.released).index(identity)

    @property
    def asked(self) -> int:
        """How often servers were asked to release."""
        return sum(peer.asked.count("release") for peer in self.runner.world.peers)

    @property
    def keys(self) -> int:
        return sum(len(page.keys) for page in self.leases.pages)

    def bob_leaves(self) -> Consent:
        self.runner.world.revoked(self.bob)
        return self.bob


@pytest.fixture
def place(runner: Runner) -> Place:
    return Place(runner)


@pytest.fixture
def dropping(runner: Runner) -> Place:
    return Place(runner, drops=True)


def contents(data: Any) -> list[bytes]:
    return [record.content for record in data]


def test_within_a_minute_the_servers_are_asked_once(place: Place) -> None:
    assert len(contents(place.data)) == 3
    place.runner.steady = KEY_SECONDS - 0.1
    contents(place.data)
    place.leases.finish()
    assert place.asked == 2, "t servers, one decision"


def test_after_a_minute_they_are_asked_again_under_the_same_leaves(place: Place) -> None:
    contents(place.data)
    place.runner.steady = KEY_SECONDS
    assert len(contents(place.data)) == 3
    assert place.asked == 4
    [page] = place.leases.pages
    by_server: dict[str, list[Any]] = {}
    for answer in page.answers:
        by_server.setdefault(answer.receipt["server"], []).append(answer.receipt["leaves"])
    assert all(one == first for first, *more in by_server.values() for one in more)


def test_keys_are_dropped_at_the_end_of_their_lease_though_nobody_asks(place: Place) -> None:
    assert place.keys == 3
    place.runner.steady = KEY_SECONDS - 2
    place.leases.sweep()
    assert place.keys == 3
    place.runner.steady = KEY_SECONDS - 1
    place.leases.sweep()
    assert place.keys == 0
    assert place.asked == 2, "dropping asks nobody"
    assert len(contents(place.data)) == 3
    assert (place.keys, place.asked) == (3, 4)


def test_a_consent_that_ended_within_the_minute_is_noticed_at_the_next_decision(place: Place) -> None:
    contents(place.data)
    place.bob_leaves()
    assert len(contents(place.data)) == 3, "as long as the lease lasts"
    place.runner.steady = KEY_SECONDS
    with pytest.raises(ConsentChanged):
        contents(place.data)
    left = contents(place.data)
    assert len(left) == len(place.data) == 2
    assert (place.leases.dropped, len(place.leases.released)) == (1, 3)


def test_in_the_middle_of_an_iteration_too(place: Place) -> None:
    order = iter(range(3))
    for n in order:
        if n == place.bobs:
            break
        place.data[n]
    place.bob_leaves()
    place.runner.steady = KEY_SECONDS
    with pytest.raises(ConsentChanged):
        place.data[place.bobs]


def test_a_job_that_said_drop_goes_on_without_the_record_and_it_is_counted(dropping: Place) -> None:
    assert len(contents(dropping.data)) == 3
    dropping.bob_leaves()
    dropping.runner.steady = KEY_SECONDS
    assert len(contents(dropping.data)) == 2
    assert len(dropping.data) == 2
    dropping.leases.finish()
    assert (dropping.leases.dropped, dropping.leases.groups[dropping.bobs]) == (1, f"p{dropping.bobs}")


def test_before_outputs_leave_an_old_decision_is_made_again(place: Place) -> None:
    contents(place.data)
    place.bob_leaves()
    place.runner.steady = KEY_SECONDS
    with pytest.raises(ConsentChanged):
        place.leases.finish()
    assert place.keys == 0


def test_and_a_job_that_said_drop_reports_it(dropping: Place) -> None:
    contents(dropping.data)
    dropping.bob_leaves()
    dropping.runner.steady = KEY_SECONDS
    dropping.leases.finish()
    assert dropping.leases.dropped == 1


def test_a_job_that_was_told_and_went_on_is_not_told_again(place: Place) -> None:
    contents(place.data)
    place.bob_leaves()
    place.runner.steady = KEY_SECONDS
    with pytest.raises(ConsentChanged):
        contents(place.data)
    contents(place.data)
    place.runner.steady = 2 * KEY_SECONDS
    place.leases.finish()


def test_a_page_the_job_never_read_is_not_decided_again(place: Place) -> None:
    place.bob_leaves()
    place.runner.steady = KEY_SECONDS
    place.leases.finish()
    assert place.asked == 2


def test_large_records_come_one_by_one_whatever_was_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases_module, "BATCH_BYTES", 10)
    first = place.leases.batch(0, 32)
    assert (len(first.records), first.next) == (1, 1)
    assert len(contents(place.data)) == 3
    monkeypatch.setattr(leases_module, "BATCH_BYTES", 1 << 20)
    assert len(place.leases.batch(0, 32).records) == 3


def test_a_consent_given_meanwhile_does_not_change_the_records_of_a_job(runner: Runner) -> None:
    world = runner.world
    batch = world.deposited(world.alice, world.bob)
    bob, alice = (world.consent(who) for who in (world.bob, world.alice))
    world.granted(alice)
    world.attach(batch, alice, bob)
    ids = sorted(record.id for record in batch.records)
    leases = LeasedRecords([new_page(world.collector(), ids, runner.clocks)], world.depository, runner.clocks, False)
    leases.decide(dict.fromkeys(ids, "p"))
    world.granted(bob)
    runner.steady = KEY_SECONDS
    assert len(contents(Dataset(leases))) == 1


def test_when_the_servers_do_not_answer_a_renewal_nothing_is_read_under_the_old_keys(place: Place) -> None:
    contents(place.data)
    place.runner.steady = KEY_SECONDS
    for peer in place.runner.world.peers[:2]:
        peer.fault = "down"
    with pytest.raises(RefusedError):
        contents(place.data)
    assert place.keys == 0


def test_while_servers_are_slow_to_renew_one_page_the_keys_of_the_others_are_dropped_in_time(runner: Runner) -> None:
    world = runner.world
    batch = world.deposited(world.alice, world.alice)
    world.attach(batch, world.granted(world.consent(world.alice)))
    ids = sorted(record.id for record in batch.records)
    pages = [new_page(world.collector(), [identity], runner.clocks) for identity in ids]
    leases = LeasedRecords(pages, world.depository, runner.clocks, False)
    leases.decide(dict.fromkeys(ids, "p"))
    pages[0].keys = {}
    pages[0].decided_at = -KEY_SECONDS
    swept: list[int] = []

    def slow(page: Any, ask: Any = leases._ask) -> Any:
        runner.steady = KEY_SECONDS
        sweeper = threading.Thread(target=leases.sweep, daemon=True)
        sweeper.start()
        sweeper.join(timeout=2)
        swept.append(len(pages[1].keys))
        return ask(page)

    leases._ask = slow  # type: ignore[method-assign]
    assert len(leases.batch(0, 1).records) == 1
    assert swept == [0]


def test_a_key_that_is_old_when_it_comes_opens_nothing(place: Place) -> None:
    place.runner.steady = KEY_SECONDS
    ask = place.leases._ask

    def slow(page: Any) -> Any:
        found = ask(page)
        place.runner.steady += KEY_SECONDS
        return found

    place.leases._ask = slow  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        contents(place.data)


def test_a_release_whose_deadline_is_near_is_asked_for_anew(place: Place) -> None:
    [page] = place.leases.pages
    first = page.request
    place.runner.steady, place.runner.now = KEY_SECONDS, NOW + RELEASE_SECONDS - 1
    for peer in place.runner.world.peers:
        peer.server.clock = lambda: place.runner.now
        peer.server.ledger.now = int(place.runner.now)  # type: ignore[attr-defined]
    job_ends = page.collector.job.deadline
    assert len(contents(place.data)) == 3
    assert page.request.release.nonce != first.release.nonce
    assert page.request.release.deadline == job_ends, "never beyond its job"
