# SPDX-License-Identifier: Apache-2.0
"""Sets of replicas over embedded stores that can be switched off and damaged one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.replicas import Replicas

Make = Callable[..., Replicas]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """A set of `count` nodes, of which `copies` (all by default) hold each record."""
    made: list[Replicas] = []

    def one(count: int = 3, copies: int | None = None) -> Replicas:
        made.append(Replicas.embedded(tmp_path, count, copies))
        return made[-1]

    yield one
    for replicas in made:
        replicas.store.close()


@pytest.fixture
def three(make: Make) -> Replicas:
    return make()
