# SPDX-License-Identifier: Apache-2.0
"""The world of the client's tests, in which nobody is asked just because a machine is busy."""

from __future__ import annotations

from pathlib import Path

import pytest

from consentum.flow.client import collect
from consentum.flow.client.deposit import Batch
from tests.unit.client.world import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture(autouse=True)
def _no_hedging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "HEDGE_SECONDS", 5.0)


@pytest.fixture
def batch(world: World) -> Batch:
    """Two records, of Alice and of Bob, both of whom consented."""
    made = world.deposited()
    world.attach(made, world.granted(world.consent(world.alice)), world.granted(world.consent(world.bob)))
    return made
