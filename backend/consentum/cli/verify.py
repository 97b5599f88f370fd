# SPDX-License-Identifier: Apache-2.0
"""`consentum verify FILE`: check a saved manifest against the chain, long after its job."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import home_option, json_option, show


@click.command("verify")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@home_option
@json_option
def command(file: Path, home: Path, as_json: bool) -> None:
    """Check every signature and number in a saved manifest; names the first that does not hold."""
    from consentum import Client  # noqa: PLC0415 - slow to load; help is not

    findings = [{"check": one.check, "detail": one.detail} for one in Client(home).manifest(file).verify()]
    lines = [f"{one['check']}: {one['detail']}" for one in findings]
    show({"verified": True, "findings": findings}, [*lines, "everything holds"], as_json)
