# SPDX-License-Identifier: Apache-2.0
"""`consentum gateway`: init, serve, status."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import json_option
from consentum.cli.services import add_status, common, folder_option, init_options, initialise
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
@click.option(
    "--ipfs", multiple=True, help="RPC URL of an IPFS node (Kubo) that keeps the records; without it: a file."
)
@click.option("--ipfs-copies", type=int, default=0, help="Nodes that must hold a record before it is acknowledged.")
@click.option("--workers", type=int, default=1, help="Processes that serve.")
def init(folder: Path, as_json: bool, **options: object) -> None:
    """Create keys and settings in a folder; prints the relayer's address, which needs gas."""
    initialise("gateway", folder, GatewaySettings(**common(**options)), as_json)  # type: ignore[arg-type]


@group.command("serve")
@folder_option
@click.option("--no-relay", is_flag=True, help="Put nothing on chain this time; still forward notices and releases.")
@json_option
def serve_command(folder: Path, no_relay: bool, as_json: bool) -> None:
    """Serve until stopped."""
    from consentum.services.gateway.workers import serve_gateway  # noqa: PLC0415 - web3 is slow to load; help is not

    del as_json  # it prints nothing but errors, and main looks for the option itself
    serve_gateway(folder, relay=not no_relay)


add_status(group, GatewaySettings)
