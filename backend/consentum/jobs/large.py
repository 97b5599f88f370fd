# SPDX-License-Identifier: Apache-2.0
"""A job's large record, read in parts. What a part needs of the ciphertext is here before its key is asked for, so that
no key waits in memory for a network; and it is opened out of memory alone."""

from __future__ import annotations

from collections.abc import Callable
from io import SEEK_END, SEEK_SET
from typing import BinaryIO, cast

from consentum.crypto.envelope import SEGMENT_SIZE, EnvelopeReader, Header


class LargeRecord:
    """One sealed record. lease: gives its data key; called when all that it is to open has been fetched. Closes
    `source`."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._sealed = source.seek(0, SEEK_END)
        self._segments = _Segments()
        self._reader: EnvelopeReader | None = None

    def about(self, lease: Callable[[], bytes]) -> tuple[Header, int]:
        """Its name and type, and the length of its content."""
        reader = self._opened(lease)
        return reader.header, reader.size

    def read_at(self, lease: Callable[[], bytes], offset: int, length: int) -> bytes:
        """Up to `length` bytes of the content, fewer at its end. CorruptError."""
        # Which segments these are is known when it was opened once; that is no secret and outlives the key.
        self._fetch(self._opened(lease).segments(offset, length))
        return self._opened(lease).read_at(offset, length)

    def forget(self) -> None:
        """Drops what the key opens with. May be called by another thread at any time."""
        self._reader = None

    def close(self) -> None:
        self.forget()
        self._source.close()

    def _opened(self, lease: Callable[[], bytes]) -> EnvelopeReader:
        if not self._segments.held:
            self._fetch(range(0))
        key = lease()  # each time: whether it may still be read is decided there
        reader = self._reader
        if reader is None:
            reader = EnvelopeReader(key, cast("BinaryIO", self._segments), self._sealed)
            self._reader = reader
        return reader

    def _fetch(self, segments: range) -> None:
        """These, the first and the last, by which the envelope is opened; all others go."""
        last = max(-(-self._sealed // SEGMENT_SIZE) - 1, 0)
        before, held = self._segments.held, {}
        for index in sorted({0, last, *segments}):
            if (data := before.get(index)) is None:
                self._source.seek(index * SEGMENT_SIZE)
                data = self._source.read(SEGMENT_SIZE)
            held[index] = data
        self._segments.held = held


class _Segments:
    """A file of which only some segments are there; `EnvelopeReader` reads within one at a time."""

    def __init__(self) -> None:
        self.held: dict[int, bytes] = {}
        self._position = 0

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        assert whence == SEEK_SET
        self._position = offset
        return offset

    def read(self, size: int) -> bytes:
        index, start = divmod(self._position, SEGMENT_SIZE)
        data = self.held.get(index, b"")[start : start + size]
        self._position += len(data)
        return data
