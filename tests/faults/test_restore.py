# SPDX-License-Identifier: Apache-2.0
"""A server that knows less than it once did serves nothing; two processes never share a folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consentum.flow.client import terms
from consentum.flow.wire import Notice
from scripts.demonstration.jobs import exact, submit
from tests.e2e.stack import Silent, Stack, until

pytestmark = pytest.mark.processes


def test_a_server_restored_from_an_old_backup_serves_nothing(stack: Stack, tmp_path: Path) -> None:
    system, server, patient = stack.system, stack.server(), stack.patient()
    assert stack.ask(patient) == "ALLOWED"
    system.stop(server.name)
    shutil.copytree(server.folder, tmp_path / "backup")
    system.start_server(server)
    system.wait_ready()
    assert stack.ask(patient) == "ALLOWED"
    assert until(lambda: _anchored(stack) >= 2)
    system.stop(server.name)
    shutil.move(server.folder, tmp_path / "newer")
    shutil.copytree(tmp_path / "backup", server.folder)
    system.start_server(server)
    assert until(lambda: stack.ask(patient) == "BEHIND_ANCHOR")
    assert "journal" in json.dumps(stack.ready())
    system.stop(server.name)
    shutil.rmtree(server.folder)
    shutil.move(tmp_path / "newer", server.folder)
    system.start_server(server)
    system.wait_ready()
    assert stack.ask(patient) == "ALLOWED"


def _anchored(stack: Stack) -> int:
    ledger = stack.system.ledger
    return ledger.anchor_of(ledger.view().latest, stack.server().address).size


@pytest.mark.parametrize(
    ("noun", "folder"), [("keyserver", "keyserver-1"), ("gateway", "gateway"), ("runner", "runner")]
)
def test_a_second_process_on_a_folder_refuses_to_start(stack: Stack, noun: str, folder: str) -> None:
    command = [sys.executable, "-m", "consentum.cli.main", noun, "serve", "--folder", str(stack.system.folder / folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("SETTINGS: another process serves this folder")


@pytest.mark.parametrize(
    ("noun", "folder"), [("keyserver", "keyserver-2"), ("gateway", "gateway"), ("runner", "runner")]
)
def test_status_says_ready_or_why_not(stack: Stack, noun: str, folder: str) -> None:
    command = [
        sys.executable,
        "-m",
        "consentum.cli.main",
        noun,
        "status",
        "--folder",
        str(stack.system.folder / folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ready\n")


def test_status_of_a_stopped_server_fails_with_one_line(stack: Stack) -> None:
    server = stack.server(3)
    stack.system.stop(server.name)
    command = [sys.executable, "-m", "consentum.cli.main", "keyserver", "status", "--folder", str(server.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    stack.system.start_server(server)
    stack.system.wait_ready()
    assert done.returncode == 3
    assert done.stderr.startswith("UNAVAILABLE: nothing answers")


def test_with_the_gateway_gone_a_notice_to_the_servers_stops_the_next_job(stack: Stack) -> None:
    leaving = stack.people.anna
    before = submit(stack.system, stack.people.researcher, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]
    stack.system.stop("gateway")
    signed = terms.revoke(stack.system.deployment.user_domain, leaving.key, leaving.address, leaving.given().hash)
    for server in stack.system.servers:
        server.peer().notice(Notice(signed.message, signed.signature).to_json())  # type: ignore[arg-type]
    stack.system.start_gateway("--no-relay")
    stack.system.wait_ready()
    after = submit(stack.system, stack.people.researcher, None, stack.studies["diagnosis"], Silent())  # type: ignore[arg-type]
    was, now = (exact(stack.system, stack.people.board[0], state["id"]) for state in (before, after))
    assert now["released"] == was["released"] - 1
    assert now["refused"]["NOTICE_HELD"] == 1
