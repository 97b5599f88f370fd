# SPDX-License-Identifier: Apache-2.0
"""CIDs, UnixFS and CAR as formats: golden CIDs of another implementation, and what the decoders refuse."""

from __future__ import annotations

import json
from base64 import b32encode
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import libipld
import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.car import header, read_blocks, read_header, section
from consentum.adapters.ipfs.unixfs import Layout, Link
from consentum.domain.cid import DAG_PB, RAW, Cid
from consentum.errors import CorruptError, MalformedError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "unixfs.json").read_text())
PERIODS = {
    "zero": bytes(1),
    "ramp": bytes((i * 31 + 7) % 256 for i in range(256)),
    "squares": bytes((i * i // 8) % 251 for i in range(65521)),
}
LEAF = Cid.of(RAW, b"leaf")


class Fill:
    """A source of `length` bytes that reads short, as pipes do, and never holds them all."""

    def __init__(self, fill: str, length: int) -> None:
        period = PERIODS[fill]
        self._bytes = period * (2 * (1 << 20) // len(period) + 2)
        self._period, self._at, self._length = len(period), 0, length

    def read(self, size: int) -> bytes:
        size = min(size, self._length - self._at, 700_000)
        start = self._at % self._period
        self._at += size
        return self._bytes[start : start + size]


def text_of(raw: bytes) -> str:
    return "b" + b32encode(raw).decode().rstrip("=").lower()


@pytest.mark.parametrize("file", VECTORS["files"], ids=lambda f: f"{f['fill']}-{f['length']}-{f['chunk']}")
def test_a_file_has_the_cid_that_the_javascript_importer_gives_it(file: dict[str, Any]) -> None:
    source: Any = Fill(file["fill"], file["length"])
    *_, (root, _) = unixfs.build(source, Layout(file["chunk"], file["links"]))
    assert str(root) == file["cid"]
    assert Cid.parse(file["cid"]) == root


def test_a_deep_tree_gives_back_every_range_of_its_file() -> None:
    content = PERIODS["squares"][:5000]
    blocks = dict(unixfs.build(BytesIO(content), Layout(256, 4)))
    root = list(unixfs.build(BytesIO(content), Layout(256, 4)))[-1][0]
    for start, stop in (
        (0, 5000),
        (0, 1),
        (255, 257),
        (1023, 4097),
        (4999, 5000),
        (17, 17),
        (5000, 9000),
        (4000, 9000),
    ):
        assert b"".join(unixfs.read_range(blocks.__getitem__, root, start, stop)) == content[start:stop]


def test_a_car_is_the_one_that_the_javascript_writer_makes() -> None:
    want = VECTORS["car"]
    blocks = dict(unixfs.build(BytesIO(PERIODS["squares"][: want["length"]]), Layout(want["chunk"], want["links"])))
    root = list(blocks)[-1]
    car = header([root]) + b"".join(section(cid, block) for cid, block in unixfs.under(blocks.__getitem__, [root]))
    assert sha256(car).hexdigest() == want["sha256"]
    assert read_header(BytesIO(car)) == [root]


def test_a_child_of_another_length_than_declared_is_refused_when_read() -> None:
    block = unixfs.encode_node([Link(LEAF, 5, 4)])
    blocks = {LEAF: b"leaf", Cid.of(DAG_PB, block): block}
    with pytest.raises(CorruptError, match=str(LEAF)):
        list(unixfs.read_range(blocks.__getitem__, Cid.of(DAG_PB, block), 0, 1))


def test_a_cid_is_the_same_as_text_and_as_bytes() -> None:
    assert Cid.parse(str(LEAF)) == Cid.from_bytes(LEAF.raw) == LEAF
    assert (LEAF.codec, len(LEAF.digest)) == (RAW, 32)
    LEAF.verify(b"leaf")


def test_a_cid_names_itself_when_it_refuses_a_block() -> None:
    with pytest.raises(CorruptError, match=str(LEAF)):
        LEAF.verify(b"Leaf")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        LEAF.raw[:-1],
        LEAF.raw + b"\0",
        b"\x12\x20" + LEAF.digest,
        b"\x01\x55\x00\x04leaf",
        b"\x01\x55\x00\x20" + LEAF.digest,
        b"\x01\x71\x12\x20" + LEAF.digest,
        b"\x01\x55\x16\x20" + LEAF.digest,
        b"\x02\x55\x12\x20" + LEAF.digest,
        b"\x81\x00\x55\x12\x20" + LEAF.digest,
        b"\x81\x00\x55\x12\x20" + LEAF.digest[:-1],
        b"\x01\x55\x12\xa0\x00" + LEAF.digest[:-1],
        b"\x01\x55\x12\x1f" + LEAF.digest[:-1],
    ],
)
def test_only_the_one_form_of_cid_is_taken(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        Cid.from_bytes(raw)
    with pytest.raises(MalformedError):
        Cid.parse(text_of(raw))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        str(LEAF).upper(),
        str(LEAF)[:-1] + str(LEAF)[-1].upper(),
        str(LEAF)[:-1] + chr(ord(str(LEAF)[-1]) + 1),
        str(LEAF) + "=",
        " " + str(LEAF)[1:],
        str(LEAF)[:-1] + "1",
        str(LEAF)[:-1] + "é",
    ],
)
def test_only_the_canonical_text_of_a_cid_is_taken(text: str) -> None:
    with pytest.raises(MalformedError):
        Cid.parse(text)


def test_a_cid_under_another_codec_is_not_made() -> None:
    with pytest.raises(MalformedError):
        Cid.of(0x71, b"")


GOOD = unixfs.encode_node([Link(LEAF, 4, 4), Link(LEAF, 4, 4)])
ONE = unixfs.encode_node([Link(LEAF, 4, 4)])


@pytest.mark.parametrize(
    "block",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD + b"\x20\x04",
        GOOD.replace(b"\x18\x08", b"\x18\x09"),
        GOOD.replace(b"\x08\x02\x18", b"\x08\x01\x18"),
        GOOD.replace(b"\x12\x00\x18", b"\x12\x01\x18"),
        ONE[ONE.index(b"\x0a\x06\x08\x02") :] + ONE[: ONE.index(b"\x0a\x06\x08\x02")],
        ONE.replace(b"\x0a\x06\x08\x02\x18\x04\x20\x04", b"\x0a\x07\x08\x02\x18\x04\x20\x84\x00"),
        ONE.replace(b"\x0a\x06\x08\x02\x18\x04\x20\x04", b"\x0a\x0a\x08\x02\x12\x02hi\x18\x04\x20\x04"),
        ONE.replace(b"\x20\x04", b"\x20" + b"\xff" * 9),
        ONE.replace(b"\x01\x55\x12\x20", b"\x01\x71\x12\x20"),
        b"\x0a\x04\x08\x02\x18\x00",
        b"\x0a\x02\x08\x01",
        unixfs.encode_node([Link(LEAF, 0, 0)]),
        unixfs.encode_node([Link(LEAF, 4, 4), Link(LEAF, 0, 0)]),
        unixfs.encode_node([Link(LEAF, unixfs.MAX_FILE, 4), Link(LEAF, 1, 4)]),
        unixfs.encode_node([Link(LEAF, 4, 4)] * 1025),
    ],
)
def test_a_node_that_no_builder_emits_is_refused_and_named(block: bytes) -> None:
    cid = Cid.of(DAG_PB, block)
    with pytest.raises(CorruptError, match=str(cid)):
        unixfs.decode_node(cid, block)


def test_a_node_at_the_limit_of_links_is_read() -> None:
    links = [Link(LEAF, 4, 4)] * 1024
    assert unixfs.decode_node(LEAF, unixfs.encode_node(links)) == links


@pytest.mark.parametrize("count", [1, 2, 23, 24, 255, 256, 1024])
def test_a_header_gives_back_its_roots(count: int) -> None:
    roots = [Cid.of(RAW, str(i).encode()) for i in range(count)]
    assert read_header(BytesIO(header(roots))) == roots
    assert len(libipld.decode_car(header(roots))[0]["roots"]) == count


@pytest.mark.parametrize("roots", [[], [LEAF, LEAF], [Cid.of(RAW, str(i).encode()) for i in range(1025)]])
def test_a_header_without_roots_or_with_doubles_or_too_many_is_not_written(roots: list[Cid]) -> None:
    with pytest.raises(MalformedError):
        header(roots)


BODY = header([LEAF])[1:]


@pytest.mark.parametrize(
    "body",
    [
        b"\xa1\x67version\x01",
        b"\xa2\x65roots\x80\x67version\x01",
        BODY[:-1] + b"\x02",
        b"\xa2\x67version\x01" + BODY[1:-9],
        BODY.replace(b"\x81\xd8", b"\x98\x01\xd8"),
        BODY.replace(b"\xd8\x2a", b"\xd8\x2b"),
        BODY.replace(b"\x81", b"\x82"),
        BODY.replace(b"\x01\x55\x12", b"\x01\x55\x00"),
        BODY + b"\0",
        b"\xa3" + BODY[1:] + b"\x61x\x01",
        b"\xa0",
        b"",
    ],
)
def test_a_header_of_another_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read_header(BytesIO(unixfs.uvarint(len(body)) + body))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x80\x00", header([LEAF])[:-1], b"\xff" * 9, b"\xff" * 99])
def test_a_header_that_is_cut_off_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptError):
        read_header(BytesIO(data))


def test_a_header_over_its_limit_is_refused_before_it_is_read() -> None:
    source = BytesIO(unixfs.uvarint(1 << 40) + bytes(100))
    with pytest.raises(MalformedError):
        read_header(source)
    assert source.tell() < 10


def test_a_block_at_the_limit_is_read_and_one_byte_more_is_refused() -> None:
    for extra in (0, 1):
        block = bytes(unixfs.MAX_BLOCK + extra)
        source = BytesIO(section(Cid.of(RAW, block), block))
        if extra:
            with pytest.raises(MalformedError):
                list(read_blocks(source))
        else:
            assert [len(data) for _, data in read_blocks(source)] == [unixfs.MAX_BLOCK]


@pytest.mark.parametrize("data", [b"\x00", b"\x05abcde", b"\x04\x01\x55\x00\x00"])
def test_a_section_too_short_for_a_cid_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        list(read_blocks(BytesIO(data)))
