# SPDX-License-Identifier: Apache-2.0
"""A committee is founded once, of servers that can be given shares, and of nobody else: it can never be changed."""

from __future__ import annotations

import pytest

from consentum.errors import ConsentumError, MalformedError, NotFoundError, SettingsError
from consentum.wiring.founding import found_announced
from tests.fakes.ledger import FakeLedger
from tests.fakes.sender import FakeSender

SERVERS = ["0x" + digit * 40 for digit in "312"]


@pytest.fixture
def sender() -> FakeSender:
    """Of an account that pays, on a chain where three servers serve."""
    ledger = FakeLedger()
    for server in SERVERS:
        own = FakeSender(ledger, server)
        own._announce(b"\x01" * 32, "http://localhost:7001")
        own._rotate(server.encode())
    ledger.mine()
    return FakeSender(ledger)


def test_a_committee_is_on_chain_with_ascending_members(sender: FakeSender) -> None:
    committee, members = found_announced(sender.ledger, sender, 2, SERVERS)
    found = sender.ledger.committee(sender.ledger.view().latest, committee)
    assert (found.threshold, list(found.members)) == (2, members)
    assert members == sorted(SERVERS)


def test_the_same_again_in_another_order_costs_nothing(sender: FakeSender) -> None:
    first = found_announced(sender.ledger, sender, 2, SERVERS)
    assert found_announced(sender.ledger, sender, 2, SERVERS[::-1]) == first
    assert len(sender.sent) == 1


@pytest.mark.parametrize("threshold", [-1, 0, 1, 4, 256])
def test_a_threshold_that_is_none_is_refused(sender: FakeSender, threshold: int) -> None:
    with pytest.raises(MalformedError) as refused:
        found_announced(sender.ledger, sender, threshold, SERVERS)
    assert (refused.value.field, sender.sent) == ("threshold", [])


@pytest.mark.parametrize("extra", [SERVERS[0], "0x12", "", "0x" + "g" * 40])
def test_the_same_server_twice_and_what_is_no_address_are_refused(sender: FakeSender, extra: str) -> None:
    with pytest.raises(MalformedError):
        found_announced(sender.ledger, sender, 2, [*SERVERS, extra])
    assert sender.sent == []


def test_a_server_that_never_announced_itself_is_refused(sender: FakeSender) -> None:
    with pytest.raises(NotFoundError) as refused:
        found_announced(sender.ledger, sender, 2, [*SERVERS, "0x" + "9" * 40])
    assert (refused.value.field, sender.sent) == ("member", [])


def test_a_server_without_a_sealing_key_is_refused(sender: FakeSender) -> None:
    FakeSender(sender.ledger, "0x" + "8" * 40)._announce(b"\x01" * 32, "http://localhost:7008")
    sender.ledger.mine()
    with pytest.raises(NotFoundError):
        found_announced(sender.ledger, sender, 2, [*SERVERS, "0x" + "8" * 40])


def test_nothing_is_founded_while_the_node_is_down(sender: FakeSender) -> None:
    sender.ledger.down = True
    with pytest.raises(ConsentumError):
        found_announced(sender.ledger, sender, 2, SERVERS)
    assert sender.sent == []


def test_an_account_that_has_nothing_is_told_so_first(sender: FakeSender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "balance", lambda: 0)
    with pytest.raises(SettingsError) as refused:
        found_announced(sender.ledger, sender, 2, SERVERS)
    assert (refused.value.field, sender.sent) == ("CONSENTUM_DEPLOYER_KEY", [])
