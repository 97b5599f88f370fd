# SPDX-License-Identifier: Apache-2.0
"""Synthetic values of one declared column."""

from __future__ import annotations

import math
import zlib
from datetime import date, timedelta
from typing import Any

from consentum.domain.dictionary import Column
from consentum.sdk.failures import MissingExtraError

FIRST_DATE, LAST_DATE = date(1950, 1, 1), date(2020, 12, 31)
REDRAWS = 32


def column_values(column: Column, n: int, seed: int, label: str) -> list[Any]:
    """n values, plain Python. The same seed and label give the same values, whatever other columns there are."""
    try:
        import numpy as np  # noqa: PLC0415 - an extra; the rest must work without
    except ImportError:
        raise MissingExtraError("samples need numpy: pip install 'consentum[research]'") from None

    rng = np.random.default_rng([seed, zlib.crc32(label.encode())])
    kind = column.type
    if kind == "number":
        return [float(value) for value in _numbers(column, n, rng)]
    if kind == "integer":
        return [round(value) for value in _numbers(column, n, rng)]
    if kind == "boolean":
        return [bool(value) for value in rng.integers(0, 2, n)]
    if kind == "category":
        return [column.values[place] for place in rng.integers(0, len(column.values), n)]
    if kind == "date":
        return _dates(column, n, rng)
    return [f"synthetic text {value}" for value in rng.integers(0, 1_000_000, n)]


def _numbers(column: Column, n: int, rng: Any) -> Any:
    """Normal where a mean is declared, cut at the declared range; else uniform over the range; else standard normal."""
    low = -math.inf if column.minimum is None else float(column.minimum)
    high = math.inf if column.maximum is None else float(column.maximum)
    if column.mean is None and math.isfinite(low) and math.isfinite(high):
        return rng.uniform(low, high, n)
    mean, deviation = _shape(column, low, high)
    values = rng.normal(mean, deviation, n)
    for _ in range(REDRAWS):
        outside = (values < low) | (values > high)
        if not outside.any():
            break
        values[outside] = rng.normal(mean, deviation, int(outside.sum()))
    return values.clip(low, high)


def _shape(column: Column, low: float, high: float) -> tuple[float, float]:
    """Mean and deviation; what is not declared is chosen so that it fits the range."""
    mean = column.mean
    if mean is None:
        mean = low + 2 if math.isfinite(low) else high - 2 if math.isfinite(high) else 0.0
    if column.deviation is not None:
        return mean, column.deviation
    return mean, (high - low) / 6 if math.isfinite(high - low) else max(abs(mean) / 4, 1.0)


def _dates(column: Column, n: int, rng: Any) -> list[str]:
    first = date.fromisoformat(str(column.minimum)) if column.minimum is not None else None
    last = date.fromisoformat(str(column.maximum)) if column.maximum is not None else None
    first = first or min(FIRST_DATE, last or FIRST_DATE)
    last = last or max(LAST_DATE, first)
    days = rng.integers(0, (last - first).days + 1, n)
    return [(first + timedelta(days=int(day))).isoformat() for day in days]
