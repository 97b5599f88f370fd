# SPDX-License-Identifier: Apache-2.0
"""Blocks of a DAG fetched before they are asked for: a store behind a network is slow by its distance, not its line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Final

from consentum.adapters.ipfs import unixfs
from consentum.domain.cid import DAG_PB, Cid

WINDOW: Final = 8


class Ahead:
    """A `unixfs.Fetch` for whoever walks whole DAGs, parents first, in their order. At most `WINDOW` blocks wait
    (16 MiB), fetched by `pool` with `fetch`, which verifies. For one thread, one walk. known: names leaves whose bytes
    the walk does not look at; they are not fetched."""

    def __init__(self, fetch: unixfs.Fetch, pool: Executor, known: Callable[[Cid], bool] = lambda _: False) -> None:
        self._fetch, self._pool, self._known = fetch, pool, known
        self._upcoming: deque[Cid] = deque()
        self._waiting: dict[Cid, Future[bytes]] = {}

    def __call__(self, cid: Cid) -> bytes:
        """See `unixfs.Fetch`."""
        if self._known(cid):
            return b""
        # The walk leaves out what it has seen; whatever lies before `cid` will not be asked for any more.
        if cid in self._upcoming:
            while self._upcoming and (passed := self._upcoming.popleft()) != cid:
                if passed not in self._upcoming:
                    self._waiting.pop(passed, None)
        future = self._waiting.pop(cid, None)
        block = self._fetch(cid) if future is None else future.result()
        if cid.codec == DAG_PB:
            children = [link.cid for link in unixfs.decode_node(cid, block) if not self._known(link.cid)]
            self._upcoming.extendleft(reversed(children))
        self._fill()
        return block

    def _fill(self) -> None:
        for index, cid in enumerate(self._upcoming):
            if index == WINDOW or len(self._waiting) >= WINDOW:
                return
            if cid not in self._waiting:
                self._waiting[cid] = self._pool.submit(self._fetch, cid)
