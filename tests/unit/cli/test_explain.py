# SPDX-License-Identifier: Apache-2.0
"""`consentum explain`: codes, numbers and documents in words; anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consentum.cli import frame
from consentum.cli.main import cli
from consentum.domain.explanations import EXPLANATIONS
from consentum.errors import Reason


def told(capsys: pytest.CaptureFixture[str], request: str) -> list[dict[str, Any]]:
    assert frame.run(cli, ["explain", request, "--json"]) == 0
    reasons: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["reasons"]
    return reasons


@pytest.mark.parametrize("reason", Reason, ids=lambda reason: reason.name)
def test_every_reason_is_explained_by_name_and_by_number(reason: Reason, capsys: pytest.CaptureFixture[str]) -> None:
    [by_name], [by_number] = told(capsys, reason.name.lower()), told(capsys, str(int(reason)))
    assert by_name == by_number
    assert by_name["patient"] == EXPLANATIONS[reason].patient


@pytest.mark.parametrize(
    ("document", "codes"),
    [
        ({"type": "about:blank", "status": 429, "code": "LIMIT", "detail": "x"}, {"LIMIT": None}),
        ({"receipt": {"counts": {"ALLOWED": 7, "REVOKED": 2}}}, {"ALLOWED": 7, "REVOKED": 2}),
        ({"manifest": {"refused": {"EXPIRED": "<5"}}}, {"EXPIRED": ["<5"]}),
        ([{"reason": 11}, {"reason": "FROZEN"}], {"REVOKED": None, "FROZEN": None}),
    ],
)
def test_documents_are_searched_for_reasons(
    document: Any, codes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text(json.dumps(document))
    assert {words["code"]: words.get("records") for words in told(capsys, str(tmp_path / "file"))} == codes


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("not json", "MALFORMED"),
        ("{}", "NOT_FOUND"),
        ("[" * 100_000, "MALFORMED"),
        ("[" * 40 + "]" * 40, "MALFORMED"),
        ('{"code": "no\\u001b[31m"}', "NOT_FOUND"),
        ('{"code": ["REVOKED"]}', "NOT_FOUND"),
    ],
)
def test_a_file_that_names_no_reason_is_refused(
    content: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text(content)
    assert frame.run(cli, ["explain", str(tmp_path / "file"), "--json"]) == 1
    assert json.loads(capsys.readouterr().err)["code"] == code


@pytest.mark.parametrize("request_", ["NONSENSE", "200", "-1", "63", "/nowhere"])
def test_what_is_no_reason_is_refused(request_: str) -> None:
    assert frame.run(cli, ["explain", "--", request_]) == 1


def test_a_count_out_of_a_file_cannot_write_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text('{"counts": {"REVOKED": "\\u001b[31mred"}}')
    assert frame.run(cli, ["explain", str(tmp_path / "file")]) == 0
    assert "\x1b" not in capsys.readouterr().out
