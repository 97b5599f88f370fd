# SPDX-License-Identifier: Apache-2.0
"""Signed messages as calls to the ConsentRegistry, in batches whose gas suffices: for the gateway's relayer, and for a
key server that puts a notice on chain itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from consentum.ports.chain import Standing
from consentum.ports.transactions import Call

BATCHED = {"Consent": "grantBatch", "Revoke": "revokeBatch"}
_SINGLE = {"RevokeAll": "revokeAll", "Freeze": "freeze"}
MAX_ATTEMPTS = 4
BATCH_GAS = 100_000
# EIP-7825 caps a transaction at 2^24.
MAX_BATCH_GAS = 16_000_000
# By kind of signature: ECDSA; passkey, in Solidity where there is no precompile; ERC-1271, whose cap is 250,000.
_ITEM_GAS = {0: 70_000, 1: 400_000, 2: 400_000}


class Sendable(Protocol):
    """A signed Consent, Revoke, RevokeAll or Freeze. value: commitment (0x) or time."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def signature(self) -> bytes: ...


S = TypeVar("S", bound=Sendable)


def parts(messages: Sequence[S], batch: int) -> list[list[S]]:
    """Messages of one kind in batches that fit into a block, whatever each signature costs; at most `batch` in one,
    and kinds that the contract takes singly alone."""
    found: list[list[S]] = []
    for message in messages:
        most = batch if message.kind in BATCHED else 1
        if not found or len(found[-1]) >= most or gas([*found[-1], message]) > MAX_BATCH_GAS:
            found.append([])
        found[-1].append(message)
    return found


def gas(messages: Sequence[Sendable]) -> int:
    """Allowed per item, not estimated: with too little gas a passkey cannot be verified, so its item would be refused
    while the transaction succeeds, and an estimate finds exactly that limit."""
    return BATCH_GAS + sum(_ITEM_GAS.get(message.signature[0], 0) for message in messages)


def covers(standing: Standing, kind: str, until: int, now: int) -> bool:
    """Whether what the registry says of a subject and commitment says as much as a revocation. A freeze that is over
    needs no chain."""
    if kind == "Revoke":
        return standing.revoked_at > 0
    if kind == "RevokeAll":
        return standing.cutoff >= until
    return standing.frozen_until >= until or until <= now


def call(messages: Sequence[Sendable]) -> Call:
    """One transaction for messages of one kind: those of `parts`."""
    kind = messages[0].kind
    if kind in BATCHED:
        items = [(m.subject, bytes.fromhex(m.value[2:]), m.signature) for m in messages]
        return Call("ConsentRegistry", BATCHED[kind], (items,), gas(messages))
    [message] = messages
    return Call("ConsentRegistry", _SINGLE[kind], (message.subject, int(message.value), message.signature))
