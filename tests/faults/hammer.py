# SPDX-License-Identifier: Apache-2.0
"""Clients that work until a process is killed in the middle of what they asked; what they were told; and what must be
true of that afterwards."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from eth_utils.crypto import keccak

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.crypto import merkle, typed
from consentum.crypto.checkpoint import open_note
from consentum.crypto.sealing import SealingKey, answer_info
from consentum.domain.journal import Entry
from consentum.domain.messages import Enrol
from consentum.domain.parsing import as_bytes
from consentum.errors import ConsentumError, Reason
from consentum.flow.client import deposit
from consentum.flow.client.receipts import Expected, verify
from consentum.flow.keyserver.anchor import origin_of
from consentum.flow.wire import Answer, Enrolment, ReleaseRequest
from scripts.demonstration.people import Patient
from tests.e2e.stack import Stack

RANDOM = random.Random(20261125)
PATIENCE = 15.0  # seconds that a kill waits until everything it means to hit is going on
Made = tuple[list[Patient], deposit.Batch]
Released = tuple[Patient, ReleaseRequest, SealingKey, Answer]


@dataclass
class Hammer:
    """hit: how many kills found each kind of work under way."""

    stack: Stack
    hit: Counter[str] = field(default_factory=Counter)
    _busy: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def during(self, kind: str) -> Iterator[None]:
        """While a request is on its way."""
        self._count(kind, 1)
        try:
            yield
        finally:
            self._count(kind, -1)

    def _count(self, kind: str, change: int) -> None:
        with self._lock:
            self._busy[kind] += change

    def kill(
        self,
        name: str,
        works: Sequence[Callable[[], None]],
        seconds: float,
        aims: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        """Kills one process by SIGKILL while the clients work, at the first moment after `seconds` in which every kind
        of work (and of `aims`, which say so themselves) is under way."""
        stop, aims = threading.Event(), aims or {}

        def client(work: Callable[[], None]) -> None:
            while not stop.is_set():
                with suppress(ConsentumError):
                    work()

        threads = [threading.Thread(target=client, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        time.sleep(seconds)  # the moment of death is the point of these tests
        process = self.stack.system.processes.pop(name)
        deadline = time.monotonic() + (PATIENCE if works else 0)
        while True:
            aimed = [kind for kind, under_way in aims.items() if under_way()]
            with self._lock:
                busy = {kind: count > 0 for kind, count in self._busy.items()}
            if (all(busy.values()) and len(aimed) == len(aims)) or time.monotonic() > deadline:
                break
            time.sleep(0.001)
        process.kill()
        self.hit.update([*aimed, *(kind for kind, is_busy in busy.items() if is_busy)])
        process.wait()
        stop.set()
        for thread in threads:
            thread.join()


def batches(stack: Stack, depository: GatewayContent | None = None) -> Callable[[], Made]:
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
        depository=depository or GatewayContent(stack.session(system.gateway_url, key)),
    )
    documents = stack.people.documents(0)
    mine = [patient for patient in stack.people.patients if patient.custodian == 0]

    def make() -> Made:
        chosen = RANDOM.sample(range(len(mine)), 2)
        signed = [mine[number].enrolment for number in chosen]
        enrolments = [Enrolment(s.message, s.signature) for s in signed if s and isinstance(s.message, Enrol)]
        batch = deposit.prepare(custodian, [documents[i] for i in chosen], enrolments, int(time.time()))
        return [mine[i] for i in chosen], batch

    return make


def releasing(hammer: Hammer, released: list[Released]) -> Callable[[], None]:
    """Patients ask server 1 for records of their own."""
    stack, peer = hammer.stack, hammer.stack.server().peer()

    def work() -> None:
        patient, key = RANDOM.choice(stack.people.patients), SealingKey()
        plain = stack.own_record(patient)
        release = replace(plain.release, responseKeyHash=keccak(key.public))
        signature = patient.key.sign(typed.digest(stack.system.deployment.user_domain, release))
        request = replace(plain, release=release, release_signature=signature, response_key=key.public)
        with hammer.during("release"):
            answer = Answer.parse(peer.release(request.to_json()))
        released.append((patient, request, key, answer))

    return work


def assert_released(stack: Stack, patient: Patient, record: bytes, number: int = 1) -> None:
    """A server holds the record's share."""
    answer = stack.server(number).peer().release(stack.own_record(patient, record).to_json())
    assert answer["receipt"]["counts"] == {"ALLOWED": 1}


def assert_receipts(stack: Stack, released: Sequence[Released]) -> None:
    """Every receipt is genuine and opens to a share, and every leaf it names is in the journal that server 1 signs now;
    the same release again has the same leaves."""
    server, ledger, domain = stack.server(), stack.system.ledger, stack.system.deployment.user_domain
    latest = ledger.view().latest
    key = ledger.server_keys(latest, server.address).checkpoint_key
    index = ledger.committee(latest, stack.committee).index_of(server.address)
    assert index is not None
    for _, request, response_key, answer in released:
        digest = typed.digest(domain, request.release)
        expected = Expected(server.address, index, key, digest, 1)
        assert verify(expected, answer.receipt, answer.signature, answer.sealed).allowed == (0,)
        assert response_key.open(answer.sealed, answer_info(digest, typed.address_bytes(server.address), index))
    assert_journalled(stack, [(who, request, dict(answer.receipt)) for who, request, _, answer in released])
    for _, request, _, answer in released[-40:]:
        assert server.peer().release(request.to_json())["receipt"]["leaves"] == answer.receipt["leaves"]


def assert_journalled(stack: Stack, received: Sequence[tuple[Patient, ReleaseRequest, dict[str, Any]]]) -> None:
    """Every leaf that a receipt of server 1 names is in its journal, proved."""
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


def assert_anchored(stack: Stack) -> int:
    """The anchor of server 1 is a root that its journal had: the journal it signs now only added to it. Its size; 0
    before the first."""
    server, ledger = stack.server(), stack.system.ledger
    latest = ledger.view().latest
    key, anchor = ledger.server_keys(latest, server.address).checkpoint_key, ledger.anchor_of(latest, server.address)
    if anchor.size == 0:
        return 0
    client = HttpClient(server.endpoint)
    note = open_note(client.text("/v1/journal/checkpoint"), origin_of(server.address), key)
    told = client.get("/v1/journal/consistency", old=anchor.size, new=note.size)["proof"]
    client.close()
    proof = [as_bytes(node, "proof", 32) for node in told]
    merkle.verify_consistency(anchor.size, anchor.root, note.size, note.root, proof)
    return anchor.size


def assert_noticed(stack: Stack, commitments: Sequence[bytes]) -> None:
    """Server 1 holds a notice of each."""
    with sqlite3.connect(stack.server().folder / "vault.db") as database:
        held = {row[0] for row in database.execute("SELECT commitment FROM notices")}
    assert set(commitments) <= held
