# SPDX-License-Identifier: Apache-2.0
"""How commands end: codes, hints, exit codes; words for every reason; pages that are made from the code."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import click
import pytest

from consentum import errors
from consentum.cli import frame, services
from consentum.cli.hints import HINTS
from consentum.cli.main import cli
from consentum.cli.settings import KINDS, settings_of
from consentum.cli.settings import as_markdown as settings_page
from consentum.domain.explanations import EXPLANATIONS
from consentum.domain.explanations import as_markdown as reasons_page
from consentum.errors import ConsentumError, Reason, RefusedError
from consentum.settings import KeyServerSettings

ROOT = Path(__file__).resolve().parents[3]


def folder_of(tmp_path: Path, port: int = 7001, **more: object) -> Path:
    settings = KeyServerSettings(rpc="http://localhost:1", deployment="d", port=port, endpoint="http://localhost:1")
    settings.save(tmp_path)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    return tmp_path


def raising(error: BaseException) -> click.Command:
    def callback(as_json: bool) -> None:
        raise error

    return click.Command("x", callback=callback, params=[click.Option(["--json", "as_json"], is_flag=True)])


def test_every_error_code_and_every_reason_has_a_hint() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConsentumError)]
    codes = {kind.code for kind in [*kinds, services.NotReadyError]} | {reason.name for reason in Reason}
    assert {code for code in codes if not HINTS.get(code)} == set()


def test_every_reason_has_whole_sentences_for_patient_researcher_and_remedy() -> None:
    assert list(EXPLANATIONS) == list(Reason)
    for reason, told in EXPLANATIONS.items():
        for sentence in (told.patient, told.researcher, told.remedy):
            assert sentence[0].isupper(), reason
            assert sentence.endswith("."), reason


def test_the_page_of_reasons_is_the_one_of_the_code() -> None:
    again = "consentum explain --markdown > docs/reasons.md"
    assert (ROOT / "docs/reasons.md").read_text("utf-8") == reasons_page(), again


def test_the_page_of_settings_is_the_one_of_the_code() -> None:
    again = "consentum settings --markdown > docs/settings.md"
    assert (ROOT / "docs/settings.md").read_text("utf-8") == settings_page(), again


def test_every_setting_says_what_it_means() -> None:
    assert [told.name for kind in KINDS.values() for told in settings_of(kind) if not told.meaning] == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.MalformedError("no"), 1),
        (errors.NotFoundError("no"), 1),
        (errors.UnavailableError("no"), 3),
        (errors.NotRunningError("no"), 3),
        (RefusedError(Reason.STALE), 3),
        (RefusedError(Reason.NOT_YET_FINAL), 3),
        (RefusedError(Reason.DEADLINE_PASSED), 1),
        (click.UsageError("no"), 2),
        (KeyboardInterrupt(), 130),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_the_exit_code_says_whether_to_come_back(error: BaseException, code: int) -> None:
    assert frame.run(raising(error), []) == code


def test_a_failure_is_one_line_with_code_and_field_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    frame.run(raising(errors.MalformedError("two\nlines", field="port")), [])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"MALFORMED: two lines (port)\nhint: {HINTS['MALFORMED']}\n"


def test_with_json_a_failure_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    frame.run(raising(errors.MalformedError("no", field="port")), ["--json"])
    told = json.loads(capsys.readouterr().err)
    assert told == {"code": "MALFORMED", "message": "no", "field": "port", "hint": HINTS["MALFORMED"]}


def test_with_json_wrong_usage_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(cli, ["keyserver", "status", "--json", "--nonsense"]) == 2
    assert json.loads(capsys.readouterr().err)["code"] == "USAGE"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert frame.run(cli, [*arguments, "--json"]) != 0
    told: dict[str, str] = json.loads(capsys.readouterr().err)
    return told


def test_an_unknown_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(tmp_path, colour="blue")
    told = refused(capsys, "keyserver", "serve", "--folder", str(folder))
    assert (told["code"], told["field"]) == ("SETTINGS", "colour")


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "keys.json").write_text("{}")
    (tmp_path / "keys.json").chmod(0o644)
    told = refused(capsys, "keyserver", "audit", "--folder", str(folder_of(tmp_path)))
    assert told["code"] == "KEY_FILE"


def test_a_port_that_is_taken_is_named_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = refused(capsys, "keyserver", "serve", "--folder", str(folder_of(tmp_path, port)))
        assert told["code"] == "PORT_TAKEN"
        assert str(port) in told["message"]
        assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]
        told = refused(capsys, "up", "--folder", str(tmp_path / "up"), "--port", str(port))
        assert told["code"] == "PORT_TAKEN"
        assert [path.name for path in (tmp_path / "up").iterdir()] == ["lock"]


def test_nothing_that_answers_is_an_exit_code_of_its_own(tmp_path: Path) -> None:
    assert frame.run(cli, ["keyserver", "status", "--folder", str(folder_of(tmp_path, 1))]) == 3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert frame.run(cli, ["completion", shell]) == 0
    assert "_CONSENTUM_COMPLETE" in capsys.readouterr().out


def walk(command: click.Command, name: str = "consentum") -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        return [found for child, inner in command.commands.items() for found in walk(inner, f"{name} {child}")]
    return [(name, command)]


@pytest.mark.parametrize(("name", "command"), walk(cli), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_takes_json(name: str, command: click.Command) -> None:
    assert any("--json" in option.opts for option in command.params), name
