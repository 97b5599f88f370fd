# SPDX-License-Identifier: Apache-2.0
"""P4 and P6 under kill -9 of a key server: in the middle of releases, deposits, notices and anchoring, all at once, and
while it starts. The gateway's kills are in test_kill_gateway, those of jobs in test_kill_jobs."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from consentum.crypto import typed
from consentum.domain.messages import Consent, Revoke
from consentum.flow.client import terms
from consentum.flow.wire import Notice
from consentum.ports.transactions import Call
from consentum.settings import KeyServerSettings
from scripts.demonstration.jobs import Asker
from scripts.demonstration.people import Patient
from scripts.demonstration.proof import audit
from tests.e2e.stack import Stack, until
from tests.faults.hammer import (
    RANDOM,
    Hammer,
    Released,
    assert_anchored,
    assert_noticed,
    assert_receipts,
    assert_released,
    batches,
    releasing,
)

pytestmark = pytest.mark.processes
KILLS, ENOUGH, START_KILLS = 12, 10, 7
# So often that it nearly always anchors: a block takes a second.
ANCHOR_SECONDS = 0.2


def depositing(hammer: Hammer, deposited: list[tuple[Patient, bytes]]) -> Callable[[], None]:
    make, peer = batches(hammer.stack), hammer.stack.server().peer()

    def work() -> None:
        patients, batch = make()
        request = next(r for server, r in batch.requests if server.lower() == peer.address)
        with hammer.during("deposit"):
            peer.deposit(request.to_json())
        deposited.extend((p, record.id) for p, record in zip(patients, batch.records, strict=True))

    return work


def noticing(hammer: Hammer, noticed: list[tuple[Patient, Consent]]) -> Callable[[], None]:
    """Revokes consents that are not on chain: the notice is all there is."""
    stack, peer = hammer.stack, hammer.stack.server().peer()

    def work() -> None:
        patient = stack.patient("registry")
        message = patient.given().message
        assert isinstance(message, Consent)
        consent = replace(message, salt=secrets.token_bytes(32))
        domain = stack.system.deployment.user_domain
        signed = terms.revoke(domain, patient.key, patient.address, typed.struct_hash(consent))
        assert isinstance(signed.message, Revoke)
        with hammer.during("revoke"):
            peer.notice(Notice(signed.message, signed.signature).to_json())
        noticed.append((patient, consent))

    return work


def anchoring(stack: Stack) -> Callable[[], bool]:
    """Whether an anchor of server 1 is on its way to the chain."""
    rpc, address = stack.system.rpc, stack.server().address

    def under_way() -> bool:
        asked = [("eth_getTransactionCount", [address, block]) for block in ("latest", "pending")]
        mined, sent = rpc.batch(asked)
        return int(sent, 16) > int(mined, 16)

    return under_way


def anchor_often(stack: Stack) -> None:
    server = stack.server()
    stack.system.stop(server.name)
    replace(KeyServerSettings.load(server.folder), anchor_seconds=ANCHOR_SECONDS).save(server.folder)
    stack.system.start_server(server)
    stack.system.wait_ready()


def test_whatever_a_key_server_was_doing_when_it_died_what_it_said_stays_true(stack: Stack) -> None:
    hammer, server = Hammer(stack), stack.server()
    released: list[Released] = []
    deposited: list[tuple[Patient, bytes]] = []
    noticed: list[tuple[Patient, Consent]] = []
    anchor_often(stack)
    anchored = [assert_anchored(stack)]
    for number in range(KILLS):
        works = [*[releasing(hammer, released)] * 2, *[depositing(hammer, deposited)] * 2, noticing(hammer, noticed)]
        seconds = [0.02, 0.15, 0.4, 0.8][number % 4] + RANDOM.random() * 0.2
        hammer.kill(server.name, works, seconds, {"anchor": anchoring(stack)})
        stack.system.start_server(server)
        stack.system.wait_ready()
        anchored.append(assert_anchored(stack))
    assert all(hammer.hit[kind] >= ENOUGH for kind in ("release", "deposit", "revoke", "anchor")), hammer.hit
    assert min(len(released), len(deposited), len(noticed)) >= KILLS
    assert anchored == sorted(anchored)
    assert_receipts(stack, released)
    for patient, record in deposited:
        assert_released(stack, patient, record)
    assert_noticed(stack, [typed.struct_hash(consent) for _, consent in noticed])
    assert until(lambda: assert_anchored(stack) > anchored[-1]), "it anchors on"
    code, said = audit(server)
    assert code == 0, said


def test_a_server_killed_while_it_starts_starts_the_next_time(stack: Stack) -> None:
    """Opening the database, recovering its log, comparing with the anchor, announcing: at any moment."""
    hammer, server = Hammer(stack), stack.server()
    released: list[Released] = []
    work = releasing(hammer, released)
    for _ in range(20):
        work()
    process = stack.system.processes.pop(server.name)
    process.kill()
    process.wait()
    for number in range(START_KILLS):
        stack.system.start_server(server)
        hammer.kill(server.name, [], 0.3 + 0.25 * number + RANDOM.random() * 0.2)
    stack.system.start_server(server)
    stack.system.wait_ready()
    assert_receipts(stack, released)
    code, said = audit(server)
    assert code == 0, said


def test_a_notice_kept_through_a_kill_still_refuses(stack: Stack) -> None:
    """Not only its row: a consent that is granted after the kill is held by the notice given before it."""
    hammer, server = Hammer(stack), stack.server()
    noticed: list[tuple[Patient, Consent]] = []
    hammer.kill(server.name, [noticing(hammer, noticed)], 0.3)
    stack.system.start_server(server)
    stack.system.wait_ready()
    patient, consent = noticed[-1]
    signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, consent))
    commitment = typed.struct_hash(consent)
    stack.system.sender.send([Call("ConsentRegistry", "grant", (patient.address, commitment, signature))])
    asker = Asker(stack.system, stack.people.researcher, stack.studies["registry"], stack.committee)

    def said() -> list[str]:
        return [answer.reason for answer in asker.ask(asker.request(patient, consent))]

    assert until(lambda: said()[1:] == ["ALLOWED", "ALLOWED"]), "the other two servers know nothing of it"
    assert said()[0] == "NOTICE_HELD"
