# SPDX-License-Identifier: Apache-2.0
"""Sending one large content to a gateway so that it can be interrupted: a piece at a time, each durable before the
next, and after any failure on from where the gateway says it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import SEEK_END
from typing import Any, BinaryIO

from consentum.adapters.peers.http import HttpClient
from consentum.domain.cid import Cid
from consentum.domain.parsing import as_integer
from consentum.errors import ConflictError, ConsentumError, CorruptError, NotFoundError, UnavailableError

MAX_PIECE = 16 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
# So often in a row without a byte arriving.
MAX_FAILURES = 6
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# How long a gateway may take to verify and store what is whole.
STORING_SECONDS, STORED_BYTES_PER_SECOND = 120.0, 10 * 1024 * 1024
Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _State:
    """What the gateway says of the upload. root: once it is stored."""

    id: str
    offset: int
    piece: int
    root: str | None

    @classmethod
    def parse(cls, answer: Any, size: int) -> _State:
        """UnavailableError for what is no such answer: a peer that gives one is a peer that does not answer."""
        try:
            identity, root = answer["upload"], answer["root"]
            offset = as_integer(answer["offset"], "offset", size + 1)
            piece = as_integer(answer["piece"], "piece", MAX_PIECE + 1)
        except (ConsentumError, KeyError, TypeError):
            raise UnavailableError("an answer about an upload that says nothing") from None
        good = isinstance(identity, str) and identity.isalnum() and len(identity) <= 64 and piece > 0
        if not good or not isinstance(root, str | None):
            raise UnavailableError("an answer about an upload that says nothing")
        return cls(identity, offset, piece, root)


def send(client: HttpClient, cid: Cid, source: BinaryIO, advance: Advance) -> None:
    """Sends what `source` holds, which is `cid`'s content; returns when the gateway has stored it. advance is told of
    every byte once. What the gateway refuses is raised as it is, UnavailableError after some failures in a row."""
    sending = _Sending(client, cid, source, advance)
    failures = 0
    while True:
        before = sending.arrived
        try:
            sending.go_on()
        except (ConflictError, UnavailableError, NotFoundError) as error:
            failures = failures + 1 if sending.arrived == before else 1
            is_refused = isinstance(error, NotFoundError) and error.field != "upload"
            if is_refused or getattr(error, "field", None) == "size" or failures >= MAX_FAILURES:
                raise
            time.sleep(min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE))
        else:
            return


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of the source, read as it is sent: a large body at once costs a client many times its size."""

    source: BinaryIO
    offset: int
    length: int

    def __iter__(self) -> Iterator[bytes]:
        self.source.seek(self.offset)
        left = self.length
        while left > 0:
            chunk = self.source.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise CorruptError("the file became shorter while it was sent", field="content")
            left -= len(chunk)
            yield chunk


class _Sending:
    def __init__(self, client: HttpClient, cid: Cid, source: BinaryIO, advance: Advance) -> None:
        self._client, self._cid, self._source, self._advance = client, cid, source, advance
        self._size = source.seek(0, SEEK_END)
        self.arrived = 0

    def go_on(self) -> None:
        """From where the gateway says it is to the end."""
        state = self._told(self._client.post("/v1/uploads", {"cid": str(self._cid), "size": self._size}))
        while state.root is None and state.offset < self._size:
            length = min(state.piece, self._size - state.offset)
            piece = _Piece(self._source, state.offset, length)
            where, header = f"/v1/uploads/{state.id}", {"Upload-Offset": str(state.offset)}
            state = self._told(self._client.patch_bytes(where, piece, length, header))
        until = time.monotonic() + STORING_SECONDS + self._size / STORED_BYTES_PER_SECOND
        while state.root is None:
            if time.monotonic() > until:
                raise UnavailableError("the gateway does not store what it has")
            time.sleep(FIRST_PAUSE)
            state = self._told(self._client.get(f"/v1/uploads/{state.id}"))
        if state.root != str(self._cid):
            raise CorruptError("the store acknowledged other content", field="content")

    def _told(self, answer: Any) -> _State:
        state = _State.parse(answer, self._size)
        end = self._size if state.root is not None else state.offset
        if end > self.arrived:
            self._advance(end - self.arrived)
            self.arrived = end
        return state
