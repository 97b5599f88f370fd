# SPDX-License-Identifier: Apache-2.0
"""P6 under kill -9 of the gateway: in the middle of grants, revocations, deposits and uploads, all at once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.crypto import typed
from consentum.domain.cid import Cid
from consentum.domain.messages import Consent, Revoke
from consentum.domain.parsing import hexed
from consentum.flow.client import deposit, terms
from consentum.flow.wire import Notice
from scripts.demonstration.people import Patient
from tests.e2e.stack import Stack, until
from tests.faults.hammer import RANDOM, Hammer, assert_released, batches

pytestmark = pytest.mark.processes
KILLS, ENOUGH = 12, 10


@dataclass
class Told:
    """What the gateway acknowledged; commitments with their subjects."""

    granted: list[tuple[str, bytes]] = field(default_factory=list)
    revoked: list[tuple[str, bytes]] = field(default_factory=list)
    contents: dict[Cid, bytes] = field(default_factory=dict)
    deposits: list[tuple[list[Patient], deposit.Batch]] = field(default_factory=list)


def granting(hammer: Hammer, told: Told) -> Callable[[], None]:
    stack, client = hammer.stack, HttpClient(hammer.stack.system.gateway_url)

    def work() -> None:
        patient = RANDOM.choice(stack.people.patients)
        message = patient.given().message
        assert isinstance(message, Consent)
        consent = replace(message, salt=secrets.token_bytes(32))
        signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, consent))
        body = {"consent": typed.to_json(consent), "signature": hexed(signature)}
        with hammer.during("grant"):
            client.post("/v1/consents", body)
        told.granted.append((patient.address, typed.struct_hash(consent)))

    return work


def revoking(hammer: Hammer, told: Told) -> Callable[[], None]:
    stack, client = hammer.stack, HttpClient(hammer.stack.system.gateway_url)

    def work() -> None:
        patient, commitment = RANDOM.choice(stack.people.patients), secrets.token_bytes(32)
        signed = terms.revoke(stack.system.deployment.user_domain, patient.key, patient.address, commitment)
        assert isinstance(signed.message, Revoke)
        with hammer.during("revoke"):
            client.post("/v1/revocations", Notice(signed.message, signed.signature).to_json())
        told.revoked.append((patient.address, commitment))

    return work


def uploading(hammer: Hammer, told: Told, client: HttpClient) -> Callable[[], None]:
    def work() -> None:
        made = [hashlib.sha256(RANDOM.randbytes(16)).digest() * RANDOM.randrange(1, 10_000) for _ in range(3)]
        with hammer.during("content"):
            told.contents.update(zip(GatewayContent(client).put_all(made), made, strict=True))

    return work


def depositing(hammer: Hammer, told: Told, client: HttpClient) -> Callable[[], None]:
    make = batches(hammer.stack, GatewayContent(client))

    def work() -> None:
        made = make()
        with hammer.during("deposit"):
            acknowledged = client.post("/v1/deposits", made[1].to_json())["acknowledged"]
        if acknowledged:
            told.deposits.append(made)

    return work


def test_what_the_gateway_acknowledged_survives_its_kills(stack: Stack, tmp_path: Path) -> None:
    """Consents and revocations reach the chain, deposits all servers, content stays readable: whenever it died."""
    hammer, told, system = Hammer(stack), Told(), stack.system
    custodian = stack.people.custodians[0]
    for _ in range(KILLS):
        client = stack.session(system.gateway_url, custodian)
        deposits = [depositing(hammer, told, client)] * 2
        works = [granting(hammer, told), revoking(hammer, told), uploading(hammer, told, client), *deposits]
        hammer.kill("gateway", works, 0.2 + RANDOM.random() * 0.8)
        system.start_gateway()
        system.wait_ready()
    assert all(hammer.hit[kind] >= ENOUGH for kind in ("grant", "revoke", "deposit", "content")), hammer.hit
    assert min(map(len, (told.granted, told.revoked, told.contents, told.deposits))) >= KILLS
    ledger = system.ledger
    assert until(lambda: all(s.granted_at for s in ledger.standings(ledger.view().latest, told.granted)), 90)
    assert until(lambda: all(s.revoked_at for s in ledger.standings(ledger.view().latest, told.revoked)), 90)
    session = stack.session(system.gateway_url, custodian)
    fetching, cids = GatewayContent(session, tmp_path / "cache"), list(told.contents)
    for start in range(0, len(cids), 50):
        for cid, content in fetching.get_all(cids[start : start + 50]).items():
            assert content == told.contents[cid]
    for number in (1, 2, 3):  # acknowledged means that all servers hold it
        for patients, batch in told.deposits:
            assert_released(stack, patients[0], batch.records[0].id, number)
    # The gateway itself remembers the records: who deposits the batch again is told the same.
    assert session.post("/v1/deposits", told.deposits[-1][1].to_json())["acknowledged"] is True


def test_a_deposit_pending_for_a_server_that_is_down_is_completed_after_the_gateways_death(stack: Stack) -> None:
    """Not acknowledged, never forgotten: server 3 is down, the gateway dies, both come back."""
    system, server = stack.system, stack.server(3)
    client = stack.session(system.gateway_url, stack.people.custodians[0])
    patients, batch = batches(stack, GatewayContent(client))()
    system.stop(server.name)
    assert client.post("/v1/deposits", batch.to_json())["acknowledged"] is False
    gateway = system.processes.pop("gateway")
    gateway.kill()
    gateway.wait()
    system.start_server(server)
    system.start_gateway()
    system.wait_ready()

    def held() -> bool:
        request = stack.own_record(patients[0], batch.records[0].id)
        return bool(server.peer().release(request.to_json())["receipt"]["counts"] == {"ALLOWED": 1})

    assert until(held, 60)
