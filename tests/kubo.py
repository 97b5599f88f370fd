# SPDX-License-Identifier: Apache-2.0
"""Real Kubo nodes for tests: fixtures that a conftest takes over by importing them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest

from scripts.demonstration.kubo import KuboNode

SKIP = "CONSENTUM_SKIP_KUBO"

NewKubo = Callable[[], KuboNode]


def program() -> str:
    """The `ipfs` on PATH. Without one the test fails, or is skipped where CONSENTUM_SKIP_KUBO=1 says so."""
    found = shutil.which("ipfs")
    if found is None and os.environ.get(SKIP) == "1":
        pytest.skip(f"no Kubo, and {SKIP}=1")
    assert found, f"no `ipfs` on PATH: run ./scripts/test, or set {SKIP}=1 to go without"
    return found


@pytest.fixture(scope="session")
def new_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewKubo]:
    """Makes a private node; those that still run at the end are ended."""
    nodes: list[KuboNode] = []

    def make() -> KuboNode:
        nodes.append(KuboNode.start(tmp_path_factory.mktemp("kubo"), program()))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def kubo(new_kubo: NewKubo) -> KuboNode:
    """One node for all tests of a process: what they put into it they must not expect to be alone."""
    return new_kubo()
