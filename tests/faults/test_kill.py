# SPDX-License-Identifier: Apache-2.0
"""P4 and P6 under kill -9, beyond test_kill_minus_nine: all kinds of work at once, kills while a server starts, every
share opened and every leaf looked up; and the gateway, which acknowledges consents, deposits and content."""

from __future__ import annotations

import hashlib
import random
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.crypto import merkle, typed
from consentum.crypto.checkpoint import open_note
from consentum.crypto.sealing import SealingKey, answer_info
from consentum.domain.cid import Cid
from consentum.domain.journal import Entry
from consentum.domain.messages import Consent, Enrol, Revoke
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import ConsentumError, Reason
from consentum.flow.client import deposit, terms
from consentum.flow.client.receipts import Expected, Receipt, verify
from consentum.flow.keyserver.anchor import origin_of
from consentum.flow.wire import Answer, Enrolment, Notice, ReleaseRequest
from scripts.demonstration.jobs import Asker
from scripts.demonstration.people import Patient
from scripts.demonstration.proof import audit
from tests.e2e.stack import Stack, until

pytestmark = pytest.mark.processes
RANDOM = random.Random(20261125)
SERVER_KILLS, START_KILLS, GATEWAY_KILLS = 7, 7, 7


def test_enough_kills() -> None:
    assert SERVER_KILLS + START_KILLS + GATEWAY_KILLS > 20


@dataclass
class Hammer:
    """Clients that work until somebody dies, and what they were told."""

    stack: Stack
    released: list[tuple[Patient, ReleaseRequest, SealingKey, Answer]] = field(default_factory=list)
    deposited: list[tuple[Patient, bytes]] = field(default_factory=list)
    noticed: list[tuple[Patient, Consent]] = field(default_factory=list)

    def kill(self, name: str, works: list[Callable[[], None]], seconds: float) -> None:
        """Kills one process in the middle of the works, `seconds` after they began."""
        stop = threading.Event()

        def client(work: Callable[[], None]) -> None:
            while not stop.is_set():
                with suppress(ConsentumError):
                    work()

        threads = [threading.Thread(target=client, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(seconds)  # the moment of death is the point of this test
        process = self.stack.system.processes.pop(name)
        process.kill()
        process.wait()
        stop.set()
        for thread in threads:
            thread.join()


def releasing(hammer: Hammer) -> Callable[[], None]:
    stack, peer = hammer.stack, hammer.stack.server().peer()

    def work() -> None:
        patient, key = RANDOM.choice(stack.people.patients), SealingKey()
        plain = stack.own_record(patient)
        release = replace(plain.release, responseKeyHash=keccak(key.public))
        signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, release))
        request = replace(plain, release=release, release_signature=signature, response_key=key.public)
        answer = Answer.parse(peer.release(request.to_json()))
        hammer.released.append((patient, request, key, answer))

    return work


def depositing(hammer: Hammer, custodian: deposit.Custodian) -> Callable[[], None]:
    stack, peer = hammer.stack, hammer.stack.server().peer()

    def work() -> None:
        patients, batch = make_batch(stack, custodian)
        request = next(r for server, r in batch.requests if server.lower() == peer.address)
        peer.deposit(request.to_json())
        hammer.deposited.extend((p, record.id) for p, record in zip(patients, batch.records, strict=True))

    return work


def noticing(hammer: Hammer) -> Callable[[], None]:
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
        peer.notice(Notice(signed.message, signed.signature).to_json())
        hammer.noticed.append((patient, consent))

    return work


def custodian_of(stack: Stack, depository: GatewayContent) -> deposit.Custodian:
    system, key = stack.system, stack.people.custodians[0]
    latest = system.ledger.view().latest
    committee = system.ledger.committee(latest, stack.committee)
    return deposit.Custodian(
        domain=system.deployment.user_domain,
        address=key.address,
        signer=key,
        committee_id=stack.committee,
        committee=committee,
        targets=deposit.sealing_targets(system.ledger, latest, committee, [s.peer() for s in system.servers]),
        depository=depository,
    )


def make_batch(stack: Stack, custodian: deposit.Custodian) -> tuple[list[Patient], deposit.Batch]:
    documents = stack.people.documents(0)
    mine = [patient for patient in stack.people.patients if patient.custodian == 0]
    chosen = RANDOM.sample(range(len(mine)), 2)
    enrolments = []
    for number in chosen:
        signed = mine[number].enrolment
        assert signed is not None
        assert isinstance(signed.message, Enrol)
        enrolments.append(Enrolment(signed.message, signed.signature))
    batch = deposit.prepare(custodian, [documents[i] for i in chosen], enrolments, int(time.time()))
    return [mine[i] for i in chosen], batch


def test_whatever_a_key_server_was_doing_when_it_died_what_it_said_stays_true(stack: Stack) -> None:
    hammer, server = Hammer(stack), stack.server()
    content = GatewayContent(stack.session(stack.system.gateway_url, stack.people.custodians[0]))
    custodian = custodian_of(stack, content)
    for number in range(SERVER_KILLS):
        works = [releasing(hammer), releasing(hammer), depositing(hammer, custodian), noticing(hammer)]
        # From the first milliseconds of the work to the middle of it.
        hammer.kill(server.name, works, [0.02, 0.15, 0.4, 0.8][number % 4] + RANDOM.random() * 0.2)
        stack.system.start_server(server)
        stack.system.wait_ready()
    assert min(len(hammer.released), len(hammer.deposited), len(hammer.noticed)) >= SERVER_KILLS
    check(hammer, server.peer())


def test_a_server_killed_while_it_starts_starts_the_next_time(stack: Stack) -> None:
    """Opening the database, recovering its log, comparing with the anchor, announcing: at any moment."""
    hammer, server = Hammer(stack), stack.server()
    work = releasing(hammer)
    for _ in range(20):
        work()
    process = stack.system.processes.pop(server.name)
    process.kill()
    process.wait()
    for number in range(START_KILLS):
        stack.system.start_server(server)
        hammer.kill(server.name, [work], 0.3 + 0.25 * number + RANDOM.random() * 0.2)
    stack.system.start_server(server)
    stack.system.wait_ready()
    check(hammer, server.peer())


def check(hammer: Hammer, peer: HttpKeyServer) -> None:
    """Every receipt is genuine and opens to shares; every leaf it names is in the journal that the server signs now;
    the same release again has the same leaves; nothing acknowledged is missing; the audit is clean."""
    stack, server = hammer.stack, hammer.stack.server()
    domain = stack.system.deployment.user_domain
    latest = stack.system.ledger.view().latest
    key = stack.system.ledger.server_keys(latest, server.address).checkpoint_key
    index = stack.system.ledger.committee(latest, stack.committee).index_of(server.address)
    assert index is not None
    client = HttpClient(server.endpoint)
    note = open_note(client.text("/v1/journal/checkpoint"), origin_of(server.address), key)
    journals: dict[str, dict[int, Entry]] = {}
    for patient, request, response_key, answer in hammer.released:
        digest = typed.digest(domain, request.release)
        expected = Expected(server.address, index, key, digest, 1)
        receipt = verify(expected, answer.receipt, answer.signature, answer.sealed)
        assert response_key.open(answer.sealed, answer_info(digest, typed.address_bytes(server.address), index))
        if patient.address not in journals:
            rows = stack.session(server.endpoint, patient.key).get("/v1/journal/entries", subject=patient.address)
            journals[patient.address] = {row["index"]: Entry(**row["entry"]) for row in rows["entries"]}
        assert_leaf(receipt, hexed(digest), journals[patient.address], client, note)
    for _, request, _, answer in hammer.released[-40:]:
        again = peer.release(request.to_json())["receipt"]
        assert again["leaves"] == answer.receipt["leaves"]
    for patient, record in hammer.deposited:
        assert peer.release(stack.own_record(patient, record).to_json())["receipt"]["counts"] == {"ALLOWED": 1}
    held = set()
    import sqlite3

    with sqlite3.connect(server.folder / "vault.db") as database:
        held = {row[0] for row in database.execute("SELECT commitment FROM notices")}
    assert {typed.struct_hash(consent) for _, consent in hammer.noticed} <= held
    code, said = audit(server)
    assert code == 0, said


def assert_leaf(receipt: Receipt, release: str, entries: dict[int, Entry], client: HttpClient, note: Any) -> None:
    assert receipt.allowed == (0,)
    [leaf] = receipt.leaves
    entry = entries[leaf]
    assert (entry.release, entry.reason) == (release, Reason.ALLOWED)
    answer = client.get("/v1/journal/inclusion", index=leaf, size=note.size)
    proof = [as_bytes(node, "proof", 32) for node in answer["proof"]]
    merkle.verify_inclusion(merkle.leaf_hash(entry.to_bytes()), leaf, note.size, proof, note.root)


def test_a_notice_kept_through_a_kill_still_refuses(stack: Stack) -> None:
    """Not only its row: a consent that is granted after the kill is held by the notice given before it."""
    from consentum.ports.transactions import Call

    hammer, server = Hammer(stack), stack.server()
    hammer.kill(server.name, [noticing(hammer)], 0.3)
    stack.system.start_server(server)
    stack.system.wait_ready()
    patient, consent = hammer.noticed[-1]
    signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, consent))
    commitment = typed.struct_hash(consent)
    stack.system.sender.send([Call("ConsentRegistry", "grant", (patient.address, commitment, signature))])
    asker = Asker(stack.system, stack.people.researcher, stack.studies["registry"], stack.committee)

    def said() -> list[str]:
        return [answer.reason for answer in asker.ask(asker.request(patient, consent))]

    assert until(lambda: said()[1:] == ["ALLOWED", "ALLOWED"]), "the other two servers know nothing of it"
    assert said()[0] == "NOTICE_HELD"


def test_what_the_gateway_acknowledged_survives_its_kills(stack: Stack, tmp_path: Path) -> None:
    """Consents reach the chain, deposits all servers, content stays readable: whenever the gateway died."""
    hammer, system = Hammer(stack), stack.system
    consents: list[tuple[Patient, bytes]] = []
    contents: dict[Cid, bytes] = {}
    deposits: list[tuple[list[Patient], deposit.Batch]] = []
    custodian_key = stack.people.custodians[0]
    for _ in range(GATEWAY_KILLS):
        client = stack.session(system.gateway_url, custodian_key)
        custodian = custodian_of(stack, GatewayContent(client))
        works = [
            lambda: consents.append(hand_in(stack, HttpClient(system.gateway_url))),
            lambda c=client: contents.update(store(c)),  # type: ignore[misc]
            *[lambda c=client, who=custodian: deposits.append(send_batch(stack, c, who))] * 2,  # type: ignore[misc]
        ]
        hammer.kill("gateway", works, 0.4 + RANDOM.random())  # type: ignore[arg-type]
        system.start_gateway()
        system.wait_ready()
    assert min(len(consents), len(contents), len(deposits)) >= GATEWAY_KILLS
    pairs = [(patient.address, commitment) for patient, commitment in consents]
    assert until(lambda: all(s.granted_at for s in system.ledger.standings(system.ledger.view().latest, pairs)), 60)
    session = stack.session(system.gateway_url, custodian_key)
    fetching, cids = GatewayContent(session, tmp_path / "cache"), list(contents)
    for start in range(0, len(cids), 50):
        for cid, content in fetching.get_all(cids[start : start + 50]).items():
            assert content == contents[cid]
    for number in (1, 2, 3):
        for patients, batch in deposits:
            record = batch.records[0].id
            request = stack.own_record(patients[0], record)
            receipt = stack.server(number).peer().release(request.to_json())["receipt"]
            assert receipt["counts"] == {"ALLOWED": 1}, "acknowledged means that all servers hold it"
    # The gateway itself remembers the records: who deposits the batch again is told the same.
    patients, batch = deposits[-1]
    assert session.post("/v1/deposits", batch.to_json())["acknowledged"] is True


def hand_in(stack: Stack, client: HttpClient) -> tuple[Patient, bytes]:
    patient = RANDOM.choice(stack.people.patients)
    message = patient.given().message
    assert isinstance(message, Consent)
    consent = replace(message, salt=secrets.token_bytes(32))
    signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, consent))
    try:
        client.post("/v1/consents", {"consent": typed.to_json(consent), "signature": hexed(signature)})
    finally:
        client.close()
    return patient, typed.struct_hash(consent)


def store(client: HttpClient) -> dict[Cid, bytes]:
    made = [hashlib.sha256(RANDOM.randbytes(16)).digest() * RANDOM.randrange(1, 10_000) for _ in range(3)]
    return dict(zip(GatewayContent(client).put_all(made), made, strict=True))


def send_batch(stack: Stack, client: HttpClient, custodian: deposit.Custodian) -> tuple[list[Patient], deposit.Batch]:
    made = make_batch(stack, custodian)
    answer = client.post("/v1/deposits", made[1].to_json())
    if not answer["acknowledged"]:
        raise ConsentumError("pending")
    return made


def test_a_deposit_pending_for_a_server_that_is_down_is_completed_after_the_gateways_death(stack: Stack) -> None:
    """Not acknowledged, never forgotten: server 3 is down, the gateway dies, both come back."""
    system, server = stack.system, stack.server(3)
    client = stack.session(system.gateway_url, stack.people.custodians[0])
    patients, batch = make_batch(stack, custodian_of(stack, GatewayContent(client)))
    system.stop(server.name)
    answer = client.post("/v1/deposits", batch.to_json())
    assert answer["acknowledged"] is False
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
