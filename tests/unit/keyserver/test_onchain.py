# SPDX-License-Identifier: Apache-2.0
"""A server puts a notice on chain itself when nobody did: once, for its own patients, with gas that suffices."""

from __future__ import annotations

from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Freeze, Revoke, RevokeAll
from consentum.errors import RevertedError, UnavailableError
from consentum.flow import batches
from consentum.flow.keyserver import notice, onchain
from consentum.ports.server_store import ON_CHAIN_AT_ONCE
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World

SECONDS = 30.0


def later(world: World, seconds: float = 2 * SECONDS) -> None:
    """The chain's and the server's clocks go on."""
    world.ledger.mine(world.ledger.now + int(seconds))
    world.ledger.finalize()


def put(world: World) -> int:
    return onchain.put_on_chain(world.server, world.sender, SECONDS)


def sent(world: World) -> list[str]:
    return [call.function for call in world.sender.sent if call.function not in ("grant", "createCommittee")][-9:]


def test_a_revocation_that_nobody_put_on_chain_gets_there(world: World, given: Given) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    later(world)
    assert put(world) == 1
    pair = (given.consent.subject, typed.struct_hash(given.consent))
    assert world.ledger.standings(world.ledger.view().latest, [pair])[0].revoked_at
    later(world, 1)
    assert put(world) == 0
    assert world.store.unsettled(world.ledger.now, 10) == []


@pytest.mark.parametrize("kind", [RevokeAll, Freeze])
def test_cutoffs_and_freezes_get_there_too(world: World, given: Given, kind: type) -> None:
    until = world.ledger.now + 3_000
    notice.accept(world.server, world.notice(kind(given.consent.subject, until)))
    later(world)
    assert put(world) == 1
    standing = world.ledger.standings(world.ledger.view().latest, [(given.consent.subject, bytes(32))])[0]
    assert until in (standing.cutoff, standing.frozen_until)


def test_others_are_given_time_first(world: World, given: Given) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    later(world, SECONDS - 1)
    assert put(world) == 0
    assert SECONDS <= onchain.delay_of(world.server, SECONDS) < 2 * SECONDS


def test_what_somebody_put_on_chain_is_not_sent_again(world: World, given: Given) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    world.revoke(given.consent)
    before = len(world.sender.sent)
    later(world)
    assert put(world) == 0
    assert len(world.sender.sent) == before


def test_what_only_the_latest_block_holds_is_looked_at_again(world: World, given: Given) -> None:
    """A reorganisation may take it back: only finality settles."""
    notice.accept(world.server, world.revocation(given.consent))
    later(world)
    put(world)
    assert put(world) == 0
    assert len(world.store.unsettled(world.ledger.now, 10)) == 1


def test_a_strangers_notice_costs_this_server_nothing(world: World, given: Given) -> None:
    nobody = WalletKey()
    notice.accept(world.server, world.notice(Revoke(nobody.address.lower(), bytes(32)), nobody))
    later(world)
    assert put(world) == 0


def test_a_freeze_that_is_over_needs_no_chain(world: World, given: Given) -> None:
    notice.accept(world.server, world.notice(Freeze(given.consent.subject, world.ledger.now + 5)))
    later(world)
    assert put(world) == 0


def test_what_the_contract_refuses_is_tried_a_few_times_and_then_no_more(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    later(world)
    asked = []

    def refuse(*_: object) -> None:
        asked.append(1)
        raise RevertedError

    monkeypatch.setattr(world.sender, "send", refuse)
    for _ in range(10):
        put(world)
    assert len(asked) == batches.MAX_ATTEMPTS


def test_without_gas_nothing_is_given_up(world: World, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    later(world)

    def poor(*_: object) -> None:
        raise UnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(world.sender, "send", poor)
        for _ in range(10):
            with pytest.raises(UnavailableError):
                put(world)
    assert put(world) == 1


def test_many_go_in_batches_that_fit_into_a_block(world: World, given: Given) -> None:
    for _ in range(45):
        notice.accept(world.server, world.revocation(world.consent()))
    later(world)
    before = len(world.sender.sent)
    assert put(world) == 45
    calls = world.sender.sent[before:]
    assert [call.function for call in calls] == ["revokeBatch"] * 2  # a passkey's signature may cost 400,000
    assert all(call.gas is not None and call.gas <= batches.MAX_BATCH_GAS for call in calls)


def test_what_ends_most_goes_first(world: World, given: Given) -> None:
    notice.accept(world.server, world.revocation(given.consent))
    notice.accept(world.server, world.notice(RevokeAll(given.consent.subject, world.ledger.now)))
    notice.accept(world.server, world.notice(Freeze(given.consent.subject, world.ledger.now + 9_999)))
    later(world)
    put(world)
    assert sent(world)[-3:] == ["freeze", "revokeAll", "revokeBatch"]


def cutoff_of(world: World, subject: str) -> int:
    return world.ledger.standings(world.ledger.view().latest, [(subject, bytes(32))])[0].cutoff


def test_of_any_number_of_stops_only_the_furthest_costs_this_server_something(world: World, given: Given) -> None:
    subject, now = given.consent.subject, world.ledger.now
    for cutoff in range(now - 60, now + 1):
        notice.accept(world.server, world.notice(RevokeAll(subject, cutoff)))
    later(world)
    assert put(world) == 1
    assert cutoff_of(world, subject) == now
    later(world, 1)
    for _ in range(2):  # once the nearest that was not sent, then the one that was
        assert put(world) == 0
    assert world.store.unsettled(world.ledger.now, 10) == []


def test_a_furthest_stop_that_the_contract_refuses_hides_no_other(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nearer one is not held back until the further one has been tried for the last time."""
    subject, now = given.consent.subject, world.ledger.now
    for cutoff in (now, now + 3_000):
        notice.accept(world.server, world.notice(RevokeAll(subject, cutoff)))
    later(world)
    send = world.sender.send

    def picky(calls: Any) -> Any:
        if calls[0].args[1] == now + 3_000:
            raise RevertedError
        return send(calls)

    monkeypatch.setattr(world.sender, "send", picky)
    put(world)
    put(world)
    assert cutoff_of(world, subject) == now


def test_a_flood_about_one_patient_delays_no_other_patients_notice(world: World, given: Given) -> None:
    other = WalletKey()
    world.store.enrolled.add(other.address.lower())
    for n in range(ON_CHAIN_AT_ONCE + 20):
        notice.accept(world.server, world.notice(Revoke(given.consent.subject, n.to_bytes(32, "big"))))
    notice.accept(world.server, world.notice(Revoke(other.address.lower(), b"\7" * 32), other))
    later(world)
    assert put(world) == ON_CHAIN_AT_ONCE + 1
    first = next(call for call in world.sender.sent if call.function == "revokeBatch")
    assert first.args[0][1][0] == other.address.lower()
