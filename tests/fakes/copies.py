# SPDX-License-Identifier: Apache-2.0
"""The ledger of copies in memory: `ports.copies.CopyLedger` and `ports.pins.PinLedger`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from consentum.domain.cid import Cid
from consentum.errors import UnavailableError
from consentum.ports.copies import CopyState, Kept, Round, Tally
from consentum.ports.pins import PinStatus


class MemoryCopyLedger:
    def __init__(self) -> None:
        self._states: dict[Cid, CopyState] = {}
        self._copies: dict[tuple[Cid, str], bool] = {}
        self._pins: dict[tuple[Cid, str], tuple[PinStatus, float]] = {}
        self._debts: set[tuple[Cid, str]] = set()
        self._writers: Counter[Cid] = Counter()
        self._alone: set[Cid] = set()
        self._lock = Lock()
        self._round = Round()

    @contextmanager
    def hold(self, roots: Iterable[Cid], *, alone: bool, seconds: float) -> Iterator[None]:
        wanted, until = set(roots), time.monotonic() + seconds
        while not self._take(wanted, alone):
            if time.monotonic() >= until:
                raise UnavailableError("held")
            time.sleep(0.001)
        try:
            yield
        finally:
            with self._lock:
                self._alone -= wanted if alone else set()
                self._writers -= Counter() if alone else Counter(wanted)

    def begin(self, roots: Sequence[Cid]) -> None:
        for root in roots:
            if self._states.get(root) != CopyState.KEPT:
                self._states[root] = CopyState.WRITING
        self._debts = {debt for debt in self._debts if debt[0] not in roots}

    def keep(self, roots: Sequence[Cid], nodes: Sequence[str]) -> None:
        for root in roots:
            self._states[root] = CopyState.KEPT
            self._copies |= {(root, node): True for node in nodes}

    def leave(self, roots: Sequence[Cid], names: Sequence[str]) -> None:
        for root in roots:
            self._states[root] = CopyState.LEAVING
            self._debts |= {(root, name) for name in names}
        self._copies = {key: held for key, held in self._copies.items() if key[0] not in roots}
        self._pins = {key: pin for key, pin in self._pins.items() if key[0] not in roots}

    def paid(self, root: Cid, name: str) -> None:
        self._debts.discard((root, name))
        if self.state(root) == CopyState.LEAVING and all(owing != root for owing, _ in self._debts):
            del self._states[root]

    def seen(self, root: Cid, node: str, whole: bool | None) -> None:
        if whole is False:
            self._copies.pop((root, node), None)
        elif self.state(root) == CopyState.KEPT and (whole or (root, node) in self._copies):
            self._copies[root, node] = bool(whole)

    def state(self, root: Cid) -> CopyState | None:
        return self._states.get(root)

    def find(self, root: Cid) -> Kept | None:
        if self.state(root) != CopyState.KEPT:
            return None
        return Kept(root, frozenset(node for held, node in self._copies if held == root))

    def after(self, cursor: bytes, limit: int) -> list[Kept]:
        return [kept for root in sorted(self._states) if root.raw > cursor and (kept := self.find(root))][:limit]

    def writing(self) -> list[Cid]:
        return [root for root, state in self._states.items() if state == CopyState.WRITING]

    def owed(self, name: str, limit: int) -> list[Cid]:
        return sorted(root for root, owing in self._debts if owing == name)[:limit]

    def tally(self, nodes: Sequence[str], wanted: int) -> Tally:
        kept = self.after(b"", len(self._states))
        held = [sum(self._copies[one.root, node] for node in one.nodes if node in nodes) for one in kept]
        return Tally(len(kept), sum(max(wanted - count, 0) for count in held), len(self._debts))

    def round(self) -> Round:
        return self._round

    def set_round(self, where: Round) -> None:
        self._round = where

    def to_pin(self, service: str, now: float, limit: int) -> list[Kept]:
        kept = self.after(b"", len(self._states))
        return [one for one in kept if self._pins.get((one.root, service), (None, 0.0))[1] <= now][:limit]

    def pinned(self, root: Cid, service: str, status: PinStatus, again: float) -> None:
        if self.state(root) == CopyState.KEPT:
            self._pins[root, service] = (status, again)

    def unpinned(self, services: Sequence[str]) -> int:
        have = [1 for (_, service), pin in self._pins.items() if service in services and pin[0] == PinStatus.PINNED]
        return len(services) * len(self.after(b"", len(self._states))) - len(have)

    def close(self) -> None:
        pass

    def _take(self, wanted: set[Cid], alone: bool) -> bool:
        with self._lock:
            busy = self._alone | (set(+self._writers) if alone else set())
            if wanted & busy:
                return False
            self._alone |= wanted if alone else set()
            self._writers += Counter() if alone else Counter(wanted)
            return True
