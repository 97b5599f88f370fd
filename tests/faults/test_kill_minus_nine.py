# SPDX-License-Identifier: Apache-2.0
"""P4 and P6 under kill -9: a key server dies in the middle of its work twenty times and more."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpKeyServer
from consentum.crypto import merkle
from consentum.crypto.checkpoint import open_note
from consentum.domain.journal import Entry
from consentum.domain.parsing import as_bytes
from consentum.errors import ConsentumError, Reason
from consentum.flow.client import deposit, terms
from consentum.flow.keyserver.anchor import origin_of
from consentum.flow.wire import Enrolment, Notice, ReleaseRequest
from scripts.demonstration.people import Patient
from scripts.demonstration.proof import audit
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.processes
RANDOM = random.Random(20261124)
RELEASE_KILLS, DEPOSIT_KILLS, NOTICE_KILLS = 10, 7, 4


def test_enough_kills() -> None:
    assert RELEASE_KILLS + DEPOSIT_KILLS + NOTICE_KILLS >= 20


def hammer_and_kill(stack: Stack, work: Callable[[HttpKeyServer], None], least: float) -> None:
    """Three clients work against server 1 until it is killed in the middle, then it is started again."""
    stop = threading.Event()

    def client() -> None:
        peer = stack.server().peer()
        while not stop.is_set():
            with suppress(ConsentumError):
                work(peer)

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(least + RANDOM.random() * 0.4)  # the moment of death is the point of this test
    process = stack.system.processes.pop(stack.server().name)
    process.kill()
    process.wait()
    stop.set()
    for thread in threads:
        thread.join()
    stack.system.start_server(stack.server())
    stack.system.wait_ready()


def test_every_share_received_has_its_leaf_and_a_retry_has_the_same_leaves(stack: Stack) -> None:
    received: list[tuple[Patient, ReleaseRequest, dict[str, Any]]] = []

    def release(peer: HttpKeyServer) -> None:
        patient = RANDOM.choice(stack.people.patients)
        request = stack.own_record(patient)
        answer = peer.release(request.to_json())
        received.append((patient, request, dict(answer["receipt"])))

    for _ in range(RELEASE_KILLS):
        before = len(received)
        hammer_and_kill(stack, release, least=0.3)
        for _, request, receipt in received[before:][-5:]:
            again = stack.server().peer().release(request.to_json())["receipt"]
            assert again["leaves"] == receipt["leaves"]
    assert len(received) > RELEASE_KILLS
    assert_journalled(stack, received)
    code, said = audit(stack.server())
    assert code == 0, said


def assert_journalled(stack: Stack, received: list[tuple[Patient, ReleaseRequest, dict[str, Any]]]) -> None:
    server = stack.server()
    key = stack.system.ledger.server_keys(stack.system.ledger.view().latest, server.address).checkpoint_key
    for patient in {p.number: p for p, _, _ in received}.values():
        client = stack.session(server.endpoint, patient.key)
        rows = client.get("/v1/journal/entries", subject=patient.address)["entries"]
        entries = {row["index"]: Entry(**row["entry"]) for row in rows}
        note = open_note(client.text("/v1/journal/checkpoint"), origin_of(server.address), key)
        for owner, _, receipt in received:
            if owner is patient:
                [[index, many]] = receipt["leaves"]
                assert (many, entries[index].reason) == (1, Reason.ALLOWED)
                assert entries[index].release == receipt["release"]
                answer = client.get("/v1/journal/inclusion", index=index, size=note.size)
                proof = [as_bytes(node, "proof", 32) for node in answer["proof"]]
                merkle.verify_inclusion(merkle.leaf_hash(entries[index].to_bytes()), index, note.size, proof, note.root)
        client.close()


def test_every_acknowledged_deposit_can_be_released_after_the_kill(stack: Stack) -> None:
    make = batches(stack)
    acknowledged: list[tuple[Patient, bytes]] = []

    def put(peer: HttpKeyServer) -> None:
        patients, batch = make()
        request = next(r for server, r in batch.requests if server.lower() == peer.address)
        peer.deposit(request.to_json())
        acknowledged.extend((p, record.id) for p, record in zip(patients, batch.records, strict=True))

    for _ in range(DEPOSIT_KILLS):
        hammer_and_kill(stack, put, least=0.3)
    assert len(acknowledged) > DEPOSIT_KILLS
    peer = stack.server().peer()
    for patient, record in acknowledged:
        receipt = peer.release(stack.own_record(patient, record).to_json())["receipt"]
        assert receipt["counts"] == {"ALLOWED": 1}


def batches(stack: Stack) -> Callable[[], tuple[list[Patient], deposit.Batch]]:
    """Makes signed batches of two more records for patients of the first custodian."""
    system, key = stack.system, stack.people.custodians[0]
    latest = system.ledger.view().latest
    committee = system.ledger.committee(latest, stack.committee)
    custodian = deposit.Custodian(
        domain=system.deployment.user_domain,
        address=key.address,
        signer=key,
        committee_id=stack.committee,
        committee=committee,
        targets=deposit.sealing_targets(system.ledger, latest, committee, [s.peer() for s in system.servers]),
        depository=GatewayContent(stack.session(system.gateway_url, key)),
    )
    documents = stack.people.documents(0)
    mine = [patient for patient in stack.people.patients if patient.custodian == 0]

    def make() -> tuple[list[Patient], deposit.Batch]:
        chosen = RANDOM.sample(range(len(mine)), 2)
        enrolments = [Enrolment(mine[i].enrolment.message, mine[i].enrolment.signature) for i in chosen]  # type: ignore[union-attr,arg-type]
        batch = deposit.prepare(custodian, [documents[i] for i in chosen], enrolments, int(time.time()))
        return [mine[i] for i in chosen], batch

    return make


def test_every_acknowledged_notice_is_held_after_the_kill(stack: Stack) -> None:
    acknowledged: list[bytes] = []

    def tell(peer: HttpKeyServer) -> None:
        patient, commitment = RANDOM.choice(stack.people.patients), RANDOM.randbytes(32)
        signed = terms.revoke(stack.system.deployment.user_domain, patient.key, patient.address, commitment)
        peer.notice(Notice(signed.message, signed.signature).to_json())  # type: ignore[arg-type]
        acknowledged.append(commitment)

    for _ in range(NOTICE_KILLS):
        hammer_and_kill(stack, tell, least=0.2)
    assert len(acknowledged) > NOTICE_KILLS
    with sqlite3.connect(stack.server().folder / "vault.db") as database:
        held = {row[0] for row in database.execute("SELECT commitment FROM notices")}
    assert set(acknowledged) <= held


def test_the_server_still_anchors_after_all_this(stack: Stack) -> None:
    ledger, address = stack.system.ledger, stack.server().address
    before = ledger.anchor_of(ledger.view().latest, address).size
    assert stack.ask(stack.patient()) == "ALLOWED"
    assert until(lambda: ledger.anchor_of(ledger.view().latest, address).size > before)
