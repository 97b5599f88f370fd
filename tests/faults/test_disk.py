# SPDX-License-Identifier: Apache-2.0
"""Beyond test_bad_disk: a disk that is really full, a read-only one, damaged pages, one bad block among many."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consentum.adapters.peers.http import HttpKeyServer
from consentum.domain.cid import Cid
from consentum.errors import ConsentumError
from consentum.flow.client import terms
from consentum.flow.wire import Notice, ReleaseRequest
from scripts.demonstration.jobs import submit
from scripts.demonstration.proof import audit
from tests.e2e.stack import Silent, Stack, until
from tests.faults.hammer import assert_journalled, batches

pytestmark = pytest.mark.processes
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """The folder, with what is in it, on a file system of its own."""
    aside = folder.with_name(folder.name + "-aside")
    folder.rename(aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    try:
        if mounted.returncode != 0:
            pytest.skip(f"root, but may not mount: {mounted.stderr.decode().strip()}")
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        yield
        shutil.copytree(folder, aside, dirs_exist_ok=True)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()
        aside.rename(folder)


def fill(path: Path) -> None:
    """Takes the last free byte."""
    with path.open("ab", buffering=0) as file:
        for piece in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"\0" * piece)
            except OSError:
                continue


def code_of(peer: HttpKeyServer, what: str, body: dict[str, object]) -> str:
    try:
        getattr(peer, what)(body)
    except ConsentumError as error:
        return error.code
    return "taken"


@as_root
def test_a_disk_without_a_free_byte_refuses_everything_loses_nothing_and_recovers(stack: Stack) -> None:
    server, patient = stack.server(), stack.patient()
    make, peer, received = batches(stack), server.peer(), []
    stack.system.stop(server.name)
    with small_disk(server.folder, "8m"):
        stack.system.start_server(server)
        stack.system.wait_ready()
        taken = Notice(*_revocation(stack, 0))
        peer.notice(taken.to_json())
        fill(server.folder / "filler")
        said = "nothing"
        # The write-ahead log may have room from before: what is answered until it is full must be written down too.
        for _ in range(5_000):
            request = stack.own_record(patient)
            try:
                received.append((patient, request, dict(peer.release(request.to_json())["receipt"])))
            except ConsentumError as error:
                said = error.code
                break
        assert said == stack.ask(patient) == "STORE_UNAVAILABLE"
        _, batch = make()
        deposit = next(r for name, r in batch.requests if name.lower() == peer.address).to_json()
        assert code_of(peer, "deposit", deposit) == "STORE_UNAVAILABLE"
        refused = Notice(*_revocation(stack, 1))
        assert code_of(peer, "notice", refused.to_json()) == "STORE_UNAVAILABLE"
        assert "STORE_UNAVAILABLE" in json.dumps(stack.ready())

        (server.folder / "filler").unlink()
        assert until(lambda: stack.ask(patient) == "ALLOWED")
        assert until(lambda: stack.ready() == {"status": "ready"})
        assert code_of(peer, "deposit", deposit) == code_of(peer, "notice", refused.to_json()) == "taken"
        if received:
            assert_journalled(stack, received)
        assert audit(server)[0] == 0
        stack.system.stop(server.name)
    stack.system.start_server(server)
    stack.system.wait_ready()
    assert stack.ask(patient) == "ALLOWED"


def _revocation(stack: Stack, number: int):  # type: ignore[no-untyped-def]
    patient = stack.people.patients[-1]
    signed = terms.revoke(stack.system.deployment.user_domain, patient.key, patient.address, bytes([number]) * 32)
    return signed.message, signed.signature


@as_root
def test_a_gateway_on_a_full_disk_takes_no_consent_and_recovers(stack: Stack) -> None:
    import secrets
    from dataclasses import replace

    from consentum.crypto import typed
    from consentum.domain.parsing import hexed

    folder, patient = stack.system.folder / "gateway", stack.people.patients[-2]
    signed = terms.sign(
        stack.system.deployment.user_domain,
        replace(patient.given().message, salt=secrets.token_bytes(32)),  # type: ignore[type-var]
        patient.key,
    )
    body = {"consent": typed.to_json(signed.message), "signature": hexed(signed.signature)}
    stack.system.stop("gateway")
    with small_disk(folder, "16m"):
        stack.system.start_gateway()
        stack.system.wait_ready()
        client = stack.session(stack.system.gateway_url, patient.key)  # a challenge is spent in the database
        fill(folder / "filler")
        said = ""
        for _ in range(2_000):
            try:
                client.post("/v1/consents", body)
            except ConsentumError as error:
                said = error.code
                break
            more = replace(signed.message, salt=secrets.token_bytes(32))  # type: ignore[type-var]
            again = terms.sign(stack.system.deployment.user_domain, more, patient.key)
            body = {"consent": typed.to_json(again.message), "signature": hexed(again.signature)}
        assert said == "STORE_UNAVAILABLE"
        (folder / "filler").unlink()
        assert until(lambda: _taken(client, body))
        stack.system.stop("gateway")
    stack.system.start_gateway()
    stack.system.wait_ready()


def _taken(client, body) -> bool:  # type: ignore[no-untyped-def]
    try:
        client.post("/v1/consents", body)
    except ConsentumError:
        return False
    return True


@as_root
def test_a_read_only_disk_is_refused_at_start_with_one_line(stack: Stack) -> None:
    server = stack.server(2)
    stack.system.stop(server.name)
    with small_disk(server.folder, "8m"):
        subprocess.run(["mount", "-o", "remount,ro", str(server.folder)], check=True)
        done = serve(server.folder)
        subprocess.run(["mount", "-o", "remount,rw", str(server.folder)], check=True)
    stack.system.start_server(server)
    stack.system.wait_ready()
    assert stack.ask(stack.patient(), 2) == "ALLOWED"
    assert done.returncode == 3
    assert done.stderr.startswith("STORE_UNAVAILABLE"), done.stderr[-300:]
    assert [line[:5] for line in done.stderr.splitlines()] == ["STORE", "hint:"]


def test_a_database_with_a_damaged_page_never_gives_a_share(stack: Stack) -> None:
    """Zeroes over the middle of the file, page after page: refused at start or at the request, or the page was none
    that the answer needs; the right share or none."""
    server, patient = stack.server(2), stack.patient()
    own = stack.own_record(patient)
    right = server.peer().release(own.to_json())["receipt"]
    stack.system.stop(server.name)
    path = server.folder / "vault.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    good = path.read_bytes()
    said: dict[int, object] = {}
    try:
        for page in (1, 3, 5, 8):
            damaged = bytearray(good)
            damaged[page * 4_096 : (page + 1) * 4_096] = bytes(4_096)
            path.write_bytes(damaged)
            stack.system.start_server(server)
            process = stack.system.processes[server.name]
            assert until(lambda p=process: p.poll() is not None or stack.ask(patient, 2) != "UNAVAILABLE")  # type: ignore[misc]
            if process.poll() is None:
                said[page] = leaves_or_code(server.peer(), own)
            stack.system.stop(server.name)
            for extra in ("vault.db-wal", "vault.db-shm"):
                (server.folder / extra).unlink(missing_ok=True)
    finally:
        path.write_bytes(good)
        stack.system.start_server(server)
    stack.system.wait_ready()
    assert stack.ask(patient, 2) == "ALLOWED"
    assert all(s in (right["leaves"], "STORE_UNAVAILABLE", "BEHIND_ANCHOR") for s in said.values()), said


def leaves_or_code(peer: HttpKeyServer, request: ReleaseRequest) -> object:
    try:
        return peer.release(request.to_json())["receipt"]["leaves"]
    except ConsentumError as error:
        return error.code


def test_one_flipped_bit_in_one_block_fails_the_job_with_that_cid(stack: Stack) -> None:
    path = stack.system.folder / "gateway" / "blocks.db"
    allowed = next(p for p in stack.people.patients if p.kind == "study")
    with sqlite3.connect(stack.server().folder / "vault.db") as vault:
        [raw] = vault.execute("SELECT cid FROM vault WHERE record = ?", (allowed.record,)).fetchone()
    with sqlite3.connect(path) as blocks:
        [data] = blocks.execute("SELECT data FROM blocks WHERE cid = ?", (raw,)).fetchone()
        middle = len(data) // 2
        flipped = data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]
        blocks.execute("UPDATE blocks SET data = ? WHERE cid = ?", (flipped, raw))
    study, researcher = stack.studies["diagnosis"], stack.people.researcher
    state = submit(stack.system, researcher, None, study, Silent())  # type: ignore[arg-type]
    assert (state["state"], state["error"]["code"]) == ("failed", "CORRUPT")
    assert str(Cid.from_bytes(raw)) in state["error"]["detail"]
    assert state["result"]["outputs"] == {}
    with sqlite3.connect(path) as blocks:
        blocks.execute("UPDATE blocks SET data = ? WHERE cid = ?", (data, raw))
    state = submit(stack.system, researcher, None, study, Silent())  # type: ignore[arg-type]
    assert state["state"] == "released"


def serve(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "consentum.cli.main", "keyserver", "serve", "--folder", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
