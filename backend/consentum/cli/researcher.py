# SPDX-License-Identifier: Apache-2.0
"""`consentum researcher`: make the home folder that studies and jobs are asked for from."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import home_option, json_option, show


@click.group("researcher")
def group() -> None:
    """Ask questions of records you never see."""


@group.command("init")
@click.option("--gateway", required=True, help="URL of the gateway.")
@click.option("--rpc", required=True, help="URL of a chain node: what the gateway says is checked against it.")
@home_option
@json_option
def init(gateway: str, rpc: str, home: Path, as_json: bool) -> None:
    """Create your keys and settings; prints your address, which a study's lead names as a member."""
    from consentum.wiring.client import create_home  # noqa: PLC0415 - web3 takes a second to load; help should not

    address = create_home(home, gateway, rpc)
    lines = [address, f"keys in {home}: keep a copy, results are sealed to them"]
    show({"address": address, "home": str(home)}, lines, as_json)
