# SPDX-License-Identifier: Apache-2.0
"""What has arrived of a content that is being fetched, so that an interrupted download goes on: its blocks, as sections
of a CAR, one behind the other in a file of mode 0600. They are sealed, and verified again when they are used."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from pathlib import Path

from consentum.adapters.ipfs.car import section
from consentum.adapters.ipfs.unixfs import MAX_BLOCK, take_uvarint
from consentum.domain.cid import CID_LENGTH, RAW, Cid
from consentum.errors import ConsentumError

STALE_SECONDS = 3 * 86_400
_PREFIX = 4  # a length of at most 2 MiB and a CID


class Kept:
    """The file at `path`. Safe between threads; a second process that opens it keeps nothing and finds nothing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(path.parent)
        self._path, self._lock = path, threading.Lock()
        self._places: dict[Cid, tuple[int, int]] = {}
        self.leaf_bytes = 0
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
        else:
            self._end = self._load()

    def get(self, cid: Cid) -> bytes | None:
        """The verified block, or None if it is not here or not what it was."""
        with self._lock:
            place = self._places.get(cid)
            if place is None or self._file.closed:
                return None
            block = os.pread(self._file.fileno(), place[1], place[0])
        try:
            cid.verify(block)
        except ConsentumError:
            with self._lock:
                self._places.pop(cid, None)
            return None
        return block

    def add(self, cid: Cid, block: bytes) -> None:
        """Keeps a verified block. A full disk is no reason to stop reading: then it is not kept."""
        written = section(cid, block)
        with self._lock:
            if self._file.closed or cid in self._places:
                return
            with contextlib.suppress(OSError):
                if os.pwrite(self._file.fileno(), written, self._end) == len(written):
                    self._note(cid, self._end + len(written) - len(block), len(block))
                    self._end += len(written)

    def close(self, drop: bool = False) -> None:
        """drop: it is needed no longer."""
        with self._lock:
            if drop and not self._file.closed:
                self._path.unlink(missing_ok=True)
            self._file.close()

    def _load(self) -> int:
        """Finds what is here; the first byte behind the last whole section."""
        at, size = 0, os.fstat(self._file.fileno()).st_size
        while at < size:
            head = os.pread(self._file.fileno(), _PREFIX + CID_LENGTH, at)
            try:
                length, start = take_uvarint(head, 0)
                cid = Cid.from_bytes(head[start : start + CID_LENGTH])
            except ConsentumError:
                break
            begin, following = at + start + CID_LENGTH, at + start + length
            if not begin <= following <= min(size, begin + MAX_BLOCK):
                break
            self._note(cid, begin, following - begin)
            at = following
        return at

    def _note(self, cid: Cid, at: int, length: int) -> None:
        self._places[cid] = at, length
        self.leaf_bytes += length if cid.codec == RAW else 0


def _sweep(folder: Path) -> None:
    """What nobody came back for goes."""
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink()
