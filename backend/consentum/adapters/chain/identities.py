# SPDX-License-Identifier: Apache-2.0
"""What DidRegistry holds of one identity, read at the latest block: for whoever is about to sign a change of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.rpc import Rpc

NOBODY = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class Standing:
    """owner: the controller; pending: who becomes it after `since` (UTC seconds), or None; threshold: how many
    recovery delegates must sign together, 0 for no recovery; nonce: of the next signed change."""

    owner: str
    nonce: int
    threshold: int
    pending: str | None
    since: int
    by_recovery: bool


class Identities:
    """Reads of DidRegistry."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self._rpc, self._registry = rpc, deployment.did_registry

    def nonce(self, identity: str) -> int:
        return int(self._read("nonce", identity)[0])

    def standing(self, identity: str) -> Standing:
        [owner] = self._read("identityOwner", identity)
        [threshold] = self._read("recoveryThreshold", identity)
        new_owner, since, by_recovery = self._read("pendingOwner", identity)
        pending = None if new_owner.lower() == NOBODY else new_owner.lower()
        return Standing(owner.lower(), self.nonce(identity), threshold, pending, since, by_recovery)

    def _read(self, name: str, *args: Any) -> tuple[Any, ...]:
        data = codec.encode_call("DidRegistry", name, *args)
        result = self._rpc.call("eth_call", {"to": self._registry, "data": data}, "latest")
        return codec.decode_result("DidRegistry", name, result)
