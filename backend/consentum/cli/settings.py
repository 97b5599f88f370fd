# SPDX-License-Identifier: Apache-2.0
"""`consentum settings`: every setting with its default and meaning, read from the code."""

from __future__ import annotations

import ast
import inspect
import json
from dataclasses import MISSING, dataclass, fields
from typing import Any

import click

from consentum import settings
from consentum.cli.output import json_option, show

KINDS: dict[str, type[Any]] = {
    "All three services": settings.ServiceSettings,
    "Key server": settings.KeyServerSettings,
    "Gateway": settings.GatewaySettings,
    "Runner": settings.RunnerSettings,
    "A person's home": settings.ClientSettings,
}
ENVIRONMENT = {
    "CONSENTUM_HOME": "A person's home folder; default ~/.consentum.",
    "CONSENTUM_ANVIL": "Where anvil is, for consentum up; else it is looked for on PATH.",
    "CONSENTUM_DEPLOYER_KEY": "32 bytes in hex; pays for contracts, committee and the services' first gas.",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """default: as JSON, or "required"."""

    name: str
    kind: str
    default: str
    meaning: str


def settings_of(kind: type[Any]) -> list[Setting]:
    """The settings a class adds to its parents', in order."""
    [body] = [node for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef)]
    meanings: dict[str, str] = {}
    for node, following in zip(body.body, [*body.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            meanings[node.target.id] = _text(following)
    told = []
    for field in fields(kind):
        if field.name in meanings:
            default = "required" if field.default is MISSING else json.dumps(field.default)
            told.append(Setting(field.name, str(field.type), default, meanings[field.name]))
    return told


def _text(node: ast.stmt | None) -> str:
    """The docstring that stands below an attribute."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def as_markdown() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "Made from the code by `consentum settings --markdown`. A process reads `settings.json` in its folder at its",
        "start; an unknown or a missing setting is refused (`SETTINGS`). Defaults as JSON. Secrets are never here: they",
        "are in `keys.json` beside it, mode 0600.",
    ]
    for title, kind in KINDS.items():
        lines += ["", f"## {title}", "", "| setting | kind | default | meaning |", "|---|---|---|---|"]
        for told in settings_of(kind):
            kind_text = told.kind.replace("|", "or")
            lines.append(f"| `{told.name}` | {kind_text} | `{told.default}` | {told.meaning} |")
    lines += ["", "## Environment", "", "| variable | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in ENVIRONMENT.items()]
    return "\n".join(lines) + "\n"


@click.command("settings")
@click.option("--markdown", is_flag=True, help="Print docs/settings.md.")
@json_option
def command(markdown: bool, as_json: bool) -> None:
    """List every setting with its default and meaning."""
    if markdown:
        click.echo(as_markdown(), nl=False)
        return
    data = {
        title: {told.name: {"kind": told.kind, "default": told.default, "meaning": told.meaning} for told in table}
        for title, table in ((title, settings_of(kind)) for title, kind in KINDS.items())
    }
    lines = [
        line
        for title, table in data.items()
        for line in (title, *(f"  {name} = {told['default']}  {told['meaning']}" for name, told in table.items()))
    ]
    show({"settings": data, "environment": ENVIRONMENT}, lines, as_json)
