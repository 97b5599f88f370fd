# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import pytest

from tests.e2e.stack import Stack

pytestmark = pytest.mark.processes
IDLE_SECONDS = 60


def test_a_system_idle_for_a_minute_still_releases(stack: Stack) -> None:
    patient = stack.patient()
    assert stack.ask(patient) == "ALLOWED"
    quiet_since = _height(stack)
    deadline = time.monotonic() + 3 * IDLE_SECONDS
    while time.monotonic() < deadline:
        busy = _newest_busy_block(stack, quiet_since)
        quiet_since = max(quiet_since, busy)
        if _height(stack) - quiet_since >= IDLE_SECONDS:  # one block per second
            break
        time.sleep(1)
    assert _height(stack) - quiet_since >= IDLE_SECONDS
    assert stack.ask(patient) == "ALLOWED"


def _height(stack: Stack) -> int:
    return stack.system.ledger.view().latest.number


def _newest_busy_block(stack: Stack, since: int) -> int:
    height = _height(stack)
    counts = stack.system.rpc.batch(
        [("eth_getBlockTransactionCountByNumber", [hex(n)]) for n in range(since + 1, height + 1)]
    )
    return max((since + 1 + n for n, count in enumerate(counts) if int(count, 16)), default=0)
