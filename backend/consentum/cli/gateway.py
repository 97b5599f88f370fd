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
@click.option("--custodian", "custodians", multiple=True, help="Address of a custodian it serves; once for each.")
@click.option("--relay/--no-relay", default=True, help="Whether it puts messages on chain.")
def init(
    folder: Path, key_servers: tuple[str, ...], custodians: tuple[str, ...], relay: bool, **options: object
) -> None:
    """Create keys and settings in a folder; prints the relayer's address, which needs gas."""
    from consentum.wiring import gateway  # noqa: PLC0415 - web3 takes a second to load; help should not

    settings = GatewaySettings(
        **common(**options),  # type: ignore[arg-type]
        key_servers=key_servers,
        custodians=custodians,
        relay=relay,
    )
    click.echo(gateway.initialise(folder, settings))


@group.command("serve")
@folder_option
@click.option("--no-relay", is_flag=True, help="Put nothing on chain this time; still forward notices and releases.")
def serve_command(folder: Path, no_relay: bool) -> None:
    """Serve until stopped."""
    from dataclasses import replace  # noqa: PLC0415 - as above

    from consentum.services.gateway.app import create_app  # noqa: PLC0415 - as above
    from consentum.services.serve import serve  # noqa: PLC0415 - as above
    from consentum.wiring.gateway import build  # noqa: PLC0415 - as above

    process = build(folder)
    if no_relay:
        process.settings = replace(process.settings, relay=False)
    serve(create_app(process), process.settings)


@group.command("status")
@folder_option
def status(folder: Path) -> None:
    """Say whether it would do its work now, and if not, why."""
    print_status(GatewaySettings.load(folder))
