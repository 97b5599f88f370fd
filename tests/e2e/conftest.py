# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.stack import Stack, running
from tests.kubo import new_kubo

__all__ = ["new_kubo", "stack"]


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """One real system for a module's tests."""
    with running() as made:
        yield made
