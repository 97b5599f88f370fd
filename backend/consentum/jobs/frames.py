# SPDX-License-Identifier: Apache-2.0
"""How records cross into the job's process: frames of length-prefixed JSON and content on a pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

from consentum.errors import CorruptError

MAX_META = 65_536


def write(sink: IO[bytes], meta: dict[str, Any], content: bytes) -> None:
    """One frame: 4-byte length, JSON, 8-byte length, content."""
    head = json.dumps(meta).encode()
    sink.write(len(head).to_bytes(4, "big") + head + len(content).to_bytes(8, "big"))
    sink.write(content)


def end(sink: IO[bytes]) -> None:
    """The frame after the last: a reader that misses it knows that records are missing."""
    sink.write(bytes(4))
    sink.flush()


def read(source: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Frames until the end frame; CorruptError if the pipe ends before it."""
    while True:
        length = int.from_bytes(_exactly(source, 4), "big")
        if length == 0:
            return
        if length > MAX_META:
            raise CorruptError("a frame is too large")
        meta = json.loads(_exactly(source, length))
        yield meta, _exactly(source, int.from_bytes(_exactly(source, 8), "big"))


def _exactly(source: IO[bytes], length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise CorruptError("the records end too early")
    return data
