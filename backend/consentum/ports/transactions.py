# SPDX-License-Identifier: Apache-2.0
"""What the flows need to write to the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Call:
    """A contract's function and its arguments. gas: what to allow, where an estimate would be too low."""

    contract: str
    function: str
    args: tuple[Any, ...]
    gas: int | None = None


class Sender(Protocol):
    """One funded account."""

    @property
    def address(self) -> str: ...

    def balance(self) -> int:
        """In wei."""
        ...

    def send(self, calls: Sequence[Call], timeout: float = 30.0) -> list[str]:
        """Sends all, waits until all are mined, gives their hashes.

        RevertedError: the contract refuses one; those before it were sent. UnavailableError leaves open which were
        sent: every message of ours may arrive twice."""
        ...
