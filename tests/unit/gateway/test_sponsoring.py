# SPDX-License-Identifier: Apache-2.0
"""For whom the gateway pays, what it keeps of strangers (nothing), and how much anybody may ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.errors import NotFoundError, NotSponsoredError, UnavailableError
from consentum.flow.client import terms
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway import forward, hedge, relay
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.flow.gateway.sponsoring import pays_for
from consentum.ports.chain import Roles
from consentum.ports.enrolments import SignedEnrol
from consentum.services.gateway import limits
from tests.unit.client.world import DOMAIN, World
from tests.unit.gateway.messages import grant_body, granted, revocation
from tests.unit.gateway.routes import one_record, problem, session
from tests.unit.gateway.sender import MiningSender


@pytest.fixture
def strict(gateway: Gateway, world: World) -> Gateway:
    """The operator named the hospital and nobody else."""
    gateway.sponsorship = Sponsorship(frozenset({world.hospital.address.lower()}))
    return gateway


def deposited(gateway: Gateway, world: World, batch: Batch | None = None) -> Mapping[str, Any]:
    return forward.deposit(gateway, (batch or world.batch()).to_json(), world.hospital.address.lower())


def test_a_grant_of_a_stranger_is_not_paid_for_and_her_opening_not_kept(strict: Gateway, world: World) -> None:
    with pytest.raises(NotSponsoredError):
        granted(strict, world)
    assert strict.store.openings_of([world.alice.address]) == {}
    assert strict.store.queued(9) == []


def test_once_all_servers_have_her_record_she_is_known(strict: Gateway, world: World) -> None:
    assert deposited(strict, world)["acknowledged"]
    granted(strict, world)
    assert len(strict.store.queued(9)) == 1


def test_while_a_server_is_missing_she_is_not(strict: Gateway, world: World) -> None:
    batch = world.batch()
    world.peers[1].fault = "down"
    assert not deposited(strict, world, batch)["acknowledged"]
    with pytest.raises(NotSponsoredError):
        granted(strict, world)
    world.peers[1].fault = None
    forward.retry_deposits(strict)
    granted(strict, world)


def test_a_crash_between_the_last_receipt_and_the_recognition_is_healed_by_the_batch_sent_again(
    strict: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = world.batch()
    with monkeypatch.context() as patch:
        patch.setattr(forward, "_recognise", lambda *_: None)
        deposited(strict, world, batch)
    assert not pays_for(strict, world.alice.address)
    assert deposited(strict, world, batch)["acknowledged"]
    assert pays_for(strict, world.alice.address)


def test_an_enrolment_of_somebody_without_a_record_in_the_batch_makes_nobody_known(
    strict: Gateway, world: World
) -> None:
    deposited(strict, world, world.batch(world.alice))
    assert pays_for(strict, world.alice.address)
    assert not pays_for(strict, world.bob.address)


def test_an_enrolment_nobody_recognised_is_not_enough(strict: Gateway, world: World) -> None:
    signed = terms.enrol(DOMAIN, world.alice, world.hospital.address)
    strict.enrolments.add(SignedEnrol(signed.message, signed.signature, recognised=False))  # type: ignore[arg-type]
    with pytest.raises(NotSponsoredError):
        granted(strict, world)


def test_a_revocation_of_a_stranger_goes_to_the_servers_alone(strict: Gateway, world: World) -> None:
    answer = relay.revoke(strict, revocation(world.alice))
    assert (answer["state"], answer["id"], len(answer["servers"])) == ("unsponsored", None, 3)
    assert strict.store.queued(9) == []


@pytest.mark.parametrize("who", ["alice", "bob", "researcher"])
def test_a_custodian_that_is_not_in_the_settings_deposits_nothing(gateway: Gateway, world: World, who: str) -> None:
    gateway.sponsorship = Sponsorship(frozenset({getattr(world, who).address.lower()}))
    with pytest.raises(NotFoundError):
        deposited(gateway, world)
    assert gateway.store.pending_deposits() == []


def test_only_who_deposits_for_a_custodian_of_the_settings_uploads(
    client: TestClient, strict: Gateway, world: World
) -> None:
    raw = one_record()[1]
    problem(client.post("/v1/content", content=raw, headers=session(client, world.bob)), 404, "NOT_FOUND")
    world.ledger.delegates.add((world.hospital.address.lower(), Roles.DEPOSIT, world.bob.address.lower()))
    assert client.post("/v1/content", content=raw, headers=session(client, world.bob)).status_code == 200


# Money


def test_below_the_reserve_only_revocations_are_sent(gateway: Gateway, world: World, sender: MiningSender) -> None:
    gateway.sponsorship = replace(gateway.sponsorship, reserve_wei=100)
    sender.wei = 99
    granted(gateway, world)
    relay.revoke(gateway, revocation(world.alice))
    relay.relay_once(gateway, 100)
    assert sender.functions == ["revokeBatch"]
    assert [message.kind for message in gateway.store.queued(9)] == ["Consent"]
    sender.wei = 100
    relay.relay_once(gateway, 100)
    assert sender.functions == ["revokeBatch", "grantBatch"]


# Caps


def test_a_person_adds_so_many_forms_a_day_and_no_more(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FORMS_PER_DAY", 2)
    headers = session(client, world.alice)
    for n in range(2):
        assert client.post("/v1/forms", json={"text": f"form {n}"}, headers=headers).status_code == 200
    problem(client.post("/v1/forms", json={"text": "one more"}, headers=headers), 429, "LIMIT")
    other = session(client, world.bob)
    assert client.post("/v1/forms", json={"text": "another's"}, headers=other).status_code == 200


def test_whoever_does_not_sign_in_asks_so_often_a_minute_and_may_revoke_all_the_same(
    client: TestClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = session(client, world.alice)
    monkeypatch.setattr(limits.Meter, "take", lambda *_: False)
    problem(client.get("/v1/studies"), 429, "LIMIT")
    for made_up in ("Bearer made-up", "Basic abc"):
        problem(client.get("/v1/studies", headers={"Authorization": made_up}), 429, "LIMIT")
    problem(client.post("/v1/consents", json=grant_body(world.consent(world.alice), world.alice)), 429, "LIMIT")
    assert client.post("/v1/revocations", json=revocation(world.alice)).status_code == 200
    assert client.get("/v1/studies", headers=headers).status_code == 200


def test_a_meter_counts_each_client_by_the_minute() -> None:
    now = [0.0]
    meter = limits.Meter(2, lambda: now[0])
    assert [meter.take("a") for _ in range(3)] == [True, True, False]
    assert meter.take("b")
    now[0] = 60.0
    assert meter.take("a")


def test_a_meter_forgets_clients_rather_than_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CLIENTS", 2)
    meter = limits.Meter(1)
    for client in "abc":
        meter.take(client)
    assert len(meter._seen) == 2


# Servers that hang


def test_a_hanging_server_does_not_hold_up_a_revocation_or_a_deposit(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    import time

    release, kind, slow = threading.Event(), type(world.peers[0]), world.peers[2].address
    honest = {name: getattr(kind, name) for name in ("notice", "deposit")}

    def hanging(name: str) -> Any:
        def ask(peer: Any, body: Mapping[str, Any]) -> Any:
            if peer.address == slow:
                release.wait(20)
            return honest[name](peer, body)

        return ask

    for name in honest:
        monkeypatch.setattr(kind, name, hanging(name))
    monkeypatch.setattr(forward, "DEPOSIT_WAIT_SECONDS", 0.3)
    monkeypatch.setattr(hedge, "GRACE_SECONDS", 0.1)
    batch = world.batch()
    began = time.monotonic()
    told = relay.revoke(gateway, revocation(world.alice))
    answer = deposited(gateway, world, batch)
    assert time.monotonic() - began < 10
    assert set(told["servers"]) == {peer.address for peer in world.peers[:2]}
    assert (answer["acknowledged"], answer["waiting"]) == (False, [slow])
    release.set()
    deadline, late = time.monotonic() + 20, world.peers[2].server.store
    held = False
    while (gateway.store.pending_deposits() or not held) and time.monotonic() < deadline:
        held = bool(late.notices([world.alice.address.lower()]).get(world.alice.address.lower()))
        time.sleep(0.01)
    assert gateway.store.deposit(batch.deposit.recordsRoot).acknowledged, "the late receipt is noted when it comes"
    assert held, "the late server has the notice all the same"


def test_a_server_that_hangs_takes_only_so_many_threads(gateway: Gateway) -> None:
    import threading

    release = threading.Event()

    def hang() -> None:
        release.wait(20)

    for _ in range(40):
        answers = gateway.hedge.ask({"slow": hang}, 0.0)
    assert isinstance(answers.errors["slow"], UnavailableError)
    release.set()


def test_what_nobody_expected_of_a_server_is_a_server_that_does_not_answer(gateway: Gateway) -> None:
    def burst() -> None:
        raise RuntimeError("canary")

    answers = gateway.hedge.ask({"one": burst, "two": lambda: None}, 5.0)
    assert set(answers.values) == {"two"}
    assert isinstance(answers.errors["one"], UnavailableError)
