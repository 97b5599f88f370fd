# SPDX-License-Identifier: Apache-2.0
"""What people do in the main job's tests: run one, read their own record, look into a journal."""

from __future__ import annotations

import secrets
import time
from typing import Any

from consentum.crypto import sealing, typed
from consentum.crypto.signing import Signer
from consentum.domain.journal import Entry
from consentum.domain.messages import Job
from consentum.flow.client.collect import Collected, Collector, Member, collect
from scripts.demonstration.jobs import exact, submit
from scripts.demonstration.people import Patient
from tests.e2e.stack import Silent, Stack


def run_job(stack: Stack, key: Signer | None = None) -> dict[str, Any]:
    requester = key or stack.people.researcher
    return submit(stack.system, requester, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]


def exact_of(stack: Stack, state: dict[str, Any]) -> dict[str, Any]:
    """A job's exact numbers, as a member of the board sees them."""
    return exact(stack.system, stack.people.board[0], state["id"])


def own_job(who: Signer) -> Job:
    address = who.address.lower()
    job = {"study": bytes(32), "code": bytes(32), "purpose": 0, "access": 3, "epsilonMilli": 0}
    return Job(requester=address, runner=address, deadline=int(time.time()) + 600, salt=secrets.token_bytes(32), **job)


def collect_directly(stack: Stack, who: Signer, record: bytes) -> Collected:
    """A person asks two of three key servers for a record by herself and puts the key together."""
    system, job = stack.system, own_job(who)
    latest = system.ledger.view().latest
    committee = system.ledger.committee(latest, stack.committee)
    members = [
        Member(number, system.ledger.server_keys(latest, server.address).checkpoint_key, server.peer())
        for number, server in enumerate(system.servers, start=1)
    ]
    domain = system.deployment.user_domain
    collector = Collector(
        domain=domain,
        job=job,
        job_signature=who.sign(typed.digest(domain, job)),
        committee_id=stack.committee,
        committee=committee,
        members=members,
        runner=who,
        response_key=sealing.SealingKey(),
    )
    return collect(collector, [record], int(time.time()) + 300)


def entries(stack: Stack, patient: Patient, number: int = 1) -> list[Entry]:
    client = stack.session(stack.server(number).endpoint, patient.key)
    rows = client.get("/v1/journal/entries", subject=patient.address)["entries"]
    return [Entry(**row["entry"]) for row in rows]
