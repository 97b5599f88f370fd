# SPDX-License-Identifier: Apache-2.0
"""A replica set over stores of its own, damaged on all of them at once; and a node that fails as a test wishes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consentum.adapters.ipfs.replicas import ReplicaStore
from consentum.adapters.store.copies import CopyBook
from consentum.domain.cid import Cid
from consentum.errors import ConsentumError, UnavailableError
from consentum.ports.content import ContentStore
from consentum.ports.copies import Replica
from tests.fakes.content import Bench, Embedded


class Replicas:
    """A replica set over `benches`, all of which should hold what it holds."""

    def __init__(self, folder: Path, benches: Sequence[Bench], copies: int | None = None) -> None:
        self.benches = list(benches)
        self.nodes = [Switch(bench.store) for bench in benches]
        named = [Replica(f"node-{number}", node.store) for number, node in enumerate(self.nodes)]
        self.ledger = CopyBook(folder / "copies.db")
        self.replicas = ReplicaStore(named, copies or len(named), self.ledger, folder)
        self.store: ContentStore = self.replicas

    @classmethod
    def embedded(cls, folder: Path, count: int = 3, copies: int | None = None) -> Replicas:
        return cls(folder, [Embedded(folder / f"blocks-{number}.db") for number in range(count)], copies)

    def held(self) -> set[Cid]:
        found = [bench.held() for bench in self.benches]
        assert all(one == found[0] for one in found), "the nodes hold different blocks"
        return found[0]

    def plant(self, cid: Cid, block: bytes) -> None:
        for bench in self.benches:
            bench.plant(cid, block)

    def drop(self, cid: Cid) -> None:
        for bench in self.benches:
            bench.drop(cid)

    def close(self) -> None:
        self.store.close()
        for bench in self.benches:
            bench.close()


class Switch:
    """A store that can be switched off: while `error` is set, each of the methods named raises it (all, if none is).
    `calls` has what was asked while it was on."""

    def __init__(self, store: ContentStore) -> None:
        self.inner, self.store = store, self._dressed()
        self.error: ConsentumError | None = None
        self.only: frozenset[str] = frozenset()
        self.calls: list[str] = []

    def down(self, *methods: str, error: ConsentumError | None = None) -> None:
        self.error, self.only = error or UnavailableError("switched off"), frozenset(methods)

    def up(self) -> None:
        self.error = None

    def _dressed(self) -> Any:
        outer = self

        class Dressed:
            def __getattr__(self, name: str) -> Any:
                def call(*given: Any) -> Any:
                    if name != "close" and outer.error is not None and name in (outer.only or {name}):
                        raise outer.error
                    outer.calls.append(name)
                    return getattr(outer.inner, name)(*given)

                return call

        return Dressed()
