# SPDX-License-Identifier: Apache-2.0
"""A subject's records at the gateway: hers, acknowledged, with when they came."""

from __future__ import annotations

import time

from consentum.ports.gateway_store import GatewayStore
from tests.conformance import test_gateway_store as suite
from tests.conformance.test_gateway_store import ALICE, BOB, acknowledge, deposit, record

store = suite.store


def test_a_subjects_records_are_hers_alone_with_when_they_came(store: GatewayStore) -> None:
    before = int(time.time())
    made = acknowledge(store, store.add_deposit(deposit(record(), record(BOB), record())))
    found = store.records_of(ALICE.replace("a", "A"))
    assert [one.id for one, _ in found] == sorted(r.id for r in made.records if r.subject == ALICE)
    assert all(before <= at <= time.time() for _, at in found)
    assert store.records_of("0x" + "99" * 20) == []


def test_a_record_that_not_every_server_acknowledged_is_not_among_them(store: GatewayStore) -> None:
    store.add_deposit(deposit(record()))
    assert store.records_of(ALICE) == []
