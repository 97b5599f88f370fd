# SPDX-License-Identifier: Apache-2.0
"""The relayer's account on a real chain: killed, dropped, stuck, overtaken by a gap, orphaned by a reorganisation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from consentum.adapters.chain import outbox
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.store.sealed import SealedFile
from consentum.adapters.store.transactions import TransactionBook
from consentum.crypto.signing import WalletKey
from consentum.errors import ConsentumError, UnavailableError
from consentum.ports.transactions import Call
from tests.conformance import conftest as chains
from tests.conformance.conftest import Node, until

pytestmark = pytest.mark.processes
node = chains.node
PATIENCE = 2.0


class Account:
    """A funded account whose process can be killed: what it wrote down is all that is left."""

    def __init__(self, node: Node, folder: Path) -> None:
        self.node, self.rpc, self._path = node, Rpc(node.url), folder / "gateway.db"
        self._key = WalletKey()
        self.rpc.call("anvil_setBalance", self._key.address, hex(10**18))
        self.born()

    def born(self) -> ChainSender:
        """The sender of a fresh process on the same file."""
        self.book = TransactionBook(SealedFile(self._path, b"k" * 32))
        self.sender = ChainSender(self.rpc, self.node.at, self._key.secret, self.book, PATIENCE)
        return self.sender

    def sent(self, number: int) -> None:
        """Sends and waits for nothing: what a process does that is killed right then."""
        with suppress(UnavailableError):
            self.sender.send([announce(number)], timeout=0)

    def count(self, block: str = "latest") -> int:
        return int(self.rpc.call("eth_getTransactionCount", self.sender.address, block), 16)

    def tended(self, fact: Callable[[], bool], what: str) -> None:
        def once() -> bool:
            with suppress(ConsentumError):
                self.sender.tend()
            return fact()

        until(once, what)


def announce(number: int) -> Call:
    return Call("KeyServerRegistry", "announce", (bytes([number]) * 32, "http://x"))


@pytest.fixture
def account(node: Node, tmp_path: Path) -> Account:
    return Account(node, tmp_path)


@pytest.fixture
def still(account: Account) -> Iterator[None]:
    """A chain that mines nothing until the test says so."""
    account.rpc.call("evm_setIntervalMining", 0)
    yield
    account.rpc.call("evm_setIntervalMining", 1)


def test_what_a_killed_process_had_sent_is_known_to_the_next_and_its_nonce_not_used_again(
    account: Account, still: None
) -> None:
    account.sent(1)
    account.born()
    account.sent(2)
    assert [slot.nonce for slot in account.book.all()] == [0, 1]
    assert account.count() == 0
    account.rpc.call("evm_mine")
    assert account.count() == 2
    assert account.born().was_sent(announce(1))
    assert not account.sender.was_sent(announce(3))


def test_what_was_written_down_but_never_reached_the_node_is_sent_by_the_next_process(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise UnavailableError("the process died before the node had it")

    with monkeypatch.context() as patch:
        patch.setattr(outbox.Outbox, "_push", killed)
        with pytest.raises(UnavailableError):
            account.sender.send([announce(1)])
    account.born()
    account.tended(lambda: account.sender.was_sent(announce(1)), "it is sent again")
    assert account.count() == 1


def test_what_the_node_dropped_is_sent_again(account: Account, still: None) -> None:
    account.sent(1)
    [slot] = account.book.all()
    account.rpc.call("anvil_dropTransaction", slot.hashes[0])
    account.rpc.call("evm_mine")
    assert account.count() == 0
    account.sender.tend()
    account.rpc.call("evm_mine")
    assert account.sender.was_sent(announce(1))


def test_what_is_stuck_is_replaced_by_a_bid_an_eighth_higher_also_after_a_restart(
    account: Account, still: None
) -> None:
    account.sent(1)
    first = account.book.all()[0]
    account.sender.tend()
    assert account.book.all() == [first]  # not at once: it has its patience
    account.born()
    account.tended(lambda: len(account.book.all()[0].hashes) == 2, "a higher bid")
    [again] = account.book.all()
    assert again.price * 8 >= first.price * 9
    account.rpc.call("evm_mine")
    assert [account.rpc.call("eth_getTransactionReceipt", h) is not None for h in again.hashes] == [False, True]
    assert account.count() == 1


def test_whoever_waits_for_what_was_replaced_gets_the_bid_that_was_mined(account: Account, still: None) -> None:
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.extend(account.sender.send([announce(1)])))
    waiting.start()
    until(lambda: bool(account.book.all()) and len(account.book.all()[0].hashes) == 2, "a higher bid")
    account.rpc.call("evm_mine")
    waiting.join(timeout=20)
    assert found == [account.book.all()[0].hashes[1]]


def test_a_nonce_nobody_used_is_spent_so_that_the_later_ones_are_mined(account: Account) -> None:
    account.sender.send([announce(9)])  # the first costs more gas than the later ones
    account.rpc.call("evm_setIntervalMining", 0)
    account.sent(1)
    account.sent(2)
    first = account.book.all()[1]
    account.rpc.call("anvil_dropTransaction", first.hashes[0])
    account.book.remove(1)  # as if its row had been lost too
    account.rpc.call("evm_setIntervalMining", 1)
    account.tended(lambda: account.sender.was_sent(announce(2)), "the gap is filled")
    assert account.count() == 3
    assert not account.sender.was_sent(announce(1))


def test_what_a_reorganisation_orphaned_is_brought_back(account: Account) -> None:
    for _ in range(10):
        account.sender.send([announce(1)])
        account.rpc.call("evm_setIntervalMining", 0)
        if account.count("finalized") < account.count():
            break
        account.rpc.call("evm_setIntervalMining", 1)
    else:
        pytest.fail("the machine is too slow: every transaction was final at once")
    mined = account.count()
    try:
        newest = account.book.all()[-1]
        receipt = account.rpc.call("eth_getTransactionReceipt", newest.hashes[0])
        depth = int(account.rpc.call("eth_blockNumber"), 16) - int(receipt["blockNumber"], 16) + 1
        account.rpc.call("anvil_reorg", depth, [])
        assert account.rpc.call("eth_getTransactionReceipt", newest.hashes[0]) is None
    finally:
        account.rpc.call("evm_setIntervalMining", 1)
    account.tended(lambda: account.count() == mined, "it is mined again")


def test_what_the_node_refuses_takes_no_nonce(account: Account) -> None:
    account.rpc.call("anvil_setBalance", account.sender.address, "0x1")
    with pytest.raises(ConsentumError):
        account.sender.send([announce(1)])
    assert account.book.all() == []
    account.rpc.call("anvil_setBalance", account.sender.address, hex(10**18))
    assert account.sender.send([announce(2)])
    assert account.count() == 1


def test_what_is_final_is_remembered_without_its_content_and_later_forgotten(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.sender.send([announce(1)])
    account.tended(lambda: account.book.all()[0].raw == "", "final")
    assert account.sender.was_sent(announce(1))
    monkeypatch.setattr(outbox, "KEPT_SECONDS", 0)
    account.sender.tend()
    assert account.book.all() == []
