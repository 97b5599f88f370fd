# SPDX-License-Identifier: Apache-2.0
"""Files as Merkle DAGs: UnixFS, profile unixfs-v1-2025, the same bytes Kubo makes.

CIDv1, raw leaves of 1 MiB, at most 1024 links a node, a balanced tree. Built here and never by a node, because a node's
defaults change between versions and the CID with them. The reader takes only what such a builder can emit: raw leaves,
and file nodes without inline data in canonical dag-pb.
Sources: https://github.com/ipfs/specs/pull/499 (IPIP-499, profiles), https://specs.ipfs.tech/unixfs/,
https://ipld.io/specs/codecs/dag-pb/spec/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from consentum.domain.cid import CID_LENGTH, DAG_PB, RAW, Cid
from consentum.domain.reading import read_up_to
from consentum.errors import CorruptError, MalformedError, NotFoundError

MAX_BLOCK: Final = 2 << 20
MAX_DEPTH: Final = 6
MAX_FILE: Final = 1 << 40
MAX_LINKS: Final = 1024
_FILE = b"\x08\x02"

Fetch = Callable[[Cid], bytes]
"""Gives the verified bytes of a block; NotFoundError if it is not there, CorruptError if it is not what it was."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is cut: bytes a leaf, links a node. The default is the profile; others exist to test deep trees."""

    chunk: int = 1 << 20
    links: int = MAX_LINKS


UNIXFS_V1_2025: Final = Layout()


@dataclass(frozen=True, slots=True)
class Link:
    """A child: its CID, the file bytes beneath it, and its Tsize (the bytes of all blocks beneath it)."""

    cid: Cid
    size: int
    tsize: int


@dataclass(frozen=True, slots=True)
class Shape:
    """What was measured of a DAG: the file's length in bytes, and the levels of nodes above the leaves."""

    size: int
    height: int


class Shelf(Protocol):
    """Where `settle` finds blocks and writes down what it measured."""

    def shape(self, cid: Cid) -> Shape | None:
        """What was settled for `cid`, if anything."""

    def block(self, cid: Cid) -> bytes:
        """The verified bytes of `cid`; NotFoundError."""

    def settled(self, cid: Cid, shape: Shape, children: list[Cid]) -> None:
        """`cid` and everything beneath it is present and sound."""


def uvarint(number: int) -> bytes:
    """`number` (not negative) as an unsigned LEB128 varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def take_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `data[at:]` and the offset behind it. CorruptError if cut off, above 63 bits or not minimal."""
    number = 0
    for index in range(9):
        if at + index >= len(data):
            raise CorruptError("a varint is cut off")
        byte = data[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise CorruptError("a varint is longer than it needs to be")
            return number, at + index + 1
    raise CorruptError("a varint is above 63 bits")


def build(source: BinaryIO, layout: Layout = UNIXFS_V1_2025) -> Iterator[tuple[Cid, bytes]]:
    """The blocks of the file that `source` holds from here to its end: children before parents, the root last.

    Equal chunks are yielded as often as they occur. Holds one chunk and at most `links` links a level.
    MalformedError above 1 TiB.
    """
    levels: list[list[Link]] = [[]]
    total = 0
    while (chunk := read_up_to(source, layout.chunk)) or not total:
        total += len(chunk)
        if total > MAX_FILE:
            raise MalformedError("a file is at most 1 TiB")
        leaf = Cid.of(RAW, chunk)
        yield leaf, chunk
        levels[0].append(Link(leaf, len(chunk), len(chunk)))
        yield from _fold_full(levels, layout.links)
        if not chunk:
            return
    for level in range(MAX_DEPTH + 1):
        if level + 1 == len(levels) and len(levels[level]) == 1:
            return
        if levels[level]:
            yield _fold(levels, level)


def cid_of(source: BinaryIO) -> Cid:
    """The CID of the file that `source` holds from here to its end; keeps nothing. MalformedError above 1 TiB."""
    root = None
    for cid, _ in build(source):
        root = cid
    assert root is not None
    return root


def encode_node(links: list[Link]) -> bytes:
    """The canonical dag-pb of a file node over `links`, links before data as dag-pb orders them."""
    out = bytearray()
    for link in links:
        body = b"\x0a\x24" + link.cid.raw + b"\x12\x00\x18" + uvarint(link.tsize)
        out += b"\x12" + uvarint(len(body)) + body
    data = bytearray(_FILE + b"\x18" + uvarint(sum(link.size for link in links)))
    for link in links:
        data += b"\x20" + uvarint(link.size)
    return bytes(out + b"\x0a" + uvarint(len(data)) + data)


def decode_node(cid: Cid, block: bytes) -> list[Link]:
    """The children of the dag-pb file node `block`, 1 to 1024, each of at least one byte; their sum is its size.

    CorruptError, naming `cid`, for anything `encode_node` would not write. Tsizes are not believed, nor used.
    """
    try:
        targets, at = _take_links(block)
        sizes = _take_sizes(block, at)
        if not 1 <= len(targets) == len(sizes):
            raise CorruptError("its links and its sizes differ in number")
        links = [Link(target, size, tsize) for (target, tsize), size in zip(targets, sizes, strict=True)]
        # An empty child would let a small DAG cost a reader unbounded work for no bytes at all.
        if min(sizes) < 1 or sum(sizes) > MAX_FILE:
            raise CorruptError("a size it declares is out of bounds")
        # Encoding again settles order, minimal varints, unknown fields, the total and trailing bytes in one comparison.
        if encode_node(links) != block:
            raise CorruptError("it is not canonical")
    except (CorruptError, MalformedError) as error:
        raise CorruptError(f"block {cid} is not a file node: {error}") from None
    return links


def size_of(fetch: Fetch, root: Cid) -> int:
    """The length of the file under `root`, from its root block alone. CorruptError, NotFoundError."""
    block = fetch(root)
    return len(block) if root.codec == RAW else sum(link.size for link in decode_node(root, block))


def read_range(fetch: Fetch, root: Cid, start: int, stop: int) -> Iterator[bytes]:
    """The bytes [start, stop) of the file under `root`, in order, a block at a time, `stop` at most its size.

    Fetches only what it needs. CorruptError where a child is not as long as its parent declares, or too deep;
    NotFoundError where a block is missing.
    """
    return _walk(fetch, Link(root, size_of(fetch, root), 0), (start, stop), 0)


def under(fetch: Fetch, roots: Sequence[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """Every block under `roots`, parents first, each once. CorruptError, NotFoundError."""
    seen = set(roots)
    stack = list(reversed(roots))
    while stack:
        cid = stack.pop()
        block = fetch(cid)
        yield cid, block
        if cid.codec == DAG_PB:
            fresh = dict.fromkeys(link.cid for link in decode_node(cid, block) if link.cid not in seen)
            seen.update(fresh)
            stack.extend(reversed(fresh))


def settle(shelf: Shelf, cid: Cid, depth: int = 0) -> Shape:
    """Measure the DAG under `cid` and hand every part of it to `shelf.settled`, children first, each once.

    CorruptError: a block missing, not a file node, a declared size that is not the real one, or too deep.
    """
    if known := shelf.shape(cid):
        return known
    if depth > MAX_DEPTH:
        raise CorruptError(f"block {cid} lies too deep")
    try:
        block = shelf.block(cid)
    except NotFoundError:
        raise CorruptError(f"block {cid} is missing") from None
    if cid.codec == RAW:
        shape, links = Shape(len(block), 0), []
    else:
        links = decode_node(cid, block)
        height = 0
        for link in links:
            child = settle(shelf, link.cid, depth + 1)
            if child.size != link.size:
                raise CorruptError(f"block {cid} declares a false size for {link.cid}")
            height = max(height, child.height + 1)
        shape = Shape(sum(link.size for link in links), height)
    # A child settled before may be tall itself, so the way down does not bound the height.
    if shape.height > MAX_DEPTH:
        raise CorruptError(f"block {cid} is too deep a DAG")
    shelf.settled(cid, shape, list(dict.fromkeys(link.cid for link in links)))
    return shape


def _fold(levels: list[list[Link]], level: int) -> tuple[Cid, bytes]:
    """Make one node of everything on `level` and put it on the level above."""
    links = levels[level]
    block = encode_node(links)
    cid = Cid.of(DAG_PB, block)
    if level + 1 == len(levels):
        levels.append([])
    tsize = len(block) + sum(link.tsize for link in links)
    levels[level + 1].append(Link(cid, sum(link.size for link in links), tsize))
    levels[level] = []
    return cid, block


def _fold_full(levels: list[list[Link]], width: int) -> Iterator[tuple[Cid, bytes]]:
    level = 0
    while len(levels[level]) == width:
        yield _fold(levels, level)
        level += 1


def _expect(block: bytes, at: int, mark: bytes) -> int:
    if block[at : at + len(mark)] != mark:
        raise CorruptError("an unexpected field")
    return at + len(mark)


def _take_links(block: bytes) -> tuple[list[tuple[Cid, int]], int]:
    """The targets and Tsizes of the links at the head of a dag-pb node, and the offset behind them."""
    found: list[tuple[Cid, int]] = []
    at = 0
    while block[at : at + 1] == b"\x12":
        if len(found) == MAX_LINKS:
            raise CorruptError("too many links")
        _, at = take_uvarint(block, at + 1)
        at = _expect(block, at, b"\x0a\x24")
        target = Cid.from_bytes(block[at : at + CID_LENGTH])
        at = _expect(block, at + CID_LENGTH, b"\x12\x00\x18")
        tsize, at = take_uvarint(block, at)
        found.append((target, tsize))
    return found, at


def _take_sizes(block: bytes, at: int) -> list[int]:
    """The block sizes of the UnixFS message at `block[at:]`."""
    _, at = take_uvarint(block, _expect(block, at, b"\x0a"))
    _, at = take_uvarint(block, _expect(block, at, _FILE + b"\x18"))
    sizes: list[int] = []
    while at < len(block):
        size, at = take_uvarint(block, _expect(block, at, b"\x20"))
        sizes.append(size)
    return sizes


def _walk(fetch: Fetch, link: Link, window: tuple[int, int], depth: int) -> Iterator[bytes]:
    block = fetch(link.cid)
    links = [] if link.cid.codec == RAW else decode_node(link.cid, block)
    if (sum(child.size for child in links) if links else len(block)) != link.size:
        raise CorruptError(f"block {link.cid} is not of the size its parent declares")
    if depth > MAX_DEPTH:
        raise CorruptError(f"block {link.cid} lies too deep")
    start, stop = window
    if not links:
        yield block[start:stop]
    at = 0
    for child in links:
        if start < at + child.size and at < stop:
            yield from _walk(fetch, child, (max(start - at, 0), min(stop - at, child.size)), depth + 1)
        at += child.size
