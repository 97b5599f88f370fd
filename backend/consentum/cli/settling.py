# SPDX-License-Identifier: Apache-2.0
"""Waiting, for a moment, until what the gateway queued is on chain: the next command can then rely on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.3


def settled(told: Mapping[str, Any], again: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
    """The answer once its state is not `queued` any more, or as it is after half a minute: a busy chain is no failure,
    what was queued is not forgotten."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while told["state"] == "queued" and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)
        told = again()
    return told
