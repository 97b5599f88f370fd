# SPDX-License-Identifier: Apache-2.0
"""Anvil for the gas suite: transactions from its own unlocked account, and what each of them cost."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from consentum.adapters.chain import codec
from consentum.adapters.chain.deploy import deploy
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.rpc import Rpc
from consentum.errors import ConsentumError
from scripts.demonstration.system import ANVIL_KEY, free_port

# So that the price of a batch is seen whatever it is: 100 attestations of EAS are dearer than EIP-7825 lets one be.
GAS_LIMIT = 100_000_000
START_SECONDS = 30


@dataclass(slots=True)
class Mined:
    """A transaction that succeeded."""

    gas: int
    contract: str
    logs: list[dict[str, Any]]


@dataclass
class Chain:
    """One Anvil that mines each transaction at once, with our contracts on it."""

    rpc: Rpc
    deployment: Deployment

    @cached_property
    def account(self) -> str:
        """Anvil's first account, which it signs for."""
        return str(self.rpc.call("eth_accounts")[0]).lower()

    def now(self) -> int:
        return int(self.rpc.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def pass_seconds(self, seconds: int) -> None:
        self.rpc.call("evm_increaseTime", seconds)
        self.rpc.call("evm_mine")

    def transact(self, data: str, to: str | None = None) -> Mined:
        """One mined transaction; RuntimeError if it failed, for then its gas says nothing."""
        asked = {"from": self.account, "data": data, "gas": hex(GAS_LIMIT)}
        hashed = self.rpc.call("eth_sendTransaction", {**asked, **({"to": to} if to else {})})
        receipt = self._receipt(hashed)
        if int(receipt["status"], 16) != 1:
            raise RuntimeError("a transaction of the benchmark failed")
        return Mined(int(receipt["gasUsed"], 16), receipt["contractAddress"] or "", receipt["logs"])

    def _receipt(self, hashed: str) -> dict[str, Any]:
        """Anvil answers before the block of the transaction is there."""
        deadline = time.monotonic() + START_SECONDS
        while (receipt := self.rpc.call("eth_getTransactionReceipt", hashed)) is None:
            if time.monotonic() > deadline:
                raise RuntimeError("a transaction of the benchmark is not mined")
            time.sleep(0.002)
        found: dict[str, Any] = receipt
        return found

    def ours(self, contract: str, function: str, *args: Any) -> int:
        """Gas of a call to one of our contracts."""
        return self.transact(codec.encode_call(contract, function, *args), self.deployment.address_of(contract)).gas

    def create(self, bytecode: str, *words: tuple[str, Any]) -> str:
        """Address of a new contract; words: type and value of the constructor's arguments."""
        arguments = encode([kind for kind, _ in words], [value for _, value in words]).hex()
        return self.transact(bytecode + arguments).contract


@contextmanager
def anvil(folder: Path, hardfork: str) -> Iterator[Chain]:
    """An Anvil of this hard fork with our contracts; ended afterwards."""
    port = free_port()
    program = os.environ.get("CONSENTUM_ANVIL", "anvil")
    options = ["--port", str(port), "--hardfork", hardfork, "--gas-limit", str(GAS_LIMIT), "--silent"]
    process = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        rpc = Rpc(url)
        _wait(rpc)
        yield Chain(rpc, deploy(url, folder / f"{hardfork}.json", ANVIL_KEY))
    finally:
        process.terminate()
        process.wait()


def _wait(rpc: Rpc) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            rpc.call("eth_chainId")
        except ConsentumError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
