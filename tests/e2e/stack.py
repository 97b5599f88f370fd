# SPDX-License-Identifier: Apache-2.0
"""The real system for tests: Anvil, key servers, gateway and runner as processes, twenty patients with records."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_utils.crypto import keccak

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import merkle, typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import Signer
from consentum.domain.messages import Job, Release
from consentum.domain.terms import Access
from consentum.errors import ConsentumError
from consentum.flow.wire import ReleaseRequest
from scripts.demonstration.people import Cast, Patient, cast
from scripts.demonstration.stages import Board, consent_all, deposit_all, enrol, found_committee, found_studies
from scripts.demonstration.system import KeyServerProcess, System

ROOT = Path(__file__).resolve().parents[2]


class Silent:
    """A Story that tells nothing."""

    def doing(self, what: str) -> None: ...

    def say(self, text: str = "") -> None: ...


@dataclass
class Stack:
    """A running system and who lives in it."""

    system: System
    people: Cast
    committee: bytes
    board: Board
    studies: dict[str, bytes]

    def server(self, number: int = 1) -> KeyServerProcess:
        return self.system.servers[number - 1]

    def patient(self, kind: str = "study") -> Patient:
        return next(patient for patient in self.people.patients if patient.kind == kind)

    def own_record(self, patient: Patient, record: bytes | None = None, key: Signer | None = None) -> ReleaseRequest:
        """A patient asks for a record of her own: requester and runner in one, no study, no consent needed."""
        signer = key or patient.key
        job = Job(
            requester=signer.address.lower(),
            runner=signer.address.lower(),
            study=bytes(32),
            code=bytes(32),
            purpose=0,
            access=int(Access.DOWNLOAD),
            epsilonMilli=0,
            deadline=int(time.time()) + 600,
            salt=secrets.token_bytes(32),
        )
        public, ids = SealingKey().public, (record or patient.record,)
        release = Release(
            job=typed.struct_hash(job),
            committee=self.committee,
            recordsRoot=merkle.root_of(ids),
            count=1,
            responseKeyHash=keccak(public),
            deadline=int(time.time()) + 300,
            nonce=secrets.token_bytes(32),
        )
        domain = self.system.deployment.user_domain
        signatures = (signer.sign(typed.digest(domain, job)), signer.sign(typed.digest(domain, release)))
        return ReleaseRequest(job, signatures[0], release, signatures[1], public, ids, (None,))

    def ask(self, patient: Patient, number: int = 1) -> str:
        """What one server says to a patient who asks for her own record: the reason, or the error's code."""
        try:
            answer = self.server(number).peer().release(self.own_record(patient).to_json())
        except ConsentumError as error:
            return error.code
        [reason] = answer["receipt"]["counts"]
        return str(reason)

    def ready(self, number: int = 1) -> dict[str, Any]:
        """/ready of one server, whatever its status."""
        import httpx

        answer: dict[str, Any] = httpx.get(f"{self.server(number).endpoint}/ready", timeout=20).json()
        return answer

    def session(self, url: str, key: Signer) -> HttpClient:
        client = HttpClient(url, timeout=30)
        client.sign_in(key, self.system.deployment.user_domain)
        return client


@contextmanager
def running() -> Iterator[Stack]:
    """The whole system with everything deposited, granted and final; ended and removed at the end."""
    os.environ.setdefault("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
    system, people, silent = System(), cast(20), Silent()
    try:
        system.start_chain(lambda _: None)
        system.start_services([key.address for key in people.custodians])
        committee = found_committee(system)
        board, studies = found_studies(system, people)
        system.start_runner(board.id, committee)
        system.wait_ready()
        enrol(system, people)
        deposit_all(system, people, committee, silent)  # type: ignore[arg-type]
        consent_all(system, people, studies, silent)  # type: ignore[arg-type]
        yield Stack(system, people, committee, board, studies)
    finally:
        system.close()


def until(fact: Callable[[], bool], seconds: float = 30) -> bool:
    """Asks again and again until it is so, or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fact():
            return True
        time.sleep(0.1)
    return fact()
