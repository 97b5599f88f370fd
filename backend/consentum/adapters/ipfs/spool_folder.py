# SPDX-License-Identifier: Apache-2.0
"""The Spool port: sealed files of mode 0600 in one folder, hashed while they are written."""

from __future__ import annotations

import fcntl
import io
import os
import secrets
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import IO, BinaryIO, cast

from consentum.adapters.ipfs import unixfs
from consentum.adapters.store.engine import storage_errors
from consentum.adapters.store.files import sync_folder
from consentum.domain.cid import Cid
from consentum.errors import MalformedError, NotFoundError

QUEUED_CHUNKS = 4
_UNNAMED = ".part"


class SpoolFolder:
    """`ports.spool.Spool`. A file is locked by the process that filled it, so that another knows whether it lives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine: dict[Cid, IO[bytes]] = {}

    def fill(self, write: Callable[[BinaryIO], None]) -> Cid:
        """See the port. Hashing has a thread of its own: it leaves Python's lock, and so does encryption's caller."""
        with storage_errors():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{secrets.token_hex(8)}{_UNNAMED}"
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            file = os.fdopen(handle, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            with storage_errors():
                cid = _hashed_copy(write, file)
                os.fsync(file.fileno())
                path.rename(self._folder / str(cid))
                sync_folder(self._folder)
        except BaseException:
            file.close()
            path.unlink(missing_ok=True)
            raise
        self._mine[cid] = file
        return cid

    def open(self, cid: Cid) -> BinaryIO:
        """See the port."""
        try:
            return (self._folder / str(cid)).open("rb")
        except OSError:
            raise NotFoundError("nothing is spooled under this CID", field="cid") from None

    def drop(self, cid: Cid) -> None:
        """See the port."""
        (self._folder / str(cid)).unlink(missing_ok=True)
        held = self._mine.pop(cid, None)
        if held is not None:
            held.close()

    def cids(self) -> list[Cid]:
        """See the port."""
        found = []
        for path in self._paths():
            with suppress(MalformedError):
                found.append(Cid.parse(path.name))
        return sorted(found)

    def sweep(self, keep: Collection[Cid]) -> None:
        """See the port."""
        names = {str(cid) for cid in keep}
        for path in self._paths():
            if path.name not in names and not _is_held(path):
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.is_file()] if self._folder.is_dir() else []


class _Tap(io.RawIOBase):
    """A sink that writes to a file and hands a copy of every chunk on."""

    def __init__(self, file: IO[bytes], chunks: Queue[bytes | None]) -> None:
        self._file, self._chunks = file, chunks

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(cast("bytes", data))  # the envelope writes over its buffer
        self._chunks.put(chunk)
        rest = memoryview(chunk)
        while rest:
            rest = rest[self._file.write(rest) :]
        return len(chunk)


class _Chunks(io.RawIOBase):
    """The other end: a source over the chunks, until None."""

    def __init__(self, chunks: Queue[bytes | None]) -> None:
        self._chunks, self._rest, self._over = chunks, memoryview(b""), False

    def read(self, size: int = -1) -> bytes:
        if not self._rest and not self._over:
            chunk = self._chunks.get()
            self._over, self._rest = chunk is None, memoryview(chunk or b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)

    def drain(self) -> None:
        """So that no writer waits for a hasher that is gone."""
        while not self._over:
            self._over = self._chunks.get() is None


def _hashed_copy(write: Callable[[BinaryIO], None], file: IO[bytes]) -> Cid:
    chunks: Queue[bytes | None] = Queue(QUEUED_CHUNKS)
    found: list[Cid | BaseException] = []

    def hashing() -> None:
        source = _Chunks(chunks)
        try:
            found.append(unixfs.cid_of(cast("BinaryIO", source)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            found.append(error)
        source.drain()

    thread = Thread(target=hashing, daemon=True)
    thread.start()
    try:
        write(cast("BinaryIO", _Tap(file, chunks)))
    finally:
        chunks.put(None)
        thread.join()
    [result] = found
    if isinstance(result, BaseException):
        raise result
    return result


def _is_held(path: Path) -> bool:
    """Whether a living process has it locked."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
