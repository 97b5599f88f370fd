# SPDX-License-Identifier: Apache-2.0
"""Transactions from one funded account: the relayer's, or a key server's own.

What is sent is written down first, so that after a crash nothing is forgotten: a transaction that the node dropped, or
a reorganisation orphaned, is sent again; one that is stuck is replaced by a higher bid; a nonce nobody used is filled.
One sender per account.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.outbox import MemoryLog, Outbox, mark_of, price_of
from consentum.adapters.chain.rpc import Rpc, RpcError
from consentum.crypto.signing import WalletKey
from consentum.errors import RevertedError, UnavailableError
from consentum.ports.transactions import Call, Sent, TransactionLog

POLL_SECONDS = 0.1
TEND_SECONDS = 1.0


class ChainSender:
    """Signs and sends calls to the contracts. log: what it sent, durable where the account's messages must not be lost;
    patience: seconds after which a transaction that is not mined is stuck."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        private_key: bytes,
        log: TransactionLog | None = None,
        patience: float = 12.0,
    ) -> None:
        self._rpc, self._at = rpc, deployment
        self._account = WalletKey(private_key)
        self._lock = threading.Lock()
        self._log = MemoryLog() if log is None else log
        self._outbox = Outbox(rpc, self._account, self._log, deployment.chain_id, patience)

    @property
    def address(self) -> str:
        return self._account.address

    def balance(self) -> int:
        """In wei."""
        return int(self._rpc.call("eth_getBalance", self.address, "latest"), 16)

    def send(self, calls: Sequence[Call], timeout: float = 30.0) -> list[str]:
        """Sends all, waits until all are mined, gives their hashes. Each is simulated first, so that a call that
        would revert costs neither gas nor a nonce: RevertedError names the contract's own error."""
        with self._lock:
            sent = self._submit(calls)
        return [self._wait(slot, timeout) for slot in sent]

    def was_sent(self, call: Call) -> bool:
        """Whether this very call was sent lately, mined, and succeeded."""
        to, data = self._target(call)
        mine = [slot for slot in self._log.all() if slot.to == to and slot.data in (data, mark_of(data))]
        hashes = [hashed for slot in mine for hashed in slot.hashes]
        receipts = self._rpc.batch([("eth_getTransactionReceipt", [h]) for h in hashes])
        return any(receipt and int(receipt["status"], 16) == 1 for receipt in receipts)

    def tend(self) -> None:
        """Looks after everything that is not final yet."""
        with self._lock:
            self._outbox.tend()

    def _target(self, call: Call) -> tuple[str, str]:
        data = codec.encode_call(call.contract, call.function, *call.args)
        return to_checksum_address(self._at.address_of(call.contract)), data

    def _submit(self, calls: Sequence[Call]) -> list[Sent]:
        pending, suggested, block = self._rpc.batch(
            [
                ("eth_getTransactionCount", [self.address, "pending"]),
                ("eth_gasPrice", []),
                ("eth_getBlockByNumber", ["latest", False]),
            ]
        )
        nonce = max([int(pending, 16), *(slot.nonce + 1 for slot in self._log.all())])
        limit, price = int(block["gasLimit"], 16), price_of(block, suggested)
        sent = []
        for offset, call in enumerate(calls):
            to, data = self._target(call)
            gas = min(call.gas or int(self._estimate(to, data) * 1.3) + 20_000, limit)
            sent.append(self._outbox.post(nonce + offset, to, data, (gas, price)))
        return sent

    def _estimate(self, to: str, data: str) -> int:
        try:
            return int(self._rpc.call("eth_estimateGas", {"from": self.address, "to": to, "data": data}), 16)
        except RpcError as error:
            name = codec.revert_names().get(error.data[:10])
            if name is None:
                raise
            raise RevertedError(f"the contract refuses: {name}") from None

    def _wait(self, slot: Sent, timeout: float) -> str:
        deadline, tended = time.monotonic() + timeout, time.monotonic()
        while time.monotonic() < deadline:
            gone = self._count() > slot.nonce  # before the receipts: what is mined meanwhile is found among them
            known = next((s for s in self._log.all() if s.nonce == slot.nonce), slot)
            for hashed in known.hashes:
                receipt: Any = self._rpc.call("eth_getTransactionReceipt", hashed)
                if receipt:
                    if int(receipt["status"], 16) != 1:
                        raise RevertedError("the transaction was mined and failed")
                    return hashed
            if gone:
                raise UnavailableError("another transaction took the place of this one")
            if time.monotonic() - tended > TEND_SECONDS:
                self.tend()
                tended = time.monotonic()
            time.sleep(POLL_SECONDS)
        raise UnavailableError("the transaction is not mined yet")

    def _count(self) -> int:
        return int(self._rpc.call("eth_getTransactionCount", self.address, "latest"), 16)
