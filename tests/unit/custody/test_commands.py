# SPDX-License-Identifier: Apache-2.0
"""What a custodian sees at its terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consentum.cli.main import cli
from consentum.domain.invites import parse_invite
from consentum.domain.parsing import hexed
from tests.unit.client.world import COMMITTEE
from tests.unit.custody import test_custodian as acts
from tests.unit.custody.conftest import Ward

client, home = acts.client, acts.home


@pytest.fixture
def run(home: acts.Home, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("consentum.wiring.custodian.open_custodian", lambda folder: home)
    return lambda *words: CliRunner().invoke(cli, ["custodian", *words])


def deposit(run: Any, ward: Ward, *lines: str, options: tuple[str, ...] = ()) -> Any:
    files, manifest = str(ward.folder / "files"), str(ward.manifest(*lines))
    return run("deposit", files, "--manifest", manifest, "--committee", hexed(COMMITTEE), *options)


def test_an_invite_is_shown_as_text_and_code_and_written_as_svg(run: Any, ward: Ward, tmp_path: Path) -> None:
    done = run("invite", "4711", "--qr", str(tmp_path / "code.svg"))
    assert done.exit_code == 0
    first, *more = done.stdout.splitlines()
    assert parse_invite(first) == ward.book.invites()[0].invite
    assert more[0].startswith("valid until ")
    assert len(more) > 10
    assert b"<svg" in (tmp_path / "code.svg").read_bytes()
    assert "4711" not in done.stdout


def test_with_json_an_invite_is_one_object(run: Any, ward: Ward) -> None:
    assert set(json.loads(run("invite", "4711", "--json").stdout)) == {"invite", "expires"}


def test_patients_are_shown_as_they_stand(run: Any, ward: Ward, home: acts.Home) -> None:
    acts.accept(ward, "4711", ward.world.alice, home)
    ward.invite("4712")
    rows = json.loads(run("patients", "--json").stdout)["patients"]
    assert [(row["number"], row["state"]) for row in rows] == [("4711", "accepted"), ("4712", "open")]
    assert rows[0]["subject"] == ward.world.alice.address.lower()
    assert "1 new" not in run("patients").stdout


def test_a_deposit_reports_and_a_second_run_finds_everything_there(run: Any, ward: Ward) -> None:
    ward.patient("4711", ward.world.alice)
    ward.write("a.json")
    done = deposit(run, ward, "a.json,4711,laboratory")
    assert (done.exit_code, done.stdout) == (0, "deposited      1\nalready there  0\n")
    report = json.loads(deposit(run, ward, "a.json,4711,laboratory", options=("--json",)).stdout)
    assert (report["deposited"], report["already"]) == (0, 1)


def test_problems_of_a_manifest_are_listed_and_nothing_is_sent(run: Any, ward: Ward) -> None:
    done = deposit(run, ward, "a.json,4711,laboratory", options=("--json",))
    assert done.exit_code == 1
    problems = json.loads(done.stdout)["problems"]
    assert [(one["line"], one["code"]) for one in problems] == [(2, "NOT_ENROLLED"), (2, "MISSING_FILE")]
    told = deposit(run, ward, "a.json,4711,laboratory")
    assert told.exit_code == 1
    assert [line.split(": ")[:2] for line in told.stdout.splitlines()[1:]] == [
        ["line 2", "NOT_ENROLLED"],
        ["line 2", "MISSING_FILE"],
    ]
    assert ward.sent == []


def test_what_is_pending_makes_the_command_fail_and_say_what_to_do(run: Any, ward: Ward) -> None:
    ward.patient("4711", ward.world.alice)
    ward.write("a.json")
    ward.fault = "unanswered"
    done = deposit(run, ward, "a.json,4711,laboratory")
    assert done.exit_code == 3
    assert "run the same command again" in done.stdout
    ward.fault = None
    assert deposit(run, ward, "a.json,4711,laboratory").exit_code == 0
    assert ward.listed() == 1


def test_a_retraction_names_a_record_or_a_file_and_not_both(run: Any) -> None:
    assert run("retract").exit_code == 2
    assert run("retract", hexed(bytes(32)), "--file", "a").exit_code == 2


def test_records_are_listed_with_the_ids_that_retract_wants(run: Any, ward: Ward) -> None:
    assert run("records").stdout == "nothing deposited yet\n"
    ward.patient("4711", ward.world.alice)
    ward.write("a.json")
    deposit(run, ward, "a.json,4711,laboratory")
    [row] = json.loads(run("records", "--json").stdout)["records"]
    [filed] = ward.book.files()
    assert (row["record"], row["categories"]) == (hexed(filed.record), ["laboratory"])
    assert run("records").stdout.split() == [row["record"], "deposited", "a.json", "4711"]
