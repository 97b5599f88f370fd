# SPDX-License-Identifier: Apache-2.0
"""Erasure reaches every node, also one that was down when it was asked."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest

from consentum.domain.cid import RAW, Cid
from consentum.errors import NotFoundError, UnavailableError
from consentum.flow.gateway.scrub import Scrubber
from tests.fakes.replicas import Replicas
from tests.unit.replicas.conftest import Make

ABSENT = Cid.of(RAW, b"nobody put this")


def test_a_node_that_was_down_gives_up_its_copy_when_it_is_back(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.nodes[2].down()
    three.store.remove(root)
    scrubber = Scrubber(three.replicas, 0)
    assert scrubber.tend() == 0
    assert scrubber.tally().owed == 1
    three.nodes[2].up()
    assert three.benches[2].held() == {root}
    assert scrubber.tend() == 1
    assert three.held() == set()
    assert (three.ledger.state(root), scrubber.tally().owed) == (None, 0)


def test_the_debt_outlives_the_process(make: Make, tmp_path: Path) -> None:
    first = make()
    root = first.store.put(BytesIO(b"a record"))
    first.nodes[0].down()
    first.store.remove(root)
    first.store.close()
    second = Replicas.embedded(tmp_path)
    assert Scrubber(second.replicas, 0).tend() == 1
    assert second.held() == set()
    second.store.close()


def test_a_record_that_is_put_again_is_not_removed_for_its_old_debt(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.nodes[0].down()
    three.store.remove(root)
    three.nodes[0].up()
    three.store.put(BytesIO(b"a record"))
    assert Scrubber(three.replicas, 0).tend() == 0
    assert three.held() == {root}


def test_a_debt_that_is_void_by_the_time_it_is_collected_is_not(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.ledger.owed = lambda name, limit: [root]  # type: ignore[method-assign]
    assert Scrubber(three.replicas, 0).tend() == 0
    assert three.held() == {root}


def test_copies_beyond_those_counted_go_too(make: Make) -> None:
    five = make(5, 2)
    root = five.store.put(BytesIO(b"a record"))
    for bench in five.benches:
        bench.store.put(BytesIO(b"a record"))
    five.store.remove(root)
    assert five.held() == set()


def test_what_no_node_has_is_not_found_and_owes_nothing(three: Replicas) -> None:
    with pytest.raises(NotFoundError):
        three.store.remove(ABSENT)
    assert Scrubber(three.replicas, 0).tally().owed == 0
    assert three.ledger.state(ABSENT) is None


def test_a_removal_that_a_silent_node_leaves_open_is_said_to_be_open(three: Replicas) -> None:
    three.benches[1].store.put(BytesIO(b"nobody put this"))
    three.nodes[1].down()
    with pytest.raises(UnavailableError):
        three.store.remove(ABSENT)
    three.nodes[1].up()
    assert Scrubber(three.replicas, 0).tend() == 1
    assert three.held() == set()


def test_the_second_removal_finds_nothing_even_while_a_node_owes_the_first(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.nodes[1].down()
    three.store.remove(root)
    with pytest.raises(NotFoundError):
        three.store.remove(root)


def test_who_writes_a_record_is_not_interrupted_by_its_removal(
    three: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = three.store.put(BytesIO(b"a record"))
    monkeypatch.setattr("consentum.adapters.ipfs.replicas.LOCK_SECONDS", 0.0)
    with three.ledger.hold([root], alone=False, seconds=0), pytest.raises(UnavailableError, match="written or removed"):
        three.store.remove(root)
    assert three.held() == {root}
