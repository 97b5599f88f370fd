# SPDX-License-Identifier: Apache-2.0
"""`init` of a home that signs for itself alone: a board member's, a researcher's."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import home_option, json_option, show


def add_init(group: click.Group, about: str, use: str) -> None:
    """`init --gateway --rpc`. about: the command's help; use: what the keys are for, said when they are made."""

    @group.command("init", help=about)
    @click.option("--gateway", required=True, help="URL of the gateway.")
    @click.option("--rpc", required=True, help="URL of a chain node: what the gateway says is checked against it.")
    @home_option
    @json_option
    def init(gateway: str, rpc: str, home: Path, as_json: bool) -> None:
        from consentum.wiring.client import create_home  # noqa: PLC0415 - slow to load; help should not wait

        address = create_home(home, gateway, rpc)
        show({"address": address, "home": str(home)}, [address, f"keys in {home}: keep a copy, {use}"], as_json)
