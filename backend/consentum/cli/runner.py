# SPDX-License-Identifier: Apache-2.0
"""`consentum runner`: init, serve, status."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.services import add_serve, add_status, common, init_options, initialise
from consentum.settings import RunnerSettings


@click.group("runner")
def group() -> None:
    """Run a runner: jobs come in, declared outputs go out; keys and records stay inside."""


@group.command("init")
@init_options
@click.option("--gateway", required=True, help="URL of the gateway.")
@click.option("--board", "boards", multiple=True, help="Id of a board whose jobs it takes; once per board.")
@click.option("--committee", "committees", multiple=True, help="Id of a committee it believes; once per committee.")
def init(folder: Path, as_json: bool, **options: object) -> None:
    """Create keys and settings in a folder; prints the runner's address, for boards to accredit."""
    initialise("runner", folder, RunnerSettings(**common(**options)), as_json)  # type: ignore[arg-type]


add_serve(group, "runner", RunnerSettings)
add_status(group, RunnerSettings)
