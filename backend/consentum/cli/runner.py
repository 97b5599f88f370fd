# SPDX-License-Identifier: Apache-2.0
"""`consentum runner`: init, serve, status."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.services import common, folder_option, init_options, print_status
from consentum.settings import RunnerSettings


@click.group("runner")
def group() -> None:
    """Run a runner: jobs come in, declared outputs go out; keys and records stay inside."""


@group.command("init")
@init_options
@click.option("--gateway", required=True, help="URL of the gateway.")
@click.option("--board", "boards", multiple=True, help="Id of a board whose jobs it takes; once per board.")
@click.option("--committee", "committees", multiple=True, help="Id of a committee it believes; once per committee.")
def init(folder: Path, gateway: str, boards: tuple[str, ...], committees: tuple[str, ...], **options: object) -> None:
    """Create keys and settings in a folder; prints the runner's address, for boards to accredit."""
    from consentum.wiring import runner  # noqa: PLC0415 - web3 takes a second to load; help should not

    settings = RunnerSettings(**common(**options), gateway=gateway, boards=boards, committees=committees)  # type: ignore[arg-type]
    click.echo(runner.initialise(folder, settings))


@group.command("serve")
@folder_option
def serve_command(folder: Path) -> None:
    """Serve until stopped."""
    from consentum.services.runner.app import create_app  # noqa: PLC0415 - as above
    from consentum.services.serve import serve  # noqa: PLC0415 - as above
    from consentum.wiring.runner import build  # noqa: PLC0415 - as above

    process = build(folder)
    serve(create_app(process), process.settings)


@group.command("status")
@folder_option
def status(folder: Path) -> None:
    """Say whether it would run jobs now, and if not, why."""
    print_status(RunnerSettings.load(folder))
