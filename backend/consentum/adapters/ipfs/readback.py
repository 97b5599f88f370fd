# SPDX-License-Identifier: Apache-2.0
"""Leaves are read back while others are still on their way in, so that a large file is not waited for twice."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Executor, Future
from typing import Final

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.manifest import Manifest
from consentum.domain.cid import Cid
from consentum.errors import ConsentumError

LAG: Final = 160
"""Blocks that a node may keep to itself before it writes them: Kubo collects 128, or 100 MiB."""
_AT_ONCE: Final = 4
_MOST: Final = 4_096


class ReadBack:
    """Tells the manifest which of the leaves that were sent came back sound. Whatever did not, for whatever reason, is
    asked for again when all are in. Only for the time in which the node removes nothing.

    For one thread; `fetch`, which verifies, runs on `pool`.
    """

    def __init__(self, fetch: unixfs.Fetch, pool: Executor, manifest: Manifest) -> None:
        self._fetch, self._pool, self._manifest = fetch, pool, manifest
        self._sent: deque[Cid] = deque(maxlen=_MOST)
        self._asked: deque[tuple[Cid, Future[None]]] = deque()

    def sent(self, leaf: Cid) -> None:
        """`leaf` has gone out. Never waits."""
        self._sent.append(leaf)
        while self._asked and self._asked[0][1].done():
            self._note()
        while len(self._sent) > LAG and len(self._asked) < _AT_ONCE:
            cid = self._sent.popleft()
            self._asked.append((cid, self._pool.submit(self._verify, cid)))

    def end(self) -> None:
        """Waits for what was asked for."""
        while self._asked:
            self._note()

    def _note(self) -> None:
        cid, future = self._asked.popleft()
        if future.exception() is None:
            self._manifest.came_back(cid)
        elif not isinstance(future.exception(), ConsentumError):
            future.result()

    def _verify(self, cid: Cid) -> None:
        self._fetch(cid)
