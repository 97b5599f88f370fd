# SPDX-License-Identifier: Apache-2.0
"""`consentum gateway`: init, serve, status, scrub."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import LATER, REFUSED, json_option, progress, show
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


@group.command("scrub")
@folder_option
@json_option
def scrub(folder: Path, as_json: bool) -> None:
    """Read and verify every copy of every record now; replace what is missing or damaged, remove what is owed."""
    from consentum.wiring.upkeep import scrubbing  # noqa: PLC0415 - help should not load stores

    with scrubbing(folder) as (scrubber, total), progress("records", total) as advance:
        report = scrubber.full(advance)
        owed = scrubber.tally().owed
    lost = [str(root) for root in report.lost]
    show(
        {
            "records": report.records,
            "copies": report.copies,
            "healed": report.healed,
            "missing": report.missing,
            "removed": report.removed,
            "owed": owed,
            "silent": sorted(report.silent),
            "lost": lost,
        },
        [
            f"{report.records} records, {report.copies} good copies, {report.healed} of them replaced now",
            f"{report.missing} copies missing, {report.removed} removed, {owed} removals owed",
            *(f"no answer: {name}" for name in sorted(report.silent)),
            *(f"lost: {cid}" for cid in lost),
        ],
        as_json,
    )
    if lost:
        raise click.exceptions.Exit(REFUSED)
    if report.missing or owed:
        raise click.exceptions.Exit(LATER)


add_status(group, GatewaySettings)
