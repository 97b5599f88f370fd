# SPDX-License-Identifier: Apache-2.0
"""The researcher's commands: the same words and refusals as the SDK, in words and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from consentum.cli import dictionary
from consentum.cli.frame import run
from consentum.cli.main import cli
from consentum.errors import KeyFileError, MalformedError
from consentum.sdk import publishing
from tests.unit.sdk.conftest import DICTIONARY, NAME, Lab

Call = Callable[..., Result]
CATEGORIES = ("--categories", "pathology")


@pytest.fixture
def call(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A command line in this process; what the command raised is in the result."""
    monkeypatch.setattr("consentum.sdk.client.connect", lambda home: lab.connection())
    return lambda *words: CliRunner().invoke(cli, list(words))


def told(result: Result) -> Any:
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def submit(call: Call, train: Path, *more: str) -> Result:
    words = ("job", "submit", str(train), "--study", NAME, "--entry", "train:main", *CATEGORIES)
    return call(*words, "--output", "metrics=json", *more)


def test_a_cohort_in_words_and_as_json(call: Call) -> None:
    assert "385 of 490" in call("study", "cohort", NAME, *CATEGORIES).stdout
    found = told(call("study", "cohort", NAME, *CATEGORIES, "--json"))
    assert (found["n"], found["reasons"]["REVOKED"]) == (385, "<5")


def test_a_sample_is_written_and_said_to_be_synthetic(call: Call, tmp_path: Path) -> None:
    out = str(tmp_path / "sample.csv")
    assert "synthetic" in call("study", "sample", NAME, *CATEGORIES, "-n", "7", "--out", out).stdout
    found = told(call("study", "sample", NAME, *CATEGORIES, "-n", "7", "--out", out, "--json"))
    assert (found["rows"], found["synthetic"]) == (7, True)
    assert len(Path(out).read_text().splitlines()) == 8


def test_a_job_from_submit_to_result(lab: Lab, call: Call, train: Path, tmp_path: Path) -> None:
    identity = told(submit(call, train, "--on-consent-change", "drop", "--json"))["id"]
    assert lab.gateway.sent[identity]["package"]["onConsentChange"] == "drop"
    lab.gateway.release(identity, {"metrics": {"auc": 1.0}})
    assert "released: done" in call("job", "watch", identity).stdout
    assert [event["state"] for event in told(call("job", "watch", identity, "--json"))["events"]][-1] == "released"
    out = tmp_path / "out"
    found = told(call("job", "result", identity, "--out", str(out), "--json"))
    assert found["files"] == [str(out / "outputs/metrics.json"), str(out / "manifest.json")]
    assert json.loads((out / "outputs/metrics.json").read_text()) == {"auc": 1.0}


def test_a_job_can_be_cancelled_and_then_ends_badly(call: Call, train: Path) -> None:
    identity = told(submit(call, train, "--json"))["id"]
    assert told(call("job", "cancel", identity, "--json"))["state"] == "failed"
    watched = call("job", "watch", identity)
    assert "cancelled" in watched.stdout
    assert getattr(watched.exception, "code", None) == "CANCELLED"


def test_waiting_has_an_end(call: Call, train: Path, tmp_path: Path) -> None:
    identity = told(submit(call, train, "--json"))["id"]
    result = call("job", "result", identity, "--out", str(tmp_path / "out"), "--timeout", "0.1")
    assert getattr(result.exception, "code", None) == "STILL_RUNNING"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("study", "cohort", NAME),
        ("study", "cohort", NAME, "--categories", ","),
        ("study", "cohort", NAME, *CATEGORIES, "--access", "root"),
        ("study", "sample", NAME, *CATEGORIES),
        ("job", "submit", "train", "--study", NAME, "--entry", "a:b", *CATEGORIES),
        ("job", "submit", "train", "--study", NAME, "--entry", "a:b", *CATEGORIES, "--output", "metrics"),
        ("job", "result", "0x12"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(lab: Lab, call: Call, words: tuple[str, ...]) -> None:
    assert call(*words).exit_code == 2
    assert (lab.gateway.asked, lab.gateway.jobs) == ([], {})


def test_a_saved_manifest_is_verified(call: Call, lab: Lab, train: Path, tmp_path: Path) -> None:
    identity = told(submit(call, train, "--json"))["id"]
    lab.gateway.release(identity, {"metrics": 1})
    call("job", "result", identity, "--out", str(tmp_path))
    path = tmp_path / "manifest.json"
    assert told(call("verify", str(path), "--json"))["verified"] is True
    path.write_text(path.read_text().replace("385", "390"))
    assert getattr(call("verify", str(path)).exception, "code", None) == "VERIFICATION"


def test_without_a_home_a_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(cli, ["study", "cohort", NAME, *CATEGORIES, "--home", str(tmp_path / "nowhere")])
    assert code == 1
    assert "SETTINGS" in capsys.readouterr().err


# A custodian's dictionary


def test_a_dictionary_is_read_and_put_for_this_homes_custodian(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put: list[Any] = []

    class Gateway:
        def put(self, path: str, body: Any) -> Any:
            put.append((path, body))
            return {"custodian": "0x", "category": 8, "version": 1}

    connection = SimpleNamespace(identity="0x" + "c3" * 20, patient=Gateway)
    monkeypatch.setattr("consentum.wiring.client.connect", lambda home: connection)
    path = tmp_path / "dictionary.json"
    path.write_text(json.dumps(DICTIONARY))
    result = CliRunner().invoke(dictionary.group, ["put", str(path), "--category", "pathology", "--json"])
    assert told(result)["version"] == 1
    assert put == [(f"/v1/dictionaries/0x{'c3' * 20}/pathology", DICTIONARY)]
    for category in ("pathology,notes", "everything"):
        result = CliRunner().invoke(dictionary.group, ["put", str(path), "--category", category])
        assert isinstance(result.exception, MalformedError)
    assert len(put) == 1


@pytest.mark.parametrize("text", ["", "{", "[]", '{"title": "t"}'])
def test_a_file_that_is_no_dictionary_is_refused_before_anybody_is_asked(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dictionary.json"
    path.write_text(text)
    with pytest.raises(MalformedError):
        publishing.read(path)
    with pytest.raises(MalformedError):
        publishing.read(tmp_path / "missing.json")


def test_every_command_of_the_researcher_takes_json() -> None:
    for noun in ("researcher", "study", "job"):
        group = cli.commands[noun]
        assert isinstance(group, click.Group)
        for command in group.commands.values():
            assert "--json" in [option for parameter in command.params for option in parameter.opts], command.name


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    from consentum.sdk.client import Client
    from consentum.settings import ClientSettings

    ClientSettings(gateway="http://g", rpc="http://r", identity="0x" + "11" * 20).save(tmp_path)
    (tmp_path / "keys.json").write_text("{}")
    (tmp_path / "keys.json").chmod(0o644)
    with pytest.raises(KeyFileError):
        Client(tmp_path)
