# SPDX-License-Identifier: Apache-2.0
"""CARv1: blocks with their CIDs in one stream, the form in which records travel between stores.

A header (dag-cbor {roots: [cid, …], version: 1}), then blocks, each behind the varint of its length.
Source: https://ipld.io/specs/transport/car/carv1/.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from consentum.adapters.ipfs.unixfs import MAX_BLOCK, take_uvarint, uvarint
from consentum.domain.cid import CID_LENGTH, Cid
from consentum.domain.reading import read_up_to
from consentum.errors import CorruptError, MalformedError

MAX_ROOTS: Final = 1024
_MAP_ROOTS = b"\xa2\x65roots"
_VERSION_1 = b"\x67version\x01"
_LINK = b"\xd8\x2a\x58\x25\x00"
_MAX_HEADER = 16 + len(_MAP_ROOTS) + len(_VERSION_1) + MAX_ROOTS * (len(_LINK) + CID_LENGTH)


def header(roots: Sequence[Cid]) -> bytes:
    """The head of a CAR with these roots, its length prefix included.

    MalformedError without roots, with doubles, or above 1024.
    """
    if not 1 <= len(roots) <= MAX_ROOTS or len(set(roots)) != len(roots):
        raise MalformedError("a CAR has 1 to 1024 distinct roots", field="roots")
    body = _MAP_ROOTS + _array_head(len(roots)) + b"".join(_LINK + root.raw for root in roots) + _VERSION_1
    return uvarint(len(body)) + body


def no_roots() -> bytes:
    """The head of a CAR that only carries blocks. For nodes to read; `read_header` takes none such."""
    body = _MAP_ROOTS + _array_head(0) + _VERSION_1
    return uvarint(len(body)) + body


def section(cid: Cid, block: bytes) -> bytes:
    """One block as a CAR holds it: length, CID, bytes."""
    return section_head(cid, block) + block


def section_head(cid: Cid, block: bytes) -> bytes:
    """What stands before a block in a CAR."""
    return uvarint(CID_LENGTH + len(block)) + cid.raw


def read_header(source: BinaryIO) -> list[Cid]:
    """Read the head of a CAR and return its roots, 1 to 1024, distinct.

    Only canonical dag-cbor of exactly {roots, version: 1}: MalformedError for any other; CorruptError if cut off.
    """
    body = _read_frame(source, _MAX_HEADER)
    if body is None:
        raise CorruptError("a CAR without a header")
    # The number of roots follows from the length; writing the header again then settles every other byte.
    count = (len(body) - len(_MAP_ROOTS) - len(_VERSION_1)) // (len(_LINK) + CID_LENGTH)
    at = len(_MAP_ROOTS) + len(_array_head(max(count, 0))) + len(_LINK)
    stride = len(_LINK) + CID_LENGTH
    roots = [Cid.from_bytes(body[i : i + CID_LENGTH]) for i in range(at, at + count * stride, stride)]
    if header(roots) != uvarint(len(body)) + body:
        raise MalformedError("not the header of a CARv1")
    return roots


def read_blocks(source: BinaryIO) -> Iterator[tuple[Cid, bytes]]:
    """The blocks behind the header, to the end of `source`, each verified against its CID. Holds one block.

    CorruptError: cut off, or a block that is not its CID's. MalformedError: a CID of another form, a block over 2 MiB.
    """
    while (frame := _read_frame(source, CID_LENGTH + MAX_BLOCK)) is not None:
        cid, block = Cid.from_bytes(frame[:CID_LENGTH]), frame[CID_LENGTH:]
        cid.verify(block)
        yield cid, block


def _array_head(count: int) -> bytes:
    if count < 24:
        return bytes((0x80 | count,))
    return bytes((0x98, count)) if count < 256 else b"\x99" + count.to_bytes(2, "big")


def _read_frame(source: BinaryIO, limit: int) -> bytes | None:
    """The next length-prefixed frame, None at the end; MalformedError above `limit`, before anything is allocated."""
    prefix = source.read(1)
    if not prefix:
        return None
    while prefix[-1] & 0x80 and len(prefix) < 9:
        prefix += _read_exactly(source, 1)
    length, _ = take_uvarint(prefix, 0)
    if length > limit:
        raise MalformedError("a part of a CAR is over its limit")
    return _read_exactly(source, length)


def _read_exactly(source: BinaryIO, length: int) -> bytes:
    data = read_up_to(source, length)
    if len(data) < length:
        raise CorruptError("a CAR is cut off")
    return data
