# SPDX-License-Identifier: Apache-2.0
"""Where a job's records come from: by position, a few at a time, as often as it asks. In the runner they are leased
(`leases.py`); in the job's own process they come over a pipe (`frames.py`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from consentum.crypto.ranged import RangedFile, ReadAt, chunks
from consentum.errors import MalformedError

MAX_BATCH = 32
# What `content` holds at most at once; beyond it a record is read by `open`.
MAX_CONTENT = 1 << 30


@dataclass(frozen=True, slots=True)
class Ranged:
    """A large record's content: `size` bytes that are fetched when they are read. position: the record's."""

    position: int
    size: int
    read_at: ReadAt = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One decrypted record. pseudonym: the same for the same patient within a study. A large one (from 8 MiB) is read
    as it is needed: `open` gives it as a file, and raises ConsentChanged where its consent has ended meanwhile."""

    pseudonym: str
    name: str
    content_type: str
    held: bytes | Ranged = field(repr=False)

    @property
    def size(self) -> int:
        """Of the content, in bytes."""
        return len(self.held) if isinstance(self.held, bytes) else self.held.size

    @property
    def content(self) -> bytes:
        """All of it in memory. MalformedError above 1 GiB: use `open`."""
        if isinstance(self.held, bytes):
            return self.held
        if self.size > MAX_CONTENT:
            raise MalformedError(f"above {MAX_CONTENT} bytes a record is read by open()", field="content")
        return b"".join(self.chunks())

    def open(self) -> BinaryIO:
        """The content as a file to read and seek in."""
        return cast("BinaryIO", RangedFile(self.read_at, self.size))

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on, fewer at the end."""
        if isinstance(self.held, bytes):
            return self.held[offset : offset + length]
        return self.held.read_at(offset, length)

    def chunks(self) -> Iterator[bytes]:
        """The content in order, 1 MiB at a time."""
        return chunks(self.read_at, self.size)

    def save(self, path: Path) -> None:
        """Writes it to a new file that only its owner can read, in constant memory; it is there when it is whole."""
        from consentum.adapters.store.new_file import new_file  # noqa: PLC0415 - the job's process needs no database

        with new_file(path) as file:
            for chunk in self.chunks():
                file.write(chunk)

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Batch:
    """records: as many as there are from a position on, at most as many as asked for. next: where to go on, None at
    the end. ended: positions whose consent has ended since this was last told. changed: the job must be told."""

    records: tuple[JobRecord, ...]
    next: int | None
    ended: tuple[int, ...] = ()
    changed: bool = False


class Source(Protocol):
    """Records in the order of their ids. groups: one pseudonym per record. schema: the data dictionary, if any."""

    @property
    def groups(self) -> Sequence[str]: ...

    @property
    def schema(self) -> Sequence[Any]: ...

    def batch(self, start: int, count: int) -> Batch:
        """From position `start` on."""
        ...

    def read(self, position: int, offset: int, length: int) -> bytes:
        """Up to `length` bytes of the large record at `position`. ConsentChanged if it is not released any longer."""
        ...
