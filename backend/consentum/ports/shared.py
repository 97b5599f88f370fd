# SPDX-License-Identifier: Apache-2.0
"""What the workers of one gateway remember together for a while: spent challenges, answers given, counts per day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Shared(Protocol):
    """Rows that expire. Durable on return, seen by all workers of the gateway."""

    def spend(self, what: str, key: bytes, seconds: float) -> bool:
        """True the first time within `seconds`, for exactly one caller."""
        ...

    def count(self, what: str, key: bytes, seconds: float) -> int:
        """One more; how many there were within `seconds` of the first, this one included."""
        ...

    def keep(self, what: str, key: bytes, value: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        """Keeps a value; what is kept already is returned as it stands."""
        ...

    def kept(self, what: str, key: bytes) -> Mapping[str, Any] | None: ...
