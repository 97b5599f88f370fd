# SPDX-License-Identifier: Apache-2.0
"""What is written to several stores is read once: here, on disk, and then by each store at its own pace."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, cast

from consentum.errors import UnavailableError

PIECE: Final = 1 << 20


class Spool:
    """The rest of `source`, to be read any number of times at once; constant memory.

    A regular file is read where it is, and must not change meanwhile; anything else is copied to a file in `folder`
    that has no name, so that nothing is left of it whatever happens. `source` is at its end afterwards.
    UnavailableError if the disk does not take it.
    """

    def __init__(self, source: BinaryIO, folder: Path) -> None:
        self._start, self._handle = 0, _own_handle(source)
        if self._handle is None:
            self._handle = _copy(source, folder)
        else:
            self._start = source.tell()
            source.seek(0, os.SEEK_END)
        self.size = os.fstat(self._handle).st_size - self._start

    def open(self, at: int = 0) -> BinaryIO:
        """A reader of its own, from byte `at` on."""
        return as_file(_Window(self, at))

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes at `offset`; fewer only at the end."""
        assert self._handle is not None
        return os.pread(self._handle, min(length, max(self.size - offset, 0)), self._start + offset)

    def close(self) -> None:
        """Lets go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Window(io.RawIOBase):
    """A reader of a spool with a place of its own."""

    def __init__(self, spool: Spool, at: int) -> None:
        self._spool, self._at = spool, at

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._spool.size}[whence]
        self._at = max(start + offset, 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = self._spool.pread(self._at, len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


class Pieces(io.RawIOBase):
    """A reader of what `make` gives, a piece at a time; rewound, it is made anew."""

    def __init__(self, make: Callable[[], Iterator[bytes]]) -> None:
        self._make, self._pieces, self._rest, self._at = make, make(), memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """To the beginning, or nowhere: UnsupportedOperation."""
        if (offset, whence) == (0, os.SEEK_SET):
            self._pieces, self._rest, self._at = self._make(), memoryview(b""), 0
        elif (offset, whence) not in ((0, os.SEEK_CUR), (self._at, os.SEEK_SET)):
            raise io.UnsupportedOperation("only to the beginning")
        return self._at

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        view = memoryview(buffer)
        length = min(len(view), len(self._rest))
        view[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        self._at += length
        return length


def as_file(reader: io.RawIOBase) -> BinaryIO:
    """The reader with a buffer, as the stores take it."""
    return cast(BinaryIO, io.BufferedReader(reader, PIECE))


def _own_handle(source: BinaryIO) -> int | None:
    """A handle of our own to the file behind `source`; None if it is no regular file."""
    try:
        handle = os.dup(source.fileno())
    except (OSError, AttributeError):
        return None
    if stat.S_ISREG(os.fstat(handle).st_mode) and source.seekable():
        return handle
    os.close(handle)
    return None


def _copy(source: BinaryIO, folder: Path) -> int:
    with TemporaryFile(dir=folder) as file:
        while piece := source.read(PIECE):
            try:
                file.write(piece)
            except OSError as error:
                raise UnavailableError(f"no room to take a file in: {error.strerror}") from None
        try:
            file.flush()
        except OSError as error:
            raise UnavailableError(f"no room to take a file in: {error.strerror}") from None
        return os.dup(file.fileno())
