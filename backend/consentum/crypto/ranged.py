# SPDX-License-Identifier: Apache-2.0
"""A file over anything that gives a range of bytes: an opened envelope, or one at the other end of a pipe."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from io import SEEK_CUR, SEEK_END, SEEK_SET
from typing import Any

from consentum.errors import MalformedError

CHUNK: int = 1 << 20
ReadAt = Callable[[int, int], bytes]
"""(offset, length) to that many bytes, fewer at the end."""


class RangedFile(io.RawIOBase):
    """`size` bytes to read and seek in. Reading raises what `read_at` raises."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at, self._position, self.size = read_at, 0, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        base = {SEEK_SET: 0, SEEK_CUR: self._position, SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise MalformedError("an offset before the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all that are left if it is negative."""
        left = max(self.size - self._position, 0)
        wanted = left if size < 0 else min(size, left)
        data = self._read_at(self._position, wanted) if wanted else b""
        self._position += len(data)
        return data


def chunks(read_at: ReadAt, size: int) -> Iterator[bytes]:
    """All of it in order, 1 MiB at a time."""
    for offset in range(0, size, CHUNK):
        yield read_at(offset, min(CHUNK, size - offset))
