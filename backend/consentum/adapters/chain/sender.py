# SPDX-License-Identifier: Apache-2.0
"""Transactions from one funded account: the relayer's, or a key server's own."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.rpc import Rpc, RpcError
from consentum.errors import RevertedError, UnavailableError
from consentum.ports.transactions import Call

POLL_SECONDS = 0.1
PRIORITY_WEI = 10**9


class ChainSender:
    """Signs and sends calls to the contracts. Nonces come from the chain and are held under a lock."""

    def __init__(self, rpc: Rpc, deployment: Deployment, private_key: bytes) -> None:
        self._rpc, self._at = rpc, deployment
        self._account = Account.from_key(private_key)
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        return str(self._account.address)

    def balance(self) -> int:
        """In wei."""
        return int(self._rpc.call("eth_getBalance", self.address, "latest"), 16)

    def send(self, calls: Sequence[Call], timeout: float = 30.0) -> list[str]:
        """Sends all, waits until all are mined, gives their hashes. Each is simulated first, so that a call that
        would revert costs neither gas nor a nonce: RevertedError names the contract's own error."""
        with self._lock:
            sent = self._submit(calls)
        return [self._wait(hashed, timeout) for hashed in sent]

    def _submit(self, calls: Sequence[Call]) -> list[str]:
        nonce, price, block = self._rpc.batch(
            [
                ("eth_getTransactionCount", [self.address, "pending"]),
                ("eth_gasPrice", []),
                ("eth_getBlockByNumber", ["latest", False]),
            ]
        )
        limit = int(block["gasLimit"], 16)
        sent = []
        for offset, call in enumerate(calls):
            data = codec.encode_call(call.contract, call.function, *call.args)
            to = to_checksum_address(self._at.address_of(call.contract))
            gas = min(call.gas or int(self._estimate(to, data) * 1.3) + 20_000, limit)
            transaction: dict[str, Any] = {
                "to": to,
                "data": data,
                "nonce": int(nonce, 16) + offset,
                "gas": gas,
                "gasPrice": _price(block, price),
                "chainId": self._at.chain_id,
                "value": 0,
            }
            raw = self._account.sign_transaction(transaction).raw_transaction
            sent.append(str(self._rpc.call("eth_sendRawTransaction", "0x" + bytes(raw).hex())))
        return sent

    def _estimate(self, to: str, data: str) -> int:
        try:
            return int(self._rpc.call("eth_estimateGas", {"from": self.address, "to": to, "data": data}), 16)
        except RpcError as error:
            name = codec.revert_names().get(error.data[:10])
            if name is None:
                raise
            raise RevertedError(f"the contract refuses: {name}") from None

    def _wait(self, hashed: str, timeout: float) -> str:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            receipt = self._rpc.call("eth_getTransactionReceipt", hashed)
            if receipt:
                if int(receipt["status"], 16) != 1:
                    raise RevertedError("the transaction was mined and failed")
                return hashed
            time.sleep(POLL_SECONDS)
        raise UnavailableError("the transaction is not mined yet")


def _price(block: Any, suggested: str) -> int:
    """Twice the base fee and a little: room for six full blocks. Not twice what the node suggests, which follows what
    was paid last, so that we would bid against ourselves."""
    base = int(block.get("baseFeePerGas") or "0x0", 16)
    return 2 * base + PRIORITY_WEI if base else int(suggested, 16)
