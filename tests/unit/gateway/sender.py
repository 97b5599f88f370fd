# SPDX-License-Identifier: Apache-2.0
"""A relayer's account whose transactions the stub of the chain mines at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentum.ports.chain import Standing
from consentum.ports.transactions import Call
from tests.unit.client.world import NOW, StubLedger


@dataclass(slots=True)
class MiningSender:
    """`ports.transactions.Sender`. fail: raises before a call is sent; skip: items a batch passes over."""

    ledger: StubLedger
    fail: Callable[[Call], Exception | None] = lambda call: None
    skip: Callable[[bytes], bool] = lambda commitment: False
    sent: list[Call] = field(default_factory=list)
    wei: int = 1

    @property
    def address(self) -> str:
        return "0x" + "4e" * 20

    def balance(self) -> int:
        return self.wei

    def was_sent(self, call: Call) -> bool:
        return call in self.sent

    def tend(self) -> None: ...

    def send(self, calls: Sequence[Call], timeout: float = 30.0) -> list[str]:
        for call in calls:
            error = self.fail(call)
            if error is not None:
                raise error
            self.sent.append(call)
            if call.function in ("grantBatch", "revokeBatch"):
                self._mine(call.function, call.args[0])
        return ["0x00"] * len(calls)

    def _mine(self, function: str, items: Sequence[Any]) -> None:
        for subject, commitment, _ in items:
            if not self.skip(commitment):
                times = (NOW, 0) if function == "grantBatch" else (0, NOW)
                self.ledger.standing[(subject.lower(), commitment)] = Standing(*times, 0, 0)

    @property
    def functions(self) -> list[str]:
        return [call.function for call in self.sent]
