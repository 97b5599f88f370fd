# SPDX-License-Identifier: Apache-2.0
"""Reading by block: only what is needed is asked for, nothing is believed, nothing that arrived is asked for again."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.ipfs import tree, unixfs
from consentum.adapters.ipfs.unixfs import Layout
from consentum.adapters.peers import blocks
from consentum.adapters.peers.blocks import AHEAD, BlockReader, open_record
from consentum.adapters.peers.http import HttpClient
from consentum.adapters.peers.kept import Kept
from consentum.crypto import envelope
from consentum.domain.cid import DAG_PB, RAW, Cid
from consentum.errors import CorruptError, MalformedError, NotFoundError, UnavailableError
from tests.serving import serving

KEY, HEADER = bytes(range(32)), envelope.Header("scan.dcm", "application/dicom")
SEALED = envelope.seal(KEY, HEADER, bytes(40 << 20))


@dataclass
class Gateway:
    """A trustless gateway over blocks in memory. spoil: gives status and body instead, for a while. waits: a block is
    answered when the other was asked for."""

    held: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    spoil: Callable[[str, int], tuple[int, bytes] | None] = lambda cid, times: None
    waits: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    most: int = 0

    def put(self, content: bytes, layout: Layout = unixfs.UNIXFS_V1_2025) -> Cid:
        for cid, block in unixfs.build(io.BytesIO(content), layout):
            self.held[str(cid)] = block
        return cid

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        cid = scope["path"].removeprefix("/ipfs/")
        assert scope["query_string"] == b"format=raw"
        self.asked.append(cid)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        until = time.monotonic() + 10
        while self.waits.get(cid, cid) not in self.asked and time.monotonic() < until:
            await asyncio.sleep(0.001)
        told = self.spoil(cid, Counter(self.asked)[cid])
        status, body = told or ((200, self.held[cid]) if cid in self.held else (404, b"not found"))
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": body})
        self.under_way -= 1


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def reader(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[BlockReader]:
    monkeypatch.setattr(blocks, "FIRST_PAUSE", 0.001)
    with serving(gateway) as url:
        made = HttpClient(url)
        yield BlockReader(url, made)  # closing the reader leaves the client
        made.close()


def leaves(gateway: Gateway) -> int:
    return sum(Cid.parse(cid).codec == RAW for cid in gateway.asked)


def test_a_record_is_read_whole_in_order_with_bounded_prefetch(gateway: Gateway, reader: BlockReader) -> None:
    cid = gateway.put(SEALED)
    ordered = [str(link.cid) for link in unixfs.decode_node(cid, gateway.held[str(cid)])]
    gateway.waits = {ordered[20]: ordered[20 + AHEAD - 1]}
    with open_record(reader, cid) as file:
        assert file.size == len(SEALED)
        parts = [file.read(1 << 20) for _ in range(41)]
    assert b"".join(parts) == SEALED
    assert max(Counter(gateway.asked).values()) == 1
    assert 1 < gateway.most <= AHEAD + 1


def test_a_mebibyte_in_the_middle_costs_the_blocks_it_lies_in(gateway: Gateway, reader: BlockReader) -> None:
    cid = gateway.put(SEALED)
    with open_record(reader, cid) as file:
        opened = envelope.EnvelopeReader(KEY, file, file.size)
        assert leaves(gateway) == 2  # the first and the last, by which its length is authentic
        assert opened.read_at(20 << 20, 1 << 20) == bytes(1 << 20)
    assert leaves(gateway) == 4
    assert len(gateway.asked) == 5


def test_reading_here_and_there_asks_for_nothing_ahead(gateway: Gateway, reader: BlockReader) -> None:
    cid = gateway.put(SEALED)
    with open_record(reader, cid) as file:
        for place in (30, 3, 17, 4, 5, 25):
            file.seek(place << 20)
            assert file.read(10) == SEALED[place << 20 : (place << 20) + 10]
    assert leaves(gateway) == 6


def test_every_byte_of_a_deep_tree_is_found(gateway: Gateway, reader: BlockReader) -> None:
    content = bytes(range(256)) * 8
    cid = gateway.put(content, Layout(chunk=100, links=3))
    with open_record(reader, cid) as file:
        for offset in (0, 1, 99, 100, 101, 899, 900, 2_000, len(content) - 1):
            file.seek(offset)
            assert file.read(150) == content[offset : offset + 150]
        file.seek(len(content) + 5)
        assert file.read(1) == b""
        with pytest.raises(MalformedError):
            file.seek(-1)


def test_an_interrupted_download_fetches_only_what_had_not_arrived(
    gateway: Gateway, reader: BlockReader, tmp_path: Path
) -> None:
    cid, path = gateway.put(SEALED), tmp_path / "blocks" / "record"
    with open_record(reader, cid, Kept(path)) as file:
        file.read(10 << 20)
    before = set(gateway.asked)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("ab") as torn:
        torn.write(b"\x80\x80\x40torn")
    with open_record(reader, cid, Kept(path)) as file:
        assert b"".join(iter(lambda: file.read(1 << 20), b"")) == SEALED
    again = Counter(gateway.asked)
    assert {one for one in before if again[one] > 1} == set()
    assert len(gateway.asked) == len(gateway.held)
    assert not path.exists()  # the whole has arrived


def test_a_kept_block_that_rotted_is_fetched_again(gateway: Gateway, reader: BlockReader, tmp_path: Path) -> None:
    cid, path = gateway.put(SEALED), tmp_path / "record"
    with open_record(reader, cid, Kept(path)) as file:
        file.read(2 << 20)
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 1
    path.write_bytes(raw)
    with open_record(reader, cid, Kept(path)) as file:
        assert file.read(2 << 20) == SEALED[: 2 << 20]
    assert max(Counter(gateway.asked).values()) == 2


def test_a_second_process_reads_without_what_the_first_keeps(
    gateway: Gateway, reader: BlockReader, tmp_path: Path
) -> None:
    cid, first = gateway.put(SEALED), Kept(tmp_path / "record")
    second = Kept(tmp_path / "record")
    block = reader.through(cid, first)
    assert (first.get(cid), second.get(cid)) == (block, None)
    second.add(cid, block)
    second.close(drop=True)
    assert (tmp_path / "record").exists()
    first.close()


SOON: list[tuple[str, Callable[[str, int], tuple[int, bytes] | None]]] = [
    ("asks to wait", lambda cid, times: (429, b"") if times < 3 else None),
    ("fails", lambda cid, times: (500, b"block was not found locally") if times < 3 else None),
    ("is busy", lambda cid, times: (503, b"") if times < 3 else None),
    ("gives other bytes", lambda cid, times: (200, b"other") if times < 3 else None),
    ("gives too much", lambda cid, times: (200, bytes(3 << 20)) if times < 3 else None),
]


@pytest.mark.parametrize(("what", "spoil"), SOON, ids=[name for name, _ in SOON])
def test_a_gateway_that_does_better_soon_is_asked_again(
    gateway: Gateway, reader: BlockReader, what: str, spoil: Any
) -> None:
    cid = gateway.put(b"small")
    gateway.spoil = spoil
    assert reader.block(cid) == b"small"
    assert len(gateway.asked) == 3


ALWAYS: list[tuple[str, tuple[int, bytes], type[Exception]]] = [
    ("asks to wait", (429, b""), UnavailableError),
    ("fails", (500, b"x"), UnavailableError),
    ("gives other bytes", (200, b"other"), CorruptError),
    ("gives too much", (200, bytes(3 << 20)), UnavailableError),
    ("has it not", (404, b"<html>"), NotFoundError),
]


@pytest.mark.parametrize(("what", "answer", "error"), ALWAYS, ids=[name for name, *_ in ALWAYS])
def test_a_gateway_that_never_does_is_given_up_within_limits(
    gateway: Gateway, reader: BlockReader, what: str, answer: Any, error: type[Exception]
) -> None:
    cid = gateway.put(b"small")
    gateway.spoil = lambda cid, times: answer
    with pytest.raises(error):
        open_record(reader, cid)
    assert len(gateway.asked) == (1 if error is NotFoundError else blocks.MAX_TRIES)


def test_a_gateway_that_hangs_is_no_gateway(gateway: Gateway) -> None:
    with serving(gateway) as url:
        pass
    with pytest.raises(UnavailableError):
        BlockReader(url).block(Cid.of(RAW, b""))


def link(block: bytes, size: int) -> unixfs.Link:
    return unixfs.Link(Cid.of(RAW, block), size, size)


def test_a_leaf_that_is_not_as_long_as_its_node_says_is_corrupt(gateway: Gateway, reader: BlockReader) -> None:
    node = unixfs.encode_node([link(b"short", 10), link(b"right", 5)])
    cid = Cid.of(DAG_PB, node)
    gateway.held |= {str(cid): node, str(Cid.of(RAW, b"short")): b"short", str(Cid.of(RAW, b"right")): b"right"}
    with open_record(reader, cid) as file:
        file.seek(10)
        assert file.read() == b"right"
        file.seek(0)
        with pytest.raises(CorruptError):
            file.read()


def test_a_tree_that_is_too_deep_or_lies_about_a_node_is_corrupt() -> None:
    held: dict[Cid, bytes] = {}
    under = link(b"x", 1)
    for _ in range(unixfs.MAX_DEPTH + 2):
        block = unixfs.encode_node([under])
        held[cid := Cid.of(DAG_PB, block)] = block
        under = unixfs.Link(cid, 1, 1)
    with pytest.raises(CorruptError, match="deep"):
        tree.Tree(held.__getitem__, cid).leaf_at(0)
    inner = unixfs.encode_node([link(b"x", 1)])
    held[inside := Cid.of(DAG_PB, inner)] = inner
    outer = unixfs.encode_node([unixfs.Link(inside, 2, 2)])
    held[root := Cid.of(DAG_PB, outer)] = outer
    with pytest.raises(CorruptError, match="size"):
        tree.Tree(held.__getitem__, root).leaf_at(0)


def test_closing_leaves_no_thread_behind(gateway: Gateway) -> None:
    before = threading.active_count()
    with serving(gateway) as url:
        cid = gateway.put(SEALED)
        with open_record(BlockReader(url), cid) as file:
            file.read(6 << 20)
    until = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert threading.active_count() <= before
