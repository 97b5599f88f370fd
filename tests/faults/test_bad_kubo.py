# SPDX-License-Identifier: Apache-2.0
"""A node that lies, dawdles or falls over: nothing is acknowledged that is not there, and nobody waits without end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import BytesIO

import pytest

from consentum.adapters.ipfs import kubo_outgoing
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.adapters.ipfs.kubo_http import ATTEMPTS
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, CorruptError, NotFoundError, SettingsError, UnavailableError
from tests.fakes.content import exported, whole
from tests.faults.bad_kubo import BadKubo

DATA = b"a record, sealed" * 100_000
TIMEOUT = 0.3


@pytest.fixture
def node() -> Iterator[BadKubo]:
    made = BadKubo()
    yield made
    made.close()


@pytest.fixture
def store(node: BadKubo) -> Iterator[KuboStore]:
    made = KuboStore(node.url, TIMEOUT)
    yield made
    made.close()


def test_a_node_that_does_as_it_should_is_believed(node: BadKubo, store: KuboStore) -> None:
    root = store.put(BytesIO(DATA))
    assert node.pins == {root}
    assert whole(store, root) == DATA
    store.remove(root)
    assert (node.blocks, node.pins) == ({}, set())


@pytest.mark.parametrize(
    ("mode", "about"),
    [
        *((mode, "dag/import") for mode in ("forgets", "pin error", "other root", "early", "truncated", "html")),
        *((mode, "dag/import") for mode in ("500", "429", "hang", "drip", "endless", "down")),
        *((mode, "pin/ls") for mode in ("unpinned", "html", "500", "429", "hang", "drip", "down")),
        *((mode, "block/get") for mode in ("flipped", "other block", "truncated", "endless", "drip", "hang")),
        *((mode, "block/get") for mode in ("500", "429", "html", "down")),
    ],
)
def test_a_put_is_never_acknowledged_by_a_node_that(node: BadKubo, store: KuboStore, mode: str, about: str) -> None:
    node.mode, node.about = mode, about
    began = time.monotonic()
    with pytest.raises((UnavailableError, CorruptError)) as refused:
        store.put(BytesIO(DATA))
    assert refused.value.code in {"UNAVAILABLE", "CORRUPT"}
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("mode", ["flipped", "other block", "truncated", "endless", "drip", "hang", "html"])
def test_a_read_never_gives_what_is_not_the_record(node: BadKubo, store: KuboStore, mode: str) -> None:
    root = store.put(BytesIO(DATA))
    node.mode, node.about = mode, "block/get"
    for read in (whole, exported, lambda store, root: store.read_at(root, 0, 9), lambda store, root: store.block(root)):
        with pytest.raises((CorruptError, UnavailableError)):
            read(store, root)


@pytest.mark.parametrize("mode", ["500", "429"])
@pytest.mark.parametrize("about", ["dag/import", "pin/ls", "block/get"])
def test_a_node_that_is_busy_for_a_moment_is_asked_again(
    node: BadKubo, store: KuboStore, mode: str, about: str
) -> None:
    node.mode, node.about, node.times = mode, about, ATTEMPTS - 1
    root = store.put(BytesIO(DATA))
    node.times = ATTEMPTS - 1
    assert whole(store, root) == DATA


def test_a_node_that_stays_busy_is_asked_four_times_and_no_more(node: BadKubo, store: KuboStore) -> None:
    node.mode, node.about = "429", "block/get"
    with pytest.raises(UnavailableError, match="429"):
        store.block(Cid.of(RAW, b"x"))
    assert node.asked.count("block/get") == ATTEMPTS


def test_a_block_that_was_flipped_once_is_sent_again(node: BadKubo, store: KuboStore) -> None:
    node.mode, node.about, node.times = "flipped", "block/get", 1
    root = store.put(BytesIO(DATA))
    assert node.asked.count("dag/import") == 2
    assert node.pins == {root}


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves are read back by chance alone, and chance says: none."""
    monkeypatch.setattr(kubo_outgoing, "READ_BACK", 0)
    monkeypatch.setattr(kubo_outgoing, "SAMPLE", 1 << 62)


@pytest.mark.usefixtures("sampling")
def test_a_sample_is_enough_where_the_node_counts_every_block(node: BadKubo, store: KuboStore) -> None:
    root = store.put(BytesIO(DATA))
    assert node.asked.count("block/get") == 1  # the root
    assert whole(store, root) == DATA


@pytest.mark.parametrize(
    "always_read", [{"READ_BACK": 0, "SAMPLE": 1}, {"READ_BACK": len(DATA)}], ids=["drawn", "first"]
)
def test_a_leaf_that_is_drawn_and_every_leaf_of_the_first_bytes_are_read_back(
    node: BadKubo, store: KuboStore, monkeypatch: pytest.MonkeyPatch, always_read: dict[str, int]
) -> None:
    for name, value in ({"SAMPLE": 1 << 62} | always_read).items():
        monkeypatch.setattr(kubo_outgoing, name, value)
    store.put(BytesIO(DATA))
    assert node.asked.count("block/get") == len(node.blocks)


@pytest.mark.usefixtures("sampling")
def test_a_leaf_the_node_lost_is_missed_without_being_asked_for(node: BadKubo, store: KuboStore) -> None:
    node.mode, node.about, node.times = "loses a leaf", "dag/import", 1
    root = store.put(BytesIO(DATA))
    assert node.asked.count("dag/import") == 2
    assert whole(store, root) == DATA


@pytest.mark.usefixtures("sampling")
def test_where_the_node_counts_another_number_all_is_read_back(node: BadKubo, store: KuboStore) -> None:
    node.mode, node.about = "miscounts", "dag/stat"
    store.put(BytesIO(DATA))
    assert node.asked.count("block/get") == len(node.blocks)


@pytest.mark.usefixtures("sampling")
def test_where_the_node_had_some_of_it_all_is_read_back(node: BadKubo, store: KuboStore) -> None:
    root = store.put(BytesIO(DATA))
    node.blocks[next(cid for cid in node.blocks if cid.codec == RAW)] = b"damaged"
    assert store.put(BytesIO(DATA)) == root
    assert whole(store, root) == DATA


@pytest.mark.usefixtures("sampling")
@pytest.mark.parametrize("mode", ["500", "429", "hang", "html", "truncated", "down"])
def test_nothing_is_acknowledged_while_the_node_does_not_count(node: BadKubo, store: KuboStore, mode: str) -> None:
    node.mode, node.about = mode, "dag/stat"
    with pytest.raises(UnavailableError):
        store.put(BytesIO(DATA))


class Pipe(BytesIO):
    """What cannot be read twice."""

    def seekable(self) -> bool:
        return False


def test_what_cannot_be_read_twice_is_not_acknowledged_when_a_block_was_flipped(
    node: BadKubo, store: KuboStore
) -> None:
    node.mode, node.about, node.times = "flipped", "block/get", 1
    with pytest.raises(UnavailableError, match="again"):
        store.put(Pipe(DATA))
    assert node.pins == set()
    assert store.put(Pipe(DATA)) in node.pins


def test_a_lying_pin_list_is_not_enough(node: BadKubo, store: KuboStore) -> None:
    node.mode, node.about = "forgets", "dag/import"
    with pytest.raises(ConsentumError):
        store.put(BytesIO(DATA))
    assert node.blocks == {}


@pytest.mark.parametrize("mode", ["500", "hang", "down"])
def test_a_removal_that_was_cut_short_can_be_finished(node: BadKubo, store: KuboStore, mode: str) -> None:
    root = store.put(BytesIO(DATA))
    node.mode, node.about = mode, "block/rm"
    with pytest.raises(UnavailableError):
        store.remove(root)
    assert node.blocks
    node.mode = "ok"
    store.remove(root)
    assert node.blocks == {}
    with pytest.raises(NotFoundError):
        store.remove(root)


def test_a_node_that_is_not_there_is_said_so_at_once() -> None:
    node = BadKubo()
    node.close()
    store = KuboStore(node.url, TIMEOUT)
    for call in (store.check, lambda: store.put(BytesIO(b"x")), lambda: store.has(Cid.of(RAW, b"x"))):
        with pytest.raises(UnavailableError, match="does not answer"):
            call()
    store.close()


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:5001", "ftp://127.0.0.1", "http://", "http://h/api/v0", "http://h:99999"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        KuboStore(url)
