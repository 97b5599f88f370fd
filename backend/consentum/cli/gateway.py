# SPDX-License-Identifier: Apache-2.0
"""`consentum gateway`: init, serve, status."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.services import common, folder_option, init_options, print_status
from consentum.settings import GatewaySettings


@click.group("gateway")
def group() -> None:
    """Run a gateway: it relays, forwards and computes cohorts; it never sees a record or a key."""


@group.command("init")
@init_options
@click.option("--key-server", "key_servers", multiple=True, required=True, help="Endpoint; once per server.")
@click.option("--relay/--no-relay", default=True, help="Whether it puts messages on chain.")
@click.option("--custodian", "custodians", multiple=True, help="Address that may deposit here; once per custodian.")
@click.option("--sponsored", multiple=True, help="Further address whose messages it pays for; once each.")
@click.option("--board", "boards", multiple=True, help="Id of a board whose decisions it pays for; once each.")
@click.option("--reserve-wei", type=int, default=0, help="With less than this left, it pays for revocations alone.")
@click.option("--workers", type=int, default=1, help="Processes that serve.")
def init(folder: Path, **options: object) -> None:
    """Create keys and settings in a folder; prints the relayer's address, which needs gas."""
    from consentum.wiring import gateway  # noqa: PLC0415 - web3 takes a second to load; help should not

    settings = GatewaySettings(**common(**options))  # type: ignore[arg-type]
    click.echo(gateway.initialise(folder, settings))


@group.command("serve")
@folder_option
@click.option("--no-relay", is_flag=True, help="Put nothing on chain this time; still forward notices and releases.")
def serve_command(folder: Path, no_relay: bool) -> None:
    """Serve until stopped."""
    from consentum.services.gateway.workers import serve_folder  # noqa: PLC0415 - as above

    serve_folder(folder, relay=not no_relay)


@group.command("status")
@folder_option
def status(folder: Path) -> None:
    """Say whether it would do its work now, and if not, why."""
    print_status(GatewaySettings.load(folder))
