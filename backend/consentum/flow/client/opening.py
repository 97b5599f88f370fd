# SPDX-License-Identifier: Apache-2.0
"""A record in the clear as a stream: what is not read is neither fetched nor decrypted."""

from __future__ import annotations

from collections.abc import Iterator
from io import SEEK_END
from typing import BinaryIO

from consentum.crypto.envelope import EnvelopeReader
from consentum.crypto.ranged import chunks
from consentum.domain.cid import RAW, Cid
from consentum.domain.records import LARGE_BYTES
from consentum.ports.peers import Depository


def is_large(depository: Depository, cid: Cid) -> bool:
    """Whether a content is too large for memory. What is one block never is; of others the root says."""
    if cid.codec == RAW:
        return False
    with depository.open(cid) as file:
        return file.seek(0, SEEK_END) > LARGE_BYTES


class Opened:
    """A sealed record and its key. Its name, type and size are authentic from the start. CorruptError if it was cut,
    changed or sealed under another key; what `source` raises. Closes `source`, in that case at once."""

    def __init__(self, key: bytes, source: BinaryIO) -> None:
        self._source = source
        try:
            self._reader = EnvelopeReader(key, source, source.seek(0, SEEK_END))
        except BaseException:
            source.close()
            raise
        self.header, self.size = self._reader.header, self._reader.size

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the content, fewer at its end."""
        return self._reader.read_at(offset, length)

    def chunks(self) -> Iterator[bytes]:
        """The whole content in order, 1 MiB at a time."""
        return chunks(self.read_at, self.size)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
