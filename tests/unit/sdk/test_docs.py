# SPDX-License-Identifier: Apache-2.0
"""The researcher's page says what there is: commands, options, arguments, errors, and the lines that run."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import pytest

from consentum.cli import dictionary, job, researcher, study
from consentum.cli.main import cli
from consentum.domain.dictionary import KINDS, DataDictionary
from consentum.sdk import failures
from consentum.sdk.study import MAX_DEADLINE_HOURS, Study

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE, CUSTODIANS = ((DOCS / f"{page}.md").read_text("utf-8") for page in ("researchers", "custodians"))
COMMANDS = {
    **{f"researcher {name}": command for name, command in researcher.group.commands.items()},
    **{f"study {name}": study.group.commands[name] for name in ("cohort", "sample")},
    **{f"job {name}": command for name, command in job.group.commands.items()},
    **{f"custodian dictionary {name}": command for name, command in dictionary.group.commands.items()},
    "verify": cli.commands["verify"],
}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_and_option_is_explained(line: str) -> None:
    page = CUSTODIANS if line.startswith("custodian") else PAGE
    assert f"consentum {line}" in page
    command: click.Command = COMMANDS[line]
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    assert {name for name in options if name.startswith("-") and name not in page + PAGE} == set()


def test_every_argument_of_submit_is_explained_with_its_default() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([^|]*)\|", PAGE, re.MULTILINE))
    arguments = inspect.signature(Study.submit).parameters
    assert {name for name in arguments if name not in ("self", "folder")} <= set(told)
    for name in ("access", "on_consent_change", "deadline_hours"):
        assert told[name].strip("` ").strip('"') == str(arguments[name].default)
    assert f"at most {MAX_DEADLINE_HOURS}" in PAGE


def test_every_error_named_exists_and_has_a_hint() -> None:
    for name in re.findall(r"^\| `(\w+Error|Job\w+|Verification\w+)` \|", PAGE, re.MULTILINE):
        assert issubclass(getattr(failures, name), Exception)
    for code in re.findall(r"`([A-Z]+_?[A-Z]+)`", PAGE.split("`.hint` what to do")[0].split("`JobFailed`")[1]):
        assert "operator" not in failures.hint_of(code), code


def test_the_dictionary_of_the_page_is_one() -> None:
    import json

    [text] = re.findall(r"```json pathology.json\n(.*?)```", CUSTODIANS, re.DOTALL)
    DataDictionary.parse(json.loads(text))
    assert all(kind in PAGE for kind in KINDS)


def test_the_lines_are_those_that_the_test_of_the_job_runs() -> None:
    test = (Path(__file__).parent / "test_job.py").read_text("utf-8")
    [lines] = re.findall(r"```python\n(from consentum import Client.*?)```", PAGE, re.DOTALL)
    parts = [part.split("#")[0].strip() for line in lines.splitlines() for part in re.split(r"; |(?<=\)): ", line)]
    assert len(parts) > 9
    for part in parts:
        assert part.rstrip(":") in test, part
