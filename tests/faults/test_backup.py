# SPDX-License-Identifier: Apache-2.0
"""Real servers: backed up while they serve, restored, never behind what was revoked; notices find every server and the
chain by themselves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import typed
from consentum.domain.messages import Freeze, Retract, Revoke
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError
from consentum.flow.client.retraction import retract
from consentum.flow.wire import Notice
from consentum.settings import KeyServerSettings
from scripts.demonstration.people import Patient
from tests.e2e.stack import Stack, running, until

pytestmark = pytest.mark.processes
NOBODY_YET = {"UNAVAILABLE", "BEHIND_ANCHOR", "NOTICES_UNFETCHED", "CHAIN_UNAVAILABLE"}


@pytest.fixture(scope="module")
def peers() -> Iterator[Stack]:
    """The whole system, whose servers know each other and leave the chain to others."""
    with running() as stack:
        for server in stack.system.servers:
            others = tuple(other.endpoint for other in stack.system.servers if other is not server)
            changed(stack, server.number, peers=others, notice_chain_seconds=3_600.0)
        stack.system.wait_ready()
        yield stack


def changed(stack: Stack, number: int, **settings: Any) -> None:
    """A server with other settings, started again."""
    server = stack.server(number)
    stack.system.stop(server.name)
    replace(KeyServerSettings.load(server.folder), **settings).save(server.folder)
    stack.system.start_server(server)


def command(*words: object) -> dict[str, Any]:
    """`consentum keyserver …`, which must succeed."""
    line = [sys.executable, "-m", "consentum.cli.main", "keyserver", *map(str, words), "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def freeze(stack: Stack, patient: Patient, seconds: int = 3_000) -> Notice:
    message = Freeze(patient.address.lower(), int(time.time()) + seconds)
    return Notice(message, patient.key.sign(typed.digest(stack.system.deployment.user_domain, message)))


def held(stack: Stack, number: int) -> list[dict[str, Any]]:
    try:
        return list(HttpClient(stack.server(number).endpoint).get("/v1/notices")["notices"])
    except ConsentumError:
        return []


def knows(stack: Stack, number: int, notice: Notice) -> bool:
    signature = notice.to_json()["signature"]
    return any(one["signature"] == signature for one in held(stack, number))


def replaced(stack: Stack, number: int, backup: Path, key: Path) -> None:
    """The server's folder is lost, and another made of the backup."""
    server = stack.server(number)
    stack.system.stop(server.name)
    shutil.rmtree(server.folder)
    answer = command("restore", backup, "--folder", server.folder, "--key", key)
    assert answer["address"].lower() == server.address.lower()


def backed_up(stack: Stack, number: int, folder: Path) -> tuple[Path, Path]:
    folder.mkdir()
    made = command("backup-key", "--out", folder / "key")
    command(
        "backup", "--folder", stack.server(number).folder, "--out", folder / "file", "--recipient", made["recipient"]
    )
    return folder / "file", folder / "key"


def test_a_notice_given_to_one_server_reaches_all(peers: Stack) -> None:
    patient = peers.people.patients[5]
    made = freeze(peers, patient, 60)
    peers.server(3).peer().notice(made.to_json())
    assert until(lambda: all(knows(peers, number, made) for number in (1, 2, 3)))
    assert peers.ask(patient) == "NOTICE_HELD"


def test_a_restored_server_fetches_what_it_missed_before_it_releases(peers: Stack, tmp_path: Path) -> None:
    patient, system = peers.people.patients[6], peers.system
    assert until(lambda: peers.ask(patient) == "ALLOWED")
    assert until(lambda: _anchored(peers) == _size(peers))
    file, key = backed_up(peers, 1, tmp_path / "now")
    system.stop("server 1")
    made = freeze(peers, patient)
    peers.server(3).peer().notice(made.to_json())
    system.start_server(peers.server(1))
    replaced(peers, 1, file, key)
    system.start_server(peers.server(1))
    said: set[str] = set()

    def told() -> bool:
        said.add(peers.ask(patient))
        return "NOTICE_HELD" in said

    assert until(told, 60)
    assert said - {"NOTICE_HELD"} <= NOBODY_YET
    assert knows(peers, 1, made)
    system.wait_ready()


def test_a_server_restored_from_before_its_anchor_serves_nothing_but_takes_notices(
    peers: Stack, tmp_path: Path
) -> None:
    patient, other, system = peers.people.patients[7], peers.people.patients[8], peers.system
    assert until(lambda: _anchored(peers) == _size(peers))  # or its anchor would only tell of what the backup has
    file, key = backed_up(peers, 1, tmp_path / "old")
    before = _anchored(peers)
    used = peers.own_record(patient)
    assert until(lambda: _code(peers, used) == "ALLOWED")
    assert until(lambda: _anchored(peers) > before)
    kept = tmp_path / "kept"
    system.stop("server 1")
    shutil.copytree(peers.server(1).folder, kept)
    system.start_server(peers.server(1))
    replaced(peers, 1, file, key)
    system.start_server(peers.server(1))
    try:
        assert until(lambda: "journal" in json.dumps(_why(peers)))
        assert _code(peers, used) == "BEHIND_ANCHOR"  # a used request
        assert peers.ask(other) == "BEHIND_ANCHOR"
        made = freeze(peers, other, 60)
        peers.server(1).peer().notice(made.to_json())
        assert until(lambda: knows(peers, 2, made))  # and it passes them on
    finally:
        system.stop("server 1")
        shutil.rmtree(peers.server(1).folder)
        shutil.move(kept, peers.server(1).folder)
        system.start_server(peers.server(1))
        system.wait_ready()


def test_a_server_puts_on_chain_what_nobody_did(peers: Stack) -> None:
    patient, system = peers.people.patients[9], peers.system
    changed(peers, 2, notice_chain_seconds=1.0)
    message = Revoke(patient.address.lower(), b"\7" * 32)
    signature = patient.key.sign(typed.digest(system.deployment.user_domain, message))
    peers.server(1).peer().notice(Notice(message, signature).to_json())

    def revoked() -> bool:
        pair = (message.subject, message.commitment)
        return bool(system.ledger.standings(system.ledger.view().latest, [pair])[0].revoked_at)

    assert until(revoked)


def test_a_new_epoch_is_announced_by_the_running_server(peers: Stack) -> None:
    assert command("rotate", "--folder", peers.server(2).folder) == {"epoch": 2}

    def announced() -> bool:
        ledger = peers.system.ledger
        told = peers.server(2).peer().about()
        return ledger.server_keys(ledger.view().latest, peers.server(2).address).epoch == told["epoch"] == 2

    assert until(announced)
    assert peers.ask(peers.people.patients[10], 2) == "ALLOWED"


def test_a_draining_server_releases_nothing_until_it_is_ended(peers: Stack) -> None:
    patient, folder = peers.people.patients[11], peers.server(3).folder
    command("drain", "--folder", folder)
    assert peers.ask(patient, 3) == "DRAINING"
    command("drain", "--folder", folder, "--end")
    assert peers.ask(patient, 3) == "ALLOWED"


def _why(stack: Stack) -> dict[str, Any]:
    try:
        return stack.ready()
    except Exception:  # noqa: BLE001 - it is starting
        return {}


def _code(stack: Stack, page: Any) -> str:
    try:
        answer = stack.server().peer().release(page.to_json())
    except ConsentumError as error:
        return error.code
    return str(next(iter(answer["receipt"]["counts"])))


def _anchored(stack: Stack) -> int:
    ledger = stack.system.ledger
    return ledger.anchor_of(ledger.view().latest, stack.server().address).size


def _size(stack: Stack) -> int:
    note = HttpClient(stack.server().endpoint).text("/v1/journal/checkpoint")
    return int(note.split("\n")[1])


def test_a_record_its_custodian_took_back_is_gone_at_every_server_and_from_the_store(peers: Stack) -> None:
    patient, system = peers.people.patients[12], peers.system
    custodian = peers.people.custodians[patient.custodian]
    domain, now = system.deployment.user_domain, int(time.time())
    message = Retract(custodian.address.lower(), patient.record, bytes(32), now)
    gateway = peers.session(system.gateway_url, custodian)
    assert until(lambda: [peers.ask(patient, number) for number in (1, 2, 3)] == ["ALLOWED"] * 3)
    hers = peers.session(system.gateway_url, patient.key).get("/v1/records", subject=patient.address)
    [cid] = [one["cid"] for one in hers["records"] if one["record"] == hexed(patient.record)]
    assert httpx.get(f"{system.gateway_url}/ipfs/{cid}?format=raw").status_code == 200
    answer = gateway.post("/v1/retractions", retract(domain, custodian, message).to_json())
    assert (answer["acknowledged"], answer["erased"], answer["waiting"]) == (True, True, {})
    assert httpx.get(f"{system.gateway_url}/ipfs/{cid}?format=raw").status_code == 404
    assert [peers.ask(patient, number) for number in (1, 2, 3)] == ["NO_CONSENT"] * 3
