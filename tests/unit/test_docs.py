# SPDX-License-Identifier: Apache-2.0
"""Documentation that drifts from the code fails."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from consentum.cli.main import cli
from consentum.errors import Reason
from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_every_reason_is_in_the_protocol_with_its_number() -> None:
    assert [f"| {int(r)} | `{r.name}` |" in PROTOCOL for r in Reason] == [True] * len(Reason)


def test_every_struct_is_in_the_protocol_field_by_field() -> None:
    for name, struct in json.loads((ROOT / "contracts/types.json").read_text())["messages"].items():
        row = ", ".join(f"`{field['type']} {field['name']}`" for field in struct["fields"])
        assert f"| `{name}` | {row} |" in PROTOCOL


@pytest.mark.parametrize("service", ["keyserver", "gateway", "runner"])
def test_every_route_is_in_the_protocol(service: str) -> None:
    source = (ROOT / f"backend/consentum/services/{service}/app.py").read_text()
    routes = re.findall(r'@app\.(get|post)\("([^"]+)"', source)
    assert routes
    assert [f"`{method.upper()} {path}`" in PROTOCOL for method, path in routes] == [True] * len(routes)


def test_every_setting_is_in_the_operators_guide() -> None:
    guide = (ROOT / "docs/operating.md").read_text()
    for settings in (KeyServerSettings, GatewaySettings, RunnerSettings):
        assert [f.name for f in fields(settings) if f"`{f.name}`" not in guide] == []


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs/operating.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    for noun, group in cli.commands.items():
        for verb in group.commands:  # type: ignore[attr-defined]
            assert f"consentum {noun} {verb}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_and_every_named_path_exists(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:backend|contracts|tests|scripts|docs)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
