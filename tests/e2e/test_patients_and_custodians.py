# SPDX-License-Identifier: Apache-2.0
"""A hospital and a patient at their terminals: invite, accept, deposit, grant, records, uses, revoke; then without a
gateway. Real processes, the real command."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consentum.cli.main import cli
from consentum.wiring.allowing import Allowed, Change, allow
from scripts.demonstration.people import FORM_STUDY
from scripts.demonstration.system import System
from tests.e2e.stack import Stack, running, until

pytestmark = pytest.mark.processes


@dataclass
class People:
    """One custodian, one patient, each with a home."""

    stack: Stack
    folder: Path
    custodian: str = ""

    def run(self, home: str, *words: str, code: int = 0) -> Any:
        noun, *rest = words
        done = CliRunner().invoke(cli, [noun, *rest, "--home", str(self.folder / home), "--json"])
        assert done.exit_code == code, (words, done.output, done.exception)
        return json.loads(done.stdout) if code == 0 or done.stdout.startswith("{") else done.exception

    @property
    def where(self) -> tuple[str, ...]:
        return ("--gateway", self.stack.system.gateway_url, "--rpc", self.stack.system.rpc_url)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with running() as stack:
        made = People(stack, tmp_path_factory.mktemp("homes"))
        made.custodian = made.run("ward", "custodian", "init", *made.where)["address"]
        system = stack.system
        let_in(system, made.custodian)
        yield made


def let_in(system: System, custodian: str) -> None:
    """The system serves this custodian too, from now on."""
    for name in allow(system.folder, Change(Allowed(custodians=(custodian,)))):
        system.stop(name)
        system.services.again(name)
    system.wait_ready()


def deposit(people: People, manifest: Path, code: int = 0) -> Any:
    committee = "0x" + people.stack.committee.hex()
    words = ("deposit", str(people.folder / "files"), "--manifest", str(manifest), "--committee", committee)
    return people.run("ward", "custodian", *words, code=code)


def test_from_invite_to_revocation(people: People) -> None:
    files = people.folder / "files"
    files.mkdir()
    (files / "biopsy.json").write_text('{"benign": 1}')
    scan = b"DICM" * (5 << 20)  # 20 MiB: it goes as a stream
    (files / "scan.dcm").write_bytes(scan)
    manifest = people.folder / "manifest.csv"
    manifest.write_text("file,number,category\nbiopsy.json,4711,pathology\nscan.dcm,4711,imaging\n")

    # A deposit without an enrolment is refused before anything is sent
    assert {p["code"] for p in deposit(people, manifest, code=1)["problems"]} == {"NOT_ENROLLED"}

    # Invite, accept, take in
    anna = people.run("anna", "patient", "init", *people.where)["address"]
    code = people.run("ward", "custodian", "invite", "4711")["invite"]
    accepted = people.run("anna", "patient", "accept", code, "--yes")
    assert accepted["custodian"] == people.custodian
    assert people.run("anna", "patient", "accept", code, "--yes", code=1).code == "INVITE_USED"
    [row] = people.run("ward", "custodian", "patients")["patients"]
    assert (row["number"], row["state"], row["subject"]) == ("4711", "accepted", anna)

    # Deposit, twice the same
    assert deposit(people, manifest)["deposited"] == 2
    again = deposit(people, manifest)
    assert (again["deposited"], again["already"]) == (0, 2)

    # Her own records, with her own key
    records = people.run("anna", "patient", "records")["records"]
    assert sorted(one["categories"] for one in records) == [["imaging"], ["pathology"]]
    out = people.folder / "mine.json"
    mine = next(one["record"] for one in records if one["categories"] == ["pathology"])
    people.run("anna", "patient", "record", mine, "--out", str(out))
    hers = next(one["record"] for one in records if one["categories"] == ["imaging"])
    saved = people.run("anna", "patient", "record", hers, "--out", str(people.folder / "scan"))
    assert (saved["name"], saved["bytes"]) == ("scan.dcm", len(scan))
    assert (people.folder / "scan").read_bytes() == scan
    assert out.read_text() == '{"benign": 1}'
    assert out.stat().st_mode & 0o077 == 0

    # Grant, as she reads it; final on chain
    form = people.folder / "form.txt"
    form.write_text(FORM_STUDY)
    terms = ("--categories", "pathology", "--access", "compute", "--until", "2099-12-31", "--yes")
    study = "0x" + people.stack.studies["diagnosis"].hex()
    given = people.run("anna", "patient", "grant", study, "--form", str(form), *terms)
    assert until(lambda: states(people) == ["active"])

    # Who asked: her own reading, proved
    assert until(lambda: proved(people) >= {"ALLOWED"})

    # Everything in one file
    people.run("anna", "patient", "export", "--out", str(people.folder / "all.zip"))
    names = zipfile.ZipFile(people.folder / "all.zip").namelist()
    assert sum(name.startswith("records/") for name in names) == 2

    # Revoke: held by all three at once, then on chain
    told = people.run("anna", "patient", "revoke", given["commitment"])
    assert list(told["servers"].values()) == ["holds it"] * 3
    assert until(lambda: states(people) == ["revoked"])


def states(people: People) -> list[str]:
    return [one["state"] for one in people.run("anna", "patient", "consents")["consents"]]


def proved(people: People) -> set[str]:
    from consentum.errors import Reason

    servers = people.run("anna", "patient", "uses")["servers"]
    assert [one["failure"] for one in servers] == [""] * 3
    uses = [use for one in servers for use in one["uses"]]
    return {Reason(use["entry"]["reason"]).name for use in uses if use["state"] == "proved"}


def test_with_the_gateway_down_a_stop_goes_straight_to_the_key_servers(people: People) -> None:
    people.run("berta", "patient", "init", *people.where)
    people.stack.system.stop("gateway")
    try:
        told = people.run("berta", "patient", "stop")
        assert told["gateway"] == "UNAVAILABLE"
        assert list(told["servers"].values()) == ["holds it"] * 3
        frozen = people.run("berta", "patient", "freeze", "--days", "30")
        assert list(frozen["servers"].values()) == ["holds it"] * 3
    finally:
        people.stack.system.start_gateway()
        people.stack.system.wait_ready()


# The command in batches of three, so that there is something between the first and the last to be killed in.
SMALL_BATCHES = (
    "from consentum.flow.client import filing; filing.MAX_PAGE = 3; from consentum.cli.main import main; main()"
)


def test_a_deposit_killed_ten_times_deposits_every_file_once(people: People) -> None:
    people.run("dora", "patient", "init", *people.where)
    people.run("dora", "patient", "accept", people.run("ward", "custodian", "invite", "4714")["invite"], "--yes")
    people.run("ward", "custodian", "patients")
    folder = people.folder / "many"
    folder.mkdir()
    for number in range(33):
        (folder / f"{number}.json").write_text(json.dumps({"n": number}))
    manifest = people.folder / "many.csv"
    manifest.write_text("file,number,category\n" + "".join(f"{n}.json,4714,laboratory\n" for n in range(33)))
    committee = "0x" + people.stack.committee.hex()
    words = ("custodian", "deposit", str(folder), "--manifest", str(manifest), "--committee", committee)
    command = [sys.executable, "-c", SMALL_BATCHES, *words, "--home", str(people.folder / "ward"), "--json"]
    for batches in range(1, 11):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert until(partial(got_to, people, process, 3 * batches))
        time.sleep(random.random() / 10)  # anywhere between writing down, sending, receipts and noting them
        process.kill()
        process.wait()
    last = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert last.returncode == 0, last.stderr
    report = json.loads(last.stdout)
    assert report["deposited"] + report["already"] == 33
    records = people.run("dora", "patient", "records")["records"]
    assert len(records) == len({one["record"] for one in records}) == 33


def got_to(people: People, process: subprocess.Popen[bytes], files: int) -> bool:
    return written(people) >= files or process.poll() is not None


def written(people: People) -> int:
    """How many of Dora's files are written down as signed or deposited."""
    with closing(sqlite3.connect(f"file:{people.folder}/ward/custodian.db?mode=ro", uri=True)) as book:
        return int(book.execute("SELECT count(*) FROM files WHERE number = '4714'").fetchone()[0])


def test_a_patient_names_a_guardian_who_stops_for_her(people: People) -> None:
    clara = people.run("clara", "patient", "init", *people.where)["address"]
    guardian = people.run("guardian", "patient", "init", *people.where)["address"]
    code = people.run("ward", "custodian", "invite", "4713")["invite"]
    people.run("clara", "patient", "accept", code, "--yes")
    people.run("ward", "custodian", "patients")
    assert people.run("clara", "patient", "guardian", "add", guardian)["state"] in ("queued", "mined")

    def stopped() -> bool:
        told = CliRunner().invoke(
            cli, ["patient", "guardian", "revoke-for", clara, "--home", str(people.folder / "guardian"), "--json"]
        )
        return told.exit_code == 0

    assert until(stopped)


def test_staff_deposit_for_the_custodian(people: People) -> None:
    nurse = people.run("nurse", "custodian", "init", *people.where, "--identity", people.custodian)["address"]
    assert people.run("ward", "custodian", "staff", "add", nurse)["state"] in ("queued", "mined")

    def may() -> bool:
        done = CliRunner().invoke(cli, ["custodian", "patients", "--home", str(people.folder / "nurse"), "--json"])
        return done.exit_code == 0

    assert until(may)


def test_a_record_filed_wrongly_is_taken_back(people: People) -> None:
    before = len(people.run("anna", "patient", "records")["records"])
    done = people.run("ward", "custodian", "retract", "--file", "scan.dcm")
    assert set(done["servers"].values()) == {"destroyed its share"}
    assert len(people.run("anna", "patient", "records")["records"]) == before - 1
