# SPDX-License-Identifier: Apache-2.0
"""The nonces of one account: what each was given to, until it is final and old."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import Any

from eth_utils.crypto import keccak

from consentum.adapters.chain.rpc import Rpc, RpcError
from consentum.adapters.chain.transaction import Transaction
from consentum.crypto.signing import WalletKey
from consentum.ports.transactions import Sent, TransactionLog

log = logging.getLogger("consentum.chain")
PRIORITY_WEI = 10**9
# What is final is kept a while, so that after a crash one can tell whether a message was sent.
KEPT_SECONDS = 86_400
# Nodes take a replacement that pays at least an eighth (12.5 %) more.
RAISE = 8
# A bid is never more than this many times what a new transaction would pay: a node that lies about nothing being mined
# must not spend the account.
MAX_TIMES = 10
_KNOWN = ("already known", "already imported", "known transaction", "already exists")


class MemoryLog:
    """`ports.transactions.TransactionLog` for accounts whose messages may be sent again after a restart."""

    def __init__(self) -> None:
        self._sent: dict[int, Sent] = {}

    def put(self, sent: Sent) -> None:
        self._sent[sent.nonce] = sent

    def remove(self, nonce: int) -> None:
        self._sent.pop(nonce, None)

    def all(self) -> list[Sent]:
        return [self._sent[nonce] for nonce in sorted(self._sent)]


def price_of(block: Any, suggested: str) -> int:
    """Twice the base fee and a little: room for six full blocks. Not twice what the node suggests, which follows what
    was paid last, so that we would bid against ourselves."""
    base = int(block.get("baseFeePerGas") or "0x0", 16)
    return 2 * base + PRIORITY_WEI if base else int(suggested, 16)


def mark_of(data: str) -> str:
    """What is kept of final call data: enough to know it again."""
    return "0x" + keccak(bytes.fromhex(data[2:])).hex()


@dataclass(slots=True)
class Outbox:
    """Used under the sender's lock. patience in seconds."""

    rpc: Rpc
    account: WalletKey
    log: TransactionLog
    chain_id: int
    patience: float
    _gap: tuple[int, float] | None = field(default=None)

    def post(self, nonce: int, to: str, data: str, bid: tuple[int, int]) -> Sent:
        """Writes a transaction down and sends it. bid: gas and its price in wei. An answer that never came leaves it
        written down, so that it is sent again; what the node refuses is crossed out."""
        now = time.time()
        slot = self._signed(Sent(nonce, to, data, *bid, "", (), now, now))
        self.log.put(slot)
        try:
            self._push(slot)
        except RpcError:
            self.log.remove(nonce)
            raise
        return slot

    def tend(self) -> None:
        """Everything that is not mined at the latest block is looked after; so is what a reorganisation took back."""
        slots = self.log.all()
        if not slots:
            return
        latest, pending, final, block, suggested = self._state()
        now = time.time()
        for slot in slots:
            if slot.nonce < final and now - slot.first_at > KEPT_SECONDS:
                self.log.remove(slot.nonce)
            elif slot.nonce < final and slot.raw:
                self.log.put(replace(slot, raw="", data=mark_of(slot.data)))
        open_ = [slot for slot in slots if slot.nonce >= latest]
        price = price_of(block, suggested)
        for slot, known in zip(open_, self._known(open_), strict=True):
            try:
                if not known:
                    log.warning("a transaction is not with the node any more: it is sent again")
                    self._push(slot)
                elif now - slot.bid_at > self.patience:
                    self._bid_more(slot, price)
            except RpcError as error:
                log.warning("the node does not take a transaction again: %s", error)
                if now - slot.bid_at > self.patience:
                    self._bid_more(slot, price, push=False)
        self._fill(open_, (latest, pending), price)

    def _state(self) -> tuple[int, int, int, Any, str]:
        where = self.account.address
        latest, pending, block, suggested = self.rpc.batch(
            [
                ("eth_getTransactionCount", [where, "latest"]),
                ("eth_getTransactionCount", [where, "pending"]),
                ("eth_getBlockByNumber", ["latest", False]),
                ("eth_gasPrice", []),
            ]
        )
        try:
            final = self.rpc.call("eth_getTransactionCount", where, "finalized")
        except RpcError:  # Ganache knows no finality
            final = latest
        return int(latest, 16), int(pending, 16), int(final, 16), block, suggested

    def _known(self, slots: list[Sent]) -> list[bool]:
        """Whether the node has any of a slot's bids."""
        hashes = [hashed for slot in slots for hashed in slot.hashes]
        found = self.rpc.batch([("eth_getTransactionByHash", [hashed]) for hashed in hashes])
        there = {hashed for hashed, transaction in zip(hashes, found, strict=True) if transaction}
        return [bool(there.intersection(slot.hashes)) for slot in slots]

    def _bid_more(self, slot: Sent, price: int, push: bool = True) -> None:
        raised = max(slot.price + slot.price // RAISE + 1, price)
        if raised > MAX_TIMES * price:
            return
        log.warning("a transaction is stuck: a higher bid takes its place")
        again = self._signed(replace(slot, price=raised, bid_at=time.time()))
        self.log.put(again)
        if push:
            self._push(again)

    def _fill(self, open_: list[Sent], counts: tuple[int, int], price: int) -> None:
        """A nonce that nobody uses keeps all later ones waiting: after a while it is spent on nothing."""
        latest, pending = counts
        taken = {slot.nonce for slot in open_}
        missing = [n for n in range(latest, max(taken, default=latest)) if n not in taken]
        if not missing or pending != missing[0]:
            self._gap = None
            return
        if self._gap is None or self._gap[0] != missing[0]:
            self._gap = (missing[0], time.monotonic())
        elif time.monotonic() - self._gap[1] > self.patience:
            log.warning("a nonce was not used: it is spent on nothing")
            self.post(missing[0], self.account.address, "0x", (21_000, price))

    def _signed(self, slot: Sent) -> Sent:
        transaction = Transaction(
            chain_id=self.chain_id,
            nonce=slot.nonce,
            price=slot.price,
            gas=slot.gas,
            to=slot.to,
            data=bytes.fromhex(slot.data[2:]),
        )
        raw, hashed = transaction.signed_by(self.account)
        return replace(slot, raw=raw, hashes=(*slot.hashes, hashed))

    def _push(self, slot: Sent) -> None:
        """RpcError if the node will not have it; UnavailableError if nobody knows."""
        try:
            self.rpc.call("eth_sendRawTransaction", slot.raw)
        except RpcError as error:
            if not any(word in error.node_message.lower() for word in _KNOWN):
                raise
