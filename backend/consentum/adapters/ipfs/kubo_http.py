# SPDX-License-Identifier: Apache-2.0
"""HTTP with a node that may be slow, busy or hostile: every answer has a size and a time that it may take."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from queue import Empty, LifoQueue
from typing import Any, Final, TypeVar

from consentum.errors import UnavailableError

ATTEMPTS: Final = 4
MAX_WAIT: Final = 5.0
_MAX_ANSWER = 8 << 20
_PIECE = 1 << 18
_TOGETHER = 256
_BUSY = frozenset({429, 502, 503, 504})

T = TypeVar("T")
Answer = tuple[int, http.client.HTTPMessage, bytes]


class NodeUnreachable(UnavailableError):
    """Nobody listens there."""


class NodeSlow(UnavailableError):
    """It is there, but took too long."""


class NodeBusy(UnavailableError):
    """The node asks to be left alone for `seconds`."""

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds


class NodeRefused(UnavailableError):
    """The node says that it cannot; `text` is its own word, believed in nothing."""

    def __init__(self, text: str) -> None:
        self.text = "".join(c for c in text[:300] if c.isprintable())
        super().__init__(f"the IPFS node refuses: {self.text}")


def patiently(act: Callable[[], T]) -> T:
    """`act`, again while the node is busy: at most four times, waiting at most 5 s each time."""
    for turn in range(ATTEMPTS):
        try:
            return act()
        except NodeBusy as busy:
            if turn == ATTEMPTS - 1:
                raise UnavailableError(str(busy)) from None  # nobody is to be patient with it once more
            time.sleep(pause(busy, turn))
    raise AssertionError("the last turn returns or raises")


def pause(busy: NodeBusy, turn: int) -> float:
    """Seconds to wait before turn + 1: what the node asked for, else a growing time; never above 5 s."""
    return min(MAX_WAIT, busy.seconds if busy.seconds is not None else 0.1 * 3**turn)


def retry_after(header: str | None) -> float | None:
    """The seconds of a Retry-After; None if there is none, or it is a date."""
    try:
        return max(0.0, float(header or ""))
    except ValueError:
        return None


class Endpoint:
    """Kept-alive connections to one address."""

    def __init__(self, scheme: str, host: str, port: int, timeout: float) -> None:
        self._kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._timeout = host, port, timeout
        self._idle: LifoQueue[http.client.HTTPConnection] = LifoQueue()

    def exchange(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        limit: int = _MAX_ANSWER,
        seconds: float | None = None,
    ) -> Answer:
        """One request without a body. seconds: for an answer that takes longer. NodeUnreachable, UnavailableError."""
        until = time.monotonic() + (seconds or self._timeout)
        while True:
            connection, fresh = self._connection()
            try:
                connection.request(method, path, headers=dict(headers or {}))
                answer = _read(connection, until, limit)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                # A node may have closed a kept connection while it was idle: a new one tells whether it is there.
                if fresh or isinstance(error, TimeoutError):
                    raise _unavailable(error) from None
            except BaseException:
                connection.close()
                raise
            else:
                self._idle.put(connection)
                return answer

    def stream(self, path: str, kind: str, body: Iterable[bytes]) -> Answer:
        """POSTs `body` of content type `kind` as it comes. The node's answer, also one given before the end."""
        connection = self._kind(self._host, self._port, timeout=self._timeout)
        try:
            try:
                connection.putrequest("POST", path)
                connection.putheader("Content-Type", kind)
                connection.putheader("Transfer-Encoding", "chunked")
                connection.endheaders()
            except OSError as error:
                raise _unavailable(error) from None
            for pieces in _gathered(body):
                length = sum(map(len, pieces))
                if not _sent(connection, [b"%x\r\n" % length, *pieces, b"\r\n"]):
                    break
            else:
                _sent(connection, [b"0\r\n\r\n"])
            # The node writes its last blocks and walks the DAG to pin it before it answers.
            return _read(connection, time.monotonic() + 4 * self._timeout, _MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise _unavailable(error) from None
        finally:
            connection.close()

    def close(self) -> None:
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _connection(self) -> tuple[http.client.HTTPConnection, bool]:
        try:
            return self._idle.get_nowait(), False
        except Empty:
            return self._kind(self._host, self._port, timeout=self._timeout), True


def good(answer: Answer) -> bytes:
    """The body of an answer that is one. NodeBusy, NodeRefused, UnavailableError."""
    status, headers, body = answer
    if status == 200:
        return body
    text = _message(body)
    if status in _BUSY or (status == 500 and text is None):
        raise NodeBusy(f"the IPFS node is busy (status {status})", retry_after(headers.get("Retry-After")))
    if text is None:
        raise UnavailableError(f"the IPFS node answers with status {status}")
    raise NodeRefused(text)


def objects(body: bytes) -> list[dict[str, Any]]:
    """The JSON objects of `body`, one a line, as Kubo sends them. UnavailableError for anything else."""
    try:
        found = [json.loads(line) for line in body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        found = [None]
    if not all(isinstance(item, dict) for item in found):
        raise UnavailableError("the IPFS node answers with something that is not JSON")
    return found


def _message(body: bytes) -> str | None:
    """What Kubo says went wrong, if it is Kubo that says it."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    text = told.get("Message") if isinstance(told, dict) else None
    return text if isinstance(text, str) else None


def _gathered(body: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Small pieces together, so that each costs no packet of its own; none of them is copied."""
    pieces: list[bytes] = []
    for piece in filter(None, body):
        pieces.append(piece)
        if len(pieces) == _TOGETHER or len(piece) >= _PIECE:
            yield pieces
            pieces = []
    if pieces:
        yield pieces


def _sent(connection: http.client.HTTPConnection, pieces: Sequence[bytes]) -> bool:
    """False if the node listens no longer: it may have answered already."""
    try:
        if not isinstance(connection.sock, socket.socket) or isinstance(connection.sock, ssl.SSLSocket):
            connection.send(b"".join(pieces))
            return True
        views = [memoryview(piece) for piece in pieces]
        while views:
            gone = connection.sock.sendmsg(views)
            while views and gone >= len(views[0]):
                gone -= len(views.pop(0))
            views[:1] = [views[0][gone:]] if views else []
    except TimeoutError:
        raise
    except OSError:
        return False
    return True


def _read(connection: http.client.HTTPConnection, until: float, limit: int) -> Answer:
    """The whole answer. TimeoutError after `until`, UnavailableError above `limit` bytes."""
    sock = connection.sock
    if sock is None:
        raise ConnectionResetError
    sock.settimeout(_left(until))
    response = connection.getresponse()
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise UnavailableError("the IPFS node answers at too great a length")
        sock.settimeout(_left(until))
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    response.close()  # or http.client takes the connection for one that is still answering
    return response.status, response.headers, b"".join(pieces)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _unavailable(error: Exception) -> UnavailableError:
    if isinstance(error, ConnectionRefusedError):
        return NodeUnreachable("the IPFS node does not answer (nobody listens)")
    if isinstance(error, TimeoutError):
        return NodeSlow("the IPFS node does not answer in time")
    return UnavailableError(f"the IPFS node does not answer ({type(error).__name__})")
