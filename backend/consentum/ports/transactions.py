# SPDX-License-Identifier: Apache-2.0
"""What the flows need to write to the chain, and what its sender must not forget."""

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


@dataclass(frozen=True, slots=True)
class Sent:
    """One nonce of the account and what it was given to: address, call data (0x), gas, the price of the newest bid in
    wei, that bid's raw transaction (0x), the hashes of all bids, and when the first and the newest were made (UTC
    seconds)."""

    nonce: int
    to: str
    data: str
    gas: int
    price: int
    raw: str
    hashes: tuple[str, ...]
    first_at: float
    bid_at: float


class TransactionLog(Protocol):
    """What one account has sent and is not old yet. Durable on return."""

    def put(self, sent: Sent) -> None:
        """Keeps it, instead of what stood under its nonce."""
        ...

    def remove(self, nonce: int) -> None: ...

    def all(self) -> list[Sent]:
        """In the order of nonces."""
        ...


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

    def was_sent(self, call: Call) -> bool:
        """Whether this account sent this very call lately and it was mined and succeeded."""
        ...

    def tend(self) -> None:
        """Sends again what was dropped or orphaned, bids more for what is stuck, fills gaps. To be called often."""
        ...
