# SPDX-License-Identifier: Apache-2.0
"""What tests of a key server's view of the chain ask and send: grants, notices, releases, anchors."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from consentum.domain.messages import Consent
from consentum.errors import ConsentumError
from consentum.flow.client import terms
from consentum.flow.wire import Notice, ReleaseRequest
from consentum.ports.transactions import Call
from scripts.demonstration.jobs import Asker
from scripts.demonstration.people import Patient
from scripts.demonstration.system import KeyServerProcess
from tests.e2e.stack import Stack
from tests.faults.liar import Lie, standing_still

RETRY = ("CHAIN_UNAVAILABLE", "STALE")


def connect(stack: Stack, server: KeyServerProcess, url: str, **settings: Any) -> None:
    """Starts a server again with another node."""
    path = server.folder / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rpc": url, **settings}))
    if server.name in stack.system.processes:
        stack.system.stop(server.name)
    stack.system.start_server(server)


def registry_request(stack: Stack, patient: Patient, opening: Consent | None = None) -> ReleaseRequest:
    asker = Asker(stack.system, stack.people.researcher, stack.studies["registry"], stack.committee)
    message = opening or patient.given().message
    assert isinstance(message, Consent)
    return asker.request(patient, message)


def reason(server: KeyServerProcess, request: ReleaseRequest) -> str:
    try:
        [name] = server.peer().release(request.to_json())["receipt"]["counts"]
    except ConsentumError as error:
        return error.code
    return str(name)


def notice_of(stack: Stack, patient: Patient, commitment: bytes) -> Notice:
    signed = terms.revoke(stack.system.deployment.user_domain, patient.key, patient.address, commitment)
    return Notice(signed.message, signed.signature)  # type: ignore[arg-type]


def grow_and_anchor(stack: Stack, server: KeyServerProcess, before: int) -> None:
    """Gives the background work, which judges notices too, the time of one round or two."""
    deadline = time.monotonic() + 5
    while anchored(stack, server) <= before and time.monotonic() < deadline:
        stack.ask(stack.patient(), server.number)
        time.sleep(0.3)


def anchored(stack: Stack, server: KeyServerProcess) -> int:
    return stack.system.ledger.anchor_of(stack.system.ledger.view().latest, server.address).size


def fresh_consent(stack: Stack, patient: Patient) -> Consent:
    """The same terms as given before, in a consent of its own."""
    message = patient.given().message
    assert isinstance(message, Consent)
    now = stack.system.ledger.view().latest.timestamp
    return replace(message, salt=secrets.token_bytes(32), signedAt=now, notBefore=0)


def grant(stack: Stack, patient: Patient, consent: Consent) -> int:
    """Puts the grant on chain without the gateway; the block it is in."""
    signed = terms.sign(stack.system.deployment.user_domain, consent, patient.key)
    call = Call("ConsentRegistry", "grant", (patient.address, signed.hash, signed.signature))
    [transaction] = stack.system.sender.send([call])
    return int(stack.system.rpc.call("eth_getTransactionReceipt", transaction)["blockNumber"], 16)


def ready_if_it_answers(stack: Stack) -> dict[str, Any]:
    """What server 1 says of itself; nothing while it does not answer."""
    try:
        return stack.ready()
    except httpx.HTTPError:
        return {}


def still_at_this_head(stack: Stack, seconds_older: int) -> Lie:
    """A lie that the node tells from now on: its head stays what it is at this moment, and was so long ago."""
    lie = standing_still(seconds_older=seconds_older)
    for tag in ("latest", "finalized"):
        lie("eth_getBlockByNumber", [tag], stack.system.rpc.call("eth_getBlockByNumber", tag, False))
    return lie


@contextmanager
def from_backup(stack: Stack, server: KeyServerProcess, backup: Path, aside: Path) -> Iterator[None]:
    """A server's folder as it was in a backup, for a while; the newer one lies aside. Starting it is the caller's."""
    stack.system.stop(server.name)
    shutil.move(server.folder, aside)
    shutil.copytree(backup, server.folder)
    try:
        yield
    finally:
        stack.system.stop(server.name)
        shutil.rmtree(server.folder)
        shutil.move(aside, server.folder)
        stack.system.start_server(server)
