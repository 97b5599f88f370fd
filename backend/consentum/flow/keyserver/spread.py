# SPDX-License-Identifier: Apache-2.0
"""Key servers tell each other what they hold: each new notice is passed on, and what was missed is fetched at a start.

A notice proves itself, so no peer is trusted: what it gives goes through `notice.accept` like anybody's, what nobody
entitled signed is left out, and what cannot be read ends the page.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from consentum.domain.parsing import MAX_ITEMS, as_integer, as_object
from consentum.errors import ConsentumError, CorruptError, MalformedError, RefusedError, UnavailableError
from consentum.flow.keyserver import notice
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.wire import Notice
from consentum.ports.peers import NoticePeer

log = logging.getLogger("consentum.keyserver")
MAX_PASSED_AT_ONCE = 100
# However long a peer goes on giving new notices: it must not keep this server from its work for ever.
MAX_FETCH_ROUNDS = 30


def page(server: KeyServer, after: int) -> dict[str, Any]:
    """What this server holds from the first notice after number `after`, in the order of their coming."""
    if after < 0:
        raise MalformedError("after is not a number in range", field="after")
    found = server.store.arrivals(after, MAX_ITEMS)
    return {"notices": [{"number": arrival.number, **notice.read(arrival.notice).to_json()} for arrival in found]}


def pass_on(server: KeyServer, peer: NoticePeer) -> bool:
    """Gives a peer what it was not given yet, in order; whether that was all.

    Nothing is skipped that the peer could take later: UnavailableError and RefusedError leave the place where it was.
    """
    waiting = server.store.arrivals(server.store.passed_on(peer.endpoint), MAX_PASSED_AT_ONCE)
    for arrival in waiting:
        try:
            peer.notice(notice.read(arrival.notice).to_json())
        except (UnavailableError, RefusedError):
            raise
        except ConsentumError as error:
            log.info("a peer does not take a notice: %s", error.code)  # its last word: no use in repeating it
        server.store.pass_on(peer.endpoint, arrival.number)
    return len(waiting) < MAX_PASSED_AT_ONCE


def fetch_page(server: KeyServer, peer: NoticePeer, after: int, waiting: Waiting) -> int | None:
    """The peer's next page, taken in; where the one after it begins, or None after the last. A start reads a peer from
    the beginning: its numbers may have changed if it was restored itself, and what is known costs no question.
    UnavailableError, CorruptError: the peer fails or talks nonsense."""
    found = _parse(peer.notices(after), after)
    if notice.take(server, [made for _, made in found if not notice.is_known(server, made)]):
        waiting.progress()
    if not found:
        waiting.done(peer.endpoint)
        return None
    return found[-1][0]


def _parse(data: Mapping[str, Any], after: int) -> list[tuple[int, Notice]]:
    """Numbers that only grow, at most 1,000: else a peer could keep us in a circle. CorruptError."""
    try:
        items = as_object(data, "notices", "notices")["notices"]
        if not isinstance(items, list) or len(items) > MAX_ITEMS:
            raise MalformedError("not a page of notices", field="notices")
        found = []
        for item in items:
            body = as_object(item, "notice", "number", "kind", "message", "signature")
            number = as_integer(body["number"], "number", 1 << 62)
            if number <= after:
                raise MalformedError("the notices are not in order", field="number")
            after = number
            found.append((number, Notice.parse({key: body[key] for key in ("kind", "message", "signature")})))
    except MalformedError as error:
        raise CorruptError(f"a peer's page of notices: {error}", field="notices") from None
    return found


@dataclass(slots=True)
class Waiting:
    """For which peers a server waits before it releases. It ends when all were asked, or when none gave anything new
    for `patience` seconds (server's monotonic clock): peers that are down must not keep it from its work, since every
    notice is on its way to the chain too, and what one server releases alone opens nothing."""

    server: KeyServer
    patience: float
    peers: set[str]
    _since: float = field(init=False)
    _began: float = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._since = self._began = self.server.monotonic()
        self.server.unfetched = bool(self.peers)

    def check(self) -> bool:
        """Whether it still waits. Once over, it stays over."""
        with self._lock:
            now = self.server.monotonic()
            over = now - self._since >= self.patience or now - self._began >= MAX_FETCH_ROUNDS * self.patience
            if over or not self.peers:
                self.server.unfetched = False
            return self.server.unfetched

    def progress(self) -> None:
        with self._lock:
            self._since = self.server.monotonic()

    def done(self, endpoint: str) -> None:
        with self._lock:
            self.peers.discard(endpoint)
        self.check()
