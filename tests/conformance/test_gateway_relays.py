# SPDX-License-Identifier: Apache-2.0
"""The order in which every gateway's store gives out messages for the chain, and when it gives one up."""

from __future__ import annotations

from dataclasses import replace

from consentum.ports.gateway_store import GatewayStore
from tests.conformance import test_gateway_store as suite
from tests.conformance.test_gateway_store import message

store = suite.store


def test_a_message_that_was_refused_can_come_again_from_another_signer(store: GatewayStore) -> None:
    first = store.enqueue(message())
    store.mark([first.id], "refused")
    again = replace(message(), signature=b"\0" + b"\1" * 64)
    assert store.enqueue(again) == again
    assert store.queued(10) == [again]


def test_a_message_is_refused_after_as_many_failures_as_it_may_have(store: GatewayStore) -> None:
    one = store.enqueue(message())
    for _ in range(3):
        assert store.queued(10) == [one]
        store.failed(one.id, 3)
    assert store.queued(10) == []
    assert store.relayed(one.id).state == "refused"
    store.enqueue(one)
    store.failed(one.id, 3)
    assert store.queued(10) == [one]  # it counts from the start again


def test_a_failure_does_not_undo_what_was_mined(store: GatewayStore) -> None:
    one = store.enqueue(message())
    store.mark([one.id], "mined")
    store.failed(one.id, 1)
    assert store.relayed(one.id).state == "mined"


def test_what_ends_something_comes_before_every_grant_then_the_fewest_failures_then_the_oldest(
    store: GatewayStore,
) -> None:
    grants = [store.enqueue(message("Consent", f"0x{n:064x}")) for n in range(4)]
    ends = [store.enqueue(message(kind, "9")) for kind in ("Revoke", "RevokeAll", "Freeze")]
    for failing in (grants[0], grants[0], grants[2], ends[0]):
        store.failed(failing.id, 9)
    expected = [ends[1], ends[2], ends[0], grants[1], grants[3], grants[2], grants[0]]
    assert store.queued(10) == expected
    assert store.queued(3) == expected[:3]
