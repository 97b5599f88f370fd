# SPDX-License-Identifier: Apache-2.0
"""What a requester sees of counts: rounded, and small cells hidden, so that no number tells one patient apart."""

from __future__ import annotations

from collections.abc import Mapping

STEP = 5


def shown(count: int) -> int | str:
    """The nearest multiple of five; "<5" for one to four. Nothing is nothing: a cell without patients hides nobody."""
    if 0 < count < STEP:
        return f"<{STEP}"
    return (count + STEP // 2) // STEP * STEP


def shown_all(counts: Mapping[str, int]) -> dict[str, int | str]:
    """Every cell of a table of counts, those without a patient left out."""
    return {name: shown(count) for name, count in sorted(counts.items()) if count}
