# SPDX-License-Identifier: Apache-2.0
"""A database that cannot be written: refused, said, nothing lost, and over when it can be again."""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys

import pytest

from scripts.demonstration.jobs import submit
from scripts.demonstration.proof import audit
from tests.e2e.stack import Silent, Stack, until

pytestmark = pytest.mark.processes


def test_a_locked_database_refuses_and_recovers(stack: Stack) -> None:
    patient = stack.patient()
    assert stack.ask(patient) == "ALLOWED"
    other = sqlite3.connect(stack.server().folder / "vault.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert stack.ask(patient) == "STORE_UNAVAILABLE"
        assert "STORE_UNAVAILABLE" in json.dumps(stack.ready())
    finally:
        other.execute("ROLLBACK")
        other.close()
    assert until(lambda: stack.ask(patient) == "ALLOWED")


def test_a_full_disk_refuses_loses_nothing_and_recovers(stack: Stack) -> None:
    patient, process = stack.patient(), stack.system.processes[stack.server().name]
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert stack.ask(patient) == "ALLOWED"
    # No file of the process may grow beyond 4 KiB: what a full disk looks like to SQLite.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))
    try:
        assert stack.ask(patient) == "STORE_UNAVAILABLE"
        assert "STORE_UNAVAILABLE" in json.dumps(stack.ready())
    finally:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    assert audit(stack.server())[0] == 0


def test_a_database_that_is_none_is_refused_at_start(stack: Stack) -> None:
    server = stack.server(3)
    stack.system.stop(server.name)
    path = server.folder / "vault.db"
    good = path.read_bytes()
    path.write_bytes(b"not a database" * 1_000)
    command = [sys.executable, "-m", "consentum.cli.main", "keyserver", "serve", "--folder", str(server.folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3
        assert "STORE_UNAVAILABLE" in done.stderr
    finally:
        path.write_bytes(good)
        stack.system.start_server(server)
    stack.system.wait_ready()
    assert stack.ask(stack.patient(), 3) == "ALLOWED"


def test_a_corrupt_block_fails_the_job_and_is_named(stack: Stack) -> None:
    stack.system.stop("gateway")
    path = stack.system.folder / "gateway" / "blocks.db"
    database = sqlite3.connect(path)
    blocks = database.execute("SELECT cid, data FROM blocks").fetchall()
    flipped = [(bytes([data[0] ^ 1]) + data[1:], cid) for cid, data in blocks]
    database.executemany("UPDATE blocks SET data = ? WHERE cid = ?", flipped)
    database.commit()
    stack.system.start_gateway()
    stack.system.wait_ready()
    state = submit(stack.system, stack.people.researcher, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]
    assert state["state"] == "failed"
    assert state["error"]["code"] == "CORRUPT"
    assert "bafk" in state["error"]["detail"]
    assert state["result"]["outputs"] == {}
    database.executemany("UPDATE blocks SET data = ? WHERE cid = ?", [(data, cid) for cid, data in blocks])
    database.commit()
    database.close()
    state = submit(stack.system, stack.people.researcher, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]
    assert state["state"] == "released"
