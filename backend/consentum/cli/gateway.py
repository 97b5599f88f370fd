# SPDX-License-Identifier: Apache-2.0
"""`consentum gateway`: init, serve, status."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from consentum.cli.output import json_option
from consentum.cli.services import add_status, common, folder_option, init_options, initialise, serve_folder
from consentum.settings import GatewaySettings


@click.group("gateway")
def group() -> None:
    """Run a gateway: it relays, forwards and computes cohorts; it never sees a record or a key."""


@group.command("init")
@init_options
@click.option("--key-server", "key_servers", multiple=True, required=True, help="Endpoint; once per server.")
@click.option("--relay/--no-relay", default=True, help="Whether it puts messages on chain.")
def init(folder: Path, as_json: bool, **options: object) -> None:
    """Create keys and settings in a folder; prints the relayer's address, which needs gas."""
    initialise("gateway", folder, GatewaySettings(**common(**options)), as_json)  # type: ignore[arg-type]


@group.command("serve")
@folder_option
@click.option("--no-relay", is_flag=True, help="Put nothing on chain this time; still forward notices and releases.")
@json_option
def serve_command(folder: Path, no_relay: bool, as_json: bool) -> None:
    """Serve until stopped."""
    del as_json  # it prints nothing but errors, and main looks for the option itself

    def change(process: Any) -> None:
        if no_relay:
            process.settings = replace(process.settings, relay=False)

    serve_folder("gateway", GatewaySettings.load(folder), folder, change)


add_status(group, GatewaySettings)
