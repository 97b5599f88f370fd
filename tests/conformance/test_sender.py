# SPDX-License-Identifier: Apache-2.0
"""What the account that writes promises on a real chain."""

from __future__ import annotations

import pytest

from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.crypto.signing import WalletKey
from consentum.errors import RevertedError
from consentum.ports.transactions import Call
from tests.conformance.conftest import Node

pytestmark = pytest.mark.processes
ETHER = 10**18


@pytest.fixture
def sender(node: Node) -> ChainSender:
    """A fresh account with one ether."""
    rpc, key = Rpc(node.url), WalletKey()
    rpc.call("anvil_setBalance", key.address, hex(ETHER))
    return ChainSender(rpc, node.at, key.secret)


def announce(number: int) -> Call:
    return Call("KeyServerRegistry", "announce", (bytes([number]) * 32, "http://x"))


def test_the_price_of_gas_does_not_grow_with_our_own_transactions(node: Node, sender: ChainSender) -> None:
    """A price of twice the node's suggestion becomes the next suggestion."""
    costs = []
    for number in range(1, 8):
        before = sender.balance()
        sender.send([announce(number)])
        costs.append(before - sender.balance())
    assert costs[-1] < 4 * costs[1]


def test_calls_in_one_go_are_all_mined_in_order(node: Node, sender: ChainSender) -> None:
    hashes = sender.send([announce(number) for number in range(1, 6)])
    receipts = [Rpc(node.url).call("eth_getTransactionReceipt", hashed) for hashed in hashes]
    places = [(int(r["blockNumber"], 16), int(r["transactionIndex"], 16)) for r in receipts]
    assert places == sorted(places)
    assert len(set(hashes)) == 5


def test_what_a_contract_refuses_costs_nothing_and_is_named(node: Node, sender: ChainSender) -> None:
    before = sender.balance()
    with pytest.raises(RevertedError, match="NotAnnounced"):
        sender.send([Call("KeyServerRegistry", "rotate", (b"key",))])
    assert sender.balance() == before
    assert sender.send([announce(1)])
