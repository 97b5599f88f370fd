# SPDX-License-Identifier: Apache-2.0
"""The main job on real processes: deposit, consent, job, revoke, next job; and what an operator types and sees."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.crypto import envelope
from consentum.crypto.signing import WalletKey
from consentum.domain.disclosure import shown
from consentum.domain.messages import Job
from consentum.errors import ConsentumError, Reason
from consentum.flow.client import terms
from consentum.flow.wire import Notice
from scripts.demonstration.jobs import Asker, plain_result, submit
from scripts.demonstration.people import ALLOWED_KINDS
from scripts.demonstration.proof import edit_a_row
from scripts.demonstration.stages import wait_for_standing
from tests.e2e.acting import collect_directly, entries, exact_of, run_job
from tests.e2e.stack import Silent, Stack, until

pytestmark = pytest.mark.processes
SERVICES = [("keyserver", "keyserver-3", "server 3"), ("gateway", "gateway", "gateway"), ("runner", "runner", "runner")]


def test_a_job_computes_what_the_same_rows_give_in_the_clear_and_the_next_one_without_who_left(stack: Stack) -> None:
    allowed = {p.number for p in stack.people.patients if p.kind in ALLOWED_KINDS}
    state = run_job(stack)
    assert (state["state"], state["error"]) == ("released", None)
    assert state["result"]["outputs"]["metrics"] == plain_result(stack.people, allowed)
    counts = exact_of(stack, state)
    assert counts["released"] == len(allowed)
    assert counts["released"] + sum(counts["refused"].values()) == counts["of"] == len(stack.people.patients)
    seen = state["result"]["manifest"]
    assert (seen["released"], seen["of"]) == (shown(len(allowed)), shown(len(stack.people.patients)))

    leaving = [p for p in stack.people.patients if p.kind in ALLOWED_KINDS][:2]
    client = HttpClient(stack.system.gateway_url)
    for patient in leaving:
        domain = stack.system.deployment.user_domain
        signed = terms.revoke(domain, patient.key, patient.address, patient.given().hash)
        answer = client.post("/v1/revocations", Notice(signed.message, signed.signature).to_json())  # type: ignore[arg-type]
        assert len(answer["servers"]) == 3
    noticed = run_job(stack)
    at_once = noticed["result"]
    assert exact_of(stack, noticed)["released"] == len(allowed) - 2, "a notice counts before its block is final"
    assert wait_for_standing(stack.system, leaving, Silent(), granted=False) == 2  # type: ignore[arg-type]
    last = run_job(stack)
    after = last["result"]
    remaining = allowed - {p.number for p in leaving}
    assert after["outputs"]["metrics"] == at_once["outputs"]["metrics"] == plain_result(stack.people, remaining)
    assert exact_of(stack, last)["refused"]["REVOKED"] == 2
    assert after["manifest"]["refused"]["REVOKED"] == "<5"


def test_everything_a_job_did_is_in_the_patients_journal(stack: Stack) -> None:
    patient = stack.patient("purpose")
    state = run_job(stack)
    job = state["id"]
    # Two answers are enough for a record, and a server may be asked for none: she looks at all three.
    told = {e.reason for n in (1, 2, 3) for e in entries(stack, stack.patient("board"), n) if e.job == job}
    assert told <= {Reason.ALLOWED, Reason.REVOKED}
    assert told
    assert not [e for n in (1, 2, 3) for e in entries(stack, patient, n) if e.job == job and e.reason == 0]


def test_a_job_of_somebody_who_is_no_member_gets_nothing(stack: Stack) -> None:
    with pytest.raises(ConsentumError) as refused:
        run_job(stack, stack.people.outsider)
    assert refused.value.code == "REQUESTER_NOT_MEMBER"


def test_another_runner_does_not_run_the_job(stack: Stack) -> None:
    job = Job(
        requester=stack.people.researcher.address.lower(),
        runner=WalletKey().address.lower(),
        study=stack.studies["diagnosis"],
        code=bytes(32),
        purpose=1,
        access=2,
        epsilonMilli=0,
        deadline=int(time.time()) + 600,
        salt=secrets.token_bytes(32),
    )
    with pytest.raises(ConsentumError) as refused:
        submit(stack.system, stack.people.researcher, job, job.study, Silent())  # type: ignore[arg-type]
    assert refused.value.code == "RUNNER_NOT_ACCREDITED"


@pytest.mark.parametrize("kind", ["study", "board", "purpose", "registry"])
def test_a_patient_reads_her_own_record(stack: Stack, kind: str, tmp_path: Path) -> None:
    """With her key alone: no study, no consent, no runner."""
    patient = stack.patient(kind)
    got = collect_directly(stack, patient.key, patient.record)
    [key] = got.keys
    session = stack.session(stack.system.gateway_url, patient.key)
    sealed = GatewayContent(session, tmp_path / "cache").get_all([key.cid])[key.cid]
    header, plain = envelope.open_(key.key, sealed)
    assert json.loads(plain) == patient.row
    assert header.content_type == "application/json"
    mine = [e for e in entries(stack, patient) if e.requester == patient.address and e.reason == Reason.ALLOWED]
    assert mine
    assert mine[-1].study == "0x" + "00" * 32


def test_another_patient_cannot_and_the_attempt_is_in_the_owners_journal(stack: Stack) -> None:
    owner, other = stack.patient("board"), stack.patient("registry")
    got = collect_directly(stack, other.key, owner.record)
    assert got.keys == ()
    assert all(receipt.allowed == () for receipt in got.receipts)
    assert [e for e in entries(stack, owner) if e.requester == other.address and e.reason != Reason.ALLOWED]
    assert stack.ask(owner) == "ALLOWED"


def test_a_record_nobody_has_and_one_of_somebody_else_look_the_same(stack: Stack) -> None:
    owner, other = stack.patient("board"), stack.patient("registry")
    said = []
    for record in (owner.record, secrets.token_bytes(32)):
        answer = stack.server().peer().release(stack.own_record(other, record).to_json())
        receipt = answer["receipt"]
        said.append((receipt["counts"], receipt["bitmap"], receipt["count"], len(answer["sealed"])))
    assert said[0] == said[1]


def test_a_download_the_patient_agreed_to_is_given_to_the_researcher_herself_only(stack: Stack) -> None:
    patient, study = stack.patient("registry"), stack.studies["registry"]
    for key, reason in ((stack.people.researcher, "ALLOWED"), (stack.people.outsider, "REQUESTER_NOT_MEMBER")):
        asker = Asker(stack.system, key, study, stack.committee)
        answers = asker.ask(asker.request(patient, patient.given().message))  # type: ignore[arg-type]
        assert [answer.reason for answer in answers] == [reason] * 3


def test_a_page_of_large_records_is_fetched_in_as_many_answers_as_it_takes(stack: Stack, tmp_path: Path) -> None:
    """A job fetches 200 records at a time; the gateway answers 64 MiB at a time. 150 of half a MiB are more."""
    session = stack.session(stack.system.gateway_url, stack.people.custodians[0])
    content = GatewayContent(session, tmp_path / "cache")
    made = [secrets.token_bytes(1_024) * 512 for _ in range(150)]
    cids = content.put_all(made)
    assert content.get_all(cids) == dict(zip(cids, made, strict=True))


# What an operator types


def command(*words: str) -> subprocess.CompletedProcess[str]:
    full = [sys.executable, "-m", "consentum.cli.main", *words]
    return subprocess.run(full, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(("noun", "folder", "name"), SERVICES)
def test_status_says_ready_while_it_runs_and_fails_with_one_line_when_it_does_not(
    stack: Stack, noun: str, folder: str, name: str
) -> None:
    where = str(stack.system.folder / folder)
    done = command(noun, "status", "--folder", where)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")
    stack.system.stop(name)
    try:
        done = command(noun, "status", "--folder", where)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("UNAVAILABLE: nothing answers at 127.0.0.1:")
        assert [line[:5] for line in done.stderr.splitlines()] == ["UNAVA", "hint:"]
    finally:
        stack.system.serve(name, noun, stack.system.folder / folder)
        stack.system.wait_ready()
    assert command(noun, "status", "--folder", where).returncode == 0


@pytest.mark.parametrize("noun", ["keyserver", "gateway", "runner"])
@pytest.mark.parametrize("verb", ["status", "serve"])
def test_a_folder_without_settings_is_named_in_one_line(noun: str, verb: str, tmp_path: Path) -> None:
    done = command(noun, verb, "--folder", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert done.stderr.startswith("SETTINGS: ")
    assert str(tmp_path / "nothing") in done.stderr
    assert [line[:5] for line in done.stderr.splitlines()] == ["SETTI", "hint:"]
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("words", [("keyserver", "status"), ("keyserver", "nonsense"), ("nonsense",)])
def test_wrong_usage_is_exit_code_two(words: tuple[str, ...]) -> None:
    done = command(*words)
    assert done.returncode == 2
    assert "Usage" in done.stderr


def test_audit_is_clean_while_the_server_runs_and_names_an_edited_entry(stack: Stack) -> None:
    server = stack.server(2)
    for _ in range(5):
        assert stack.ask(stack.patient("board"), 2) == "ALLOWED"
    done = command("keyserver", "audit", "--folder", str(server.folder))
    assert (done.returncode, done.stderr) == (0, "")
    count, root = done.stdout.split(" entries, root ")
    assert int(count) >= 5
    assert len(bytes.fromhex(root)) == 32
    stack.system.stop(server.name)
    good = {path.name: path.read_bytes() for path in server.folder.glob("vault.db*")}
    try:
        index = edit_a_row(server)
        done = command("keyserver", "audit", "--folder", str(server.folder))
        assert done.returncode == 1
        assert done.stderr.startswith(f"CORRUPT: altered entries: {index} (journal)\nhint: ")
    finally:
        for path in server.folder.glob("vault.db*"):
            path.unlink()
        for name, content in good.items():
            (server.folder / name).write_bytes(content)
            (server.folder / name).chmod(0o600)
        stack.system.start_server(server)
        stack.system.wait_ready()


def test_audit_of_a_folder_that_holds_no_server_fails_and_makes_none(tmp_path: Path) -> None:
    done = command("keyserver", "audit", "--folder", str(tmp_path / "nothing"))
    assert done.returncode == 1
    assert done.stderr.startswith("KEY_FILE: ")
    assert not (tmp_path / "nothing").exists()


# What they serve


@pytest.mark.parametrize("noun", ["keyserver", "gateway", "runner"])
def test_every_service_is_live_ready_and_describes_itself(stack: Stack, noun: str) -> None:
    urls = {
        "keyserver": stack.server().endpoint,
        "gateway": stack.system.gateway_url,
        "runner": stack.system.runner_url,
    }
    url = urls[noun]
    assert httpx.get(f"{url}/live", timeout=20).json() == {"status": "live"}
    ready = httpx.get(f"{url}/ready", timeout=20)
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    described = httpx.get(f"{url}/openapi.json", timeout=20).json()
    wanted = {"keyserver": "/v1/releases", "gateway": "/v1/jobs", "runner": "/v1/runner"}[noun]
    assert {"/live", "/ready", wanted} <= set(described["paths"])
    assert noun == "runner" or "requestBody" in described["paths"][wanted]["post"]
    nothing = httpx.get(f"{url}/nothing", timeout=20)
    assert nothing.status_code == 404
    assert nothing.json()["code"] == "NOT_FOUND"
    assert nothing.headers["content-type"] == "application/problem+json"


def test_a_runner_whose_gateway_is_gone_says_that_it_is_not_ready(stack: Stack) -> None:
    """Every job it takes would fail: /ready says whether it would do its work now."""
    url = stack.system.runner_url
    stack.system.stop("gateway")
    try:
        assert until(lambda: httpx.get(f"{url}/ready", timeout=20).status_code == 503, 10)
        assert "gateway" in httpx.get(f"{url}/ready", timeout=20).json()["why"]
        done = command("runner", "status", "--folder", str(stack.system.folder / "runner"))
        assert done.returncode == 3
    finally:
        stack.system.start_gateway()
        stack.system.wait_ready()
