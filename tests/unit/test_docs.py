# SPDX-License-Identifier: Apache-2.0
"""Documentation that drifts from the code fails: tables are read and compared, both ways, with what they describe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import click
import pytest
from fastapi import FastAPI

from consentum import errors
from consentum.cli.main import cli
from consentum.domain.journal import Entry
from consentum.domain.profiles import PROFILES
from consentum.domain.terms import Access, Category, Condition, Purpose
from consentum.errors import ConsentumError, Reason
from consentum.ports.chain import Roles
from consentum.services.gateway.app import create_app as gateway_app
from consentum.services.http import status_of
from consentum.services.keyserver.app import create_app as keyserver_app
from consentum.services.runner.app import create_app as runner_app
from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings, ServiceSettings

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text("utf-8")
OPERATING = (ROOT / "docs/operating.md").read_text("utf-8")
ROLES = ("cli", "boards", "custodians", "operators", "patients", "researchers")
COMMAND = "".join((ROOT / f"docs/{page}.md").read_text("utf-8") for page in ROLES)
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
APPS = {"Key server": keyserver_app, "Gateway": gateway_app, "Runner": runner_app}
SETTINGS = {"Key server": KeyServerSettings, "Gateway": GatewaySettings, "Runner": RunnerSettings}
# Where a path of this repository begins, so that `a/b` in prose is not taken for one.
TOPS = "backend|contracts|docs|requirements|scripts|tests|tools"


def section(page: str, heading: str) -> str:
    """The text from a heading to the next of its level or above."""
    level = len(heading) - len(heading.lstrip("#"))
    _, found, rest = f"\n{page}".partition(f"\n{heading}\n")
    assert found, f"no heading {heading!r}"
    return re.split(rf"\n#{{1,{level}}} ", rest)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without headings and rules; bare of backticks."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    starts = {n - 1 for n, row in enumerate(cells) if set(row[0]) == {"-"}}
    return [row for n, row in enumerate(cells) if n not in starts and set(row[0]) != {"-"}]


def slug(heading: str) -> str:
    """The anchor that renderers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


# Protocol


def test_every_struct_is_in_the_protocol_field_by_field_in_order() -> None:
    messages = json.loads((ROOT / "contracts/types.json").read_text("utf-8"))["messages"]
    assert re.findall(r"^#### `(\w+)`$", PROTOCOL, re.MULTILINE) == list(messages)
    for name, struct in messages.items():
        told = [tuple(row[:2]) for row in rows(section(PROTOCOL, f"#### `{name}`"))]
        assert told == [(field["name"], field["type"]) for field in struct["fields"]], name


def test_every_struct_stands_under_the_contract_it_is_signed_for() -> None:
    messages = json.loads((ROOT / "contracts/types.json").read_text("utf-8"))["messages"]
    for contract in ("ConsentRegistry", "DidRegistry", "StudyRegistry"):
        told = set(re.findall(r"^#### `(\w+)`$", section(PROTOCOL, f"### Domain {contract}"), re.MULTILINE))
        assert told == {name for name, struct in messages.items() if struct["contract"] == contract}


def test_every_reason_is_in_the_protocol_under_its_number() -> None:
    told = [(int(row[0]), row[1]) for row in rows(section(PROTOCOL, "## 10. Reasons"))]
    assert told == [(int(reason), reason.name) for reason in Reason]


def test_every_reason_says_what_it_means_and_a_refusal_what_to_do() -> None:
    for number, name, giver, meaning, todo in rows(section(PROTOCOL, "## 10. Reasons")):
        assert all((giver, meaning)), name
        assert todo or number == "0" or giver == "nobody yet", name


@pytest.mark.parametrize("service", APPS)
def test_every_route_and_no_other_is_in_the_protocol(service: str) -> None:
    app: FastAPI = APPS[service](MagicMock())
    served = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    told = [(row[0], row[1]) for row in rows(section(PROTOCOL, f"### {service}"))]
    assert sorted(told) == sorted(served)


def test_every_failure_has_the_status_the_protocol_says() -> None:
    table = rows(section(PROTOCOL, "## 11. HTTP").split("\n### ")[0])
    told = {row[0]: int(row[1]) for row in table}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ConsentumError)]
    # The rest is a refusal, which has its reason's code, or never leaves a process as an answer.
    inside = {
        "ERROR",
        "OUTDATED",
        "REVERTED",
        "KEY_FILE",
        "SETTINGS",
        "PORT_TAKEN",
        "NOT_RUNNING",
        "INVITE",
        "MANIFEST",
    }
    sent = {kind.code: status_of(kind()) for kind in kinds if kind is not errors.RefusedError}
    assert {code: status for code, status in sent.items() if code not in inside}.items() <= told.items()
    assert set(told) - set(sent) == {"METHOD_NOT_ALLOWED", "TOO_LARGE", "UNEXPECTED"}


def test_every_reason_that_is_not_a_503_is_said_to_be_another() -> None:
    text = section(PROTOCOL, "## 11. HTTP")
    [forbidden] = re.findall(r"403: (.*?);", text, re.DOTALL)
    [too_many] = re.findall(r"429: (.*?);", text, re.DOTALL)
    for status, told in ((403, forbidden), (429, too_many)):
        given = {reason.name for reason in Reason if status_of(errors.RefusedError(reason)) == status}
        assert set(re.findall(r"`(\w+)`", told)) == given


def test_every_bit_of_the_terms_is_in_the_protocol() -> None:
    kinds = {"purpose": Purpose, "condition": Condition, "category": Category, "access": Access}
    told = [(row[0], row[1], int(row[2])) for row in rows(section(PROTOCOL, "## 3. Terms as bits"))]
    assert told == [(kind, member.name, int(member)) for kind, members in kinds.items() for member in members]


def test_every_role_is_in_the_protocol() -> None:
    told = {row[0]: int(row[1]) for row in rows(section(PROTOCOL, "### Who may sign"))}
    assert told == {name: bit for name, bit in vars(Roles).items() if name.isupper() and bit}


def test_every_field_of_a_journal_entry_is_in_the_protocol_in_order() -> None:
    assert [row[0] for row in rows(section(PROTOCOL, "## 8. Journal"))] == [field.name for field in fields(Entry)]


def _limits() -> list[list[str]]:
    return [row for row in rows(section(PROTOCOL, "## 12. Limits")) if ":" in row[-1]]


@pytest.mark.parametrize("row", _limits(), ids=lambda row: row[-1])
def test_every_limit_is_the_constant_it_names(row: list[str]) -> None:
    module, _, constant = row[2].partition(":")
    assert float(row[1]) == float(getattr(import_module(module), constant))


def test_every_profile_is_in_the_protocol_with_its_numbers() -> None:
    told = [row for row in rows(section(PROTOCOL, "## 12. Limits")) if row[0] in PROFILES]
    assert told == [
        [name, *map(str, (p.max_head_age, p.max_finalized_age, p.max_skew)), p.finalized_tag, pinned]
        for name, p in PROFILES.items()
        for pinned in ["hash" if p.pin_by_hash else "number"]
    ]


# Operating, the command


def _default(field: Field[Any]) -> str:
    return "required" if field.default is MISSING else json.dumps(field.default)


@pytest.mark.parametrize("service", SETTINGS)
def test_every_setting_is_in_the_operators_guide_with_its_default(service: str) -> None:
    common = {field.name for field in fields(ServiceSettings)}
    told = {row[0]: row[1] for row in rows(section(OPERATING, f"### {service}"))}
    told_common = {row[0]: row[1] for row in rows(section(OPERATING, "### All three"))}
    expected = {field.name: _default(field) for field in fields(SETTINGS[service])}
    assert set(told_common) == common
    assert {**told_common, **told} == expected


def _commands() -> Iterator[tuple[str, click.Command]]:
    for noun, group in cli.commands.items():
        if not isinstance(group, click.Group):
            yield f"consentum {noun}", group
            continue
        for verb, command in group.commands.items():
            yield f"consentum {noun} {verb}", command


@pytest.mark.parametrize(
    ("line", "command"), list(_commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_each_of_its_options_is_explained(line: str, command: click.Command) -> None:
    assert line in OPERATING + COMMAND
    options = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    assert [name for name in options if name.startswith("--") and name not in OPERATING + COMMAND] == []


def test_every_command_named_anywhere_exists() -> None:
    exist = {line for line, _ in _commands()}
    for page in PAGES:
        named = re.findall(
            r"consentum (?:contracts|keyserver|gateway|runner|board|study|patient|custodian|researcher|job) [a-z-]+",
            page.read_text("utf-8"),
        )
        assert set(named) - exist == set(), page.name


def test_the_readme_names_every_command() -> None:
    told = {
        (noun, verb)
        for noun, first, more in re.findall(
            r"^\| `consentum (\w+) ([\w-]+)`((?: · `[\w-]+`)*) \|", README, re.MULTILINE
        )
        for verb in (first, *re.findall(r"[\w-]+", more))
    }
    single = set(re.findall(r"^\| `consentum (\w+)` \|", README, re.MULTILINE))
    assert told | {(name,) for name in single} == {tuple(line.split()[1:]) for line, _ in _commands()}


# Every page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", there.read_text("utf-8"), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_and_test_that_a_page_names_exists(page: Path) -> None:
    for path, name in re.findall(rf"`((?:{TOPS})/[\w./-]*)(?:::(\w+))?`", page.read_text("utf-8")):
        assert (ROOT / path).exists(), path
        if name:
            pattern = rf"(?:def|function) {name}\("
            assert re.search(pattern, (ROOT / path).read_text("utf-8")), f"{path}::{name}"


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs/adr"
    pages = sorted(page.name for page in folder.glob("[0-9]*.md"))
    assert re.findall(r"^\| \[\d{4}\]\((.*)\)", (folder / "README.md").read_text("utf-8"), re.MULTILINE) == pages
    assert [int(name[:4]) for name in pages] == list(range(1, len(pages) + 1))


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("[0-9]*.md")), ids=lambda page: page.stem)
def test_every_decision_has_a_date_a_context_and_consequences(page: Path) -> None:
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:4]}: ")
    assert re.search(r"^\d{4}-\d\d-\d\d, accepted$", text, re.MULTILINE)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_licence_is_the_one_the_package_names() -> None:
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
