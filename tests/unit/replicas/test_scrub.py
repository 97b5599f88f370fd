# SPDX-License-Identifier: Apache-2.0
"""Ransom, deletion and corruption of all copies but one lose nothing; the scrubber puts back what is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.domain.cid import RAW, Cid
from consentum.flow.gateway import scrub
from consentum.flow.gateway.scrub import Scrubber
from consentum.ports.copies import Replica
from tests.fakes.content import Bench, Embedded, whole
from tests.fakes.replicas import Replicas
from tests.unit.replicas.conftest import Make

MIB = 1 << 20
RECORDS = [bytes([n]) * (MIB + n) for n in range(1, 4)]


def wipe(bench: Bench) -> None:
    assert isinstance(bench, Embedded)
    for table in ("pins", "links", "blocks"):
        bench._run(f"DELETE FROM {table}")


def encrypt(bench: Bench) -> None:
    for cid in bench.held():
        bench.plant(cid, os.urandom(64))


def flip(bench: Bench) -> None:
    for cid in bench.held():
        block = bytearray(bench.store.block(cid))
        block[len(block) // 2] ^= 1
        bench.plant(cid, bytes(block))


def unpin(bench: Bench) -> None:
    """What a collection of garbage does to a node whose pins somebody removed."""
    for cid in bench.held():
        if cid.codec != RAW:
            bench.store.remove(cid)


@pytest.mark.parametrize("harm", [wipe, encrypt, flip, unpin])
def test_harm_to_all_copies_but_one_loses_nothing_and_is_mended(three: Replicas, harm: Callable[[Bench], None]) -> None:
    roots = [three.store.put(BytesIO(data)) for data in RECORDS]
    for bench in three.benches[:2]:
        harm(bench)
    assert [whole(three.store, root) for root in roots] == RECORDS
    report = Scrubber(three.replicas, 0).full()
    assert (report.records, report.healed, report.missing, report.lost) == (3, 6, 0, [])
    for bench in three.benches:
        assert [whole(bench.store, root) for root in roots] == RECORDS


def test_a_pass_over_sound_copies_changes_nothing(three: Replicas) -> None:
    three.store.put(BytesIO(RECORDS[0]))
    for switch in three.nodes:
        switch.down("put", "put_car", "remove")
    report = Scrubber(three.replicas, 0).full()
    assert (report.records, report.copies, report.healed, report.missing) == (1, 3, 0, 0)


def test_nothing_is_written_from_a_copy_that_was_not_verified(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.drop(root)
    three.benches[0].plant(root, b"another")
    report = Scrubber(three.replicas, 0).full()
    assert report.lost == [root]
    assert three.benches[1].held() == three.benches[2].held() == set()


def test_a_record_is_lost_only_if_nobody_who_may_have_it_is_silent(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    for bench in three.benches[:2]:
        bench.drop(root)
    three.nodes[2].down()
    scrubber = Scrubber(three.replicas, 0)
    report = scrubber.full()
    assert (report.lost, report.missing, report.silent) == ([], 3, {"node-2"})
    assert scrubber.tally().missing == 3
    three.nodes[2].up()
    assert scrubber.full().healed == 2
    assert scrubber.tally().missing == 0


def test_a_silent_nodes_copy_is_missing_until_it_is_seen_again_and_is_not_written_again(three: Replicas) -> None:
    three.store.put(BytesIO(b"a record"))
    scrubber = Scrubber(three.replicas, 0)
    three.nodes[1].down()
    assert (scrubber.full().missing, scrubber.tally().missing) == (1, 1)
    three.nodes[1].up()
    three.nodes[1].down("put_car")
    assert (scrubber.full().missing, scrubber.tally().missing) == (0, 0)


def test_a_copy_moves_to_a_further_node_while_its_own_is_silent(make: Make) -> None:
    four = make(4, 2)
    root = four.store.put(BytesIO(b"a record"))
    kept = four.ledger.find(root)
    assert kept is not None
    four.nodes[int(min(kept.nodes)[-1])].down()
    report = Scrubber(four.replicas, 0).full()
    assert (report.healed, report.missing) == (1, 0)
    assert sum(root in bench.held() for bench in four.benches) == 3


def test_a_new_node_in_the_place_of_a_ruined_one_is_filled(make: Make, tmp_path: Path) -> None:
    first = make()
    roots = [first.store.put(BytesIO(data)) for data in RECORDS]
    first.store.close()
    ruined = tmp_path / "blocks-1.db"
    for name in (ruined, ruined.with_name(ruined.name + "-wal"), ruined.with_name(ruined.name + "-shm")):
        name.unlink(missing_ok=True)
    second = make()
    assert Scrubber(second.replicas, 0).full().healed == 3
    store = EmbeddedStore(ruined)
    assert [whole(store, root) for root in roots] == RECORDS
    store.close()


def test_a_pass_is_due_once_its_time_has_come_and_not_before(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    now = [1_000_000.0]
    scrubber = Scrubber(three.replicas, 100, clock=lambda: now[0])
    scrubber.step()
    assert scrubber.last_pass() == 1_000_000
    three.benches[0].drop(root)
    now[0] += 99
    scrubber.step()
    assert three.benches[0].held() == set()
    now[0] += 1
    scrubber.step()
    assert three.held() == {root}


def test_without_a_schedule_nothing_is_read_but_debts_are_paid(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.benches[0].drop(root)
    scrubber = Scrubber(three.replicas, 0)
    scrubber.step()
    assert (scrubber.last_pass(), three.benches[0].held()) == (0, set())
    three.store.remove(root)
    assert scrubber.tally().owed == 0


def test_a_pass_that_was_interrupted_goes_on_where_it_stopped(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrub, "STEP_SECONDS", 0.0)
    first = make(1, 1)
    roots = sorted(first.store.put(BytesIO(b"%d" % number)) for number in range(5))
    for _ in range(2):
        Scrubber(first.replicas, 100).step()
    assert first.ledger.round().cursor == roots[1].raw
    first.store.close()
    second = make(1, 1)
    seen: list[Cid] = []
    ask = scrub._whole
    monkeypatch.setattr(scrub, "_whole", lambda node, root: seen.append(root) or ask(node, root))
    scrubber = Scrubber(second.replicas, 100)
    while not scrubber.last_pass():
        scrubber.step()
    assert seen == roots[2:]


def test_a_record_that_is_removed_meanwhile_is_not_put_back(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    stale = three.ledger.after(b"", 1)
    three.store.remove(root)
    three.ledger.after = lambda cursor, limit: stale if not cursor else []  # type: ignore[method-assign]
    assert Scrubber(three.replicas, 0).full().records == 0
    assert three.held() == set()


def test_what_a_retired_store_has_is_copied_and_read_and_removed_and_never_counts(make: Make, tmp_path: Path) -> None:
    three, old = make(), Embedded(tmp_path / "old.db")
    roots = [old.store.put(BytesIO(data)) for data in RECORDS]
    nodes = [*three.replicas.nodes, Replica("old", old.store, retired=True)]
    store = ReplicaStore(nodes, 3, three.ledger, tmp_path)
    scrubber = Scrubber(store, 0)
    assert (scrubber.adopt(roots), scrubber.adopt(roots)) == (3, 0)
    assert whole(store, roots[0]) == RECORDS[0]
    assert scrubber.tally().missing == 9
    assert scrubber.full().healed == 9
    assert scrubber.tally().missing == 0
    fresh = store.put(BytesIO(b"new"))
    assert not old.store.has(fresh)
    store.remove(roots[0])
    assert roots[0] not in old.held()
    old.store.close()


def test_a_removal_owed_is_no_record_to_adopt(three: Replicas) -> None:
    root = three.store.put(BytesIO(b"a record"))
    three.nodes[0].down()
    three.store.remove(root)
    assert Scrubber(three.replicas, 0).adopt([root]) == 0


def test_a_copy_that_nothing_protects_is_written_again_before_it_goes(three: Replicas) -> None:
    outer = three.store.put(BytesIO(RECORDS[0]))
    inner = three.store.put(BytesIO(RECORDS[0][:MIB]))
    three.benches[0].store.remove(inner)
    assert three.benches[0].store.has(inner), "the other record has this block too"
    assert Scrubber(three.replicas, 0).full().healed == 1
    three.benches[0].store.remove(outer)
    assert three.benches[0].held() == {inner}
