# SPDX-License-Identifier: Apache-2.0
"""`consentum keyserver`: init, serve, status, audit."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.adapters.store.keyserver import KeyServerStore
from consentum.cli.services import common, folder_option, init_options, print_status
from consentum.errors import CorruptError
from consentum.settings import KeyServerSettings


@click.group("keyserver")
def group() -> None:
    """Run a key server: it holds shares and releases them only while the chain permits."""


@group.command("init")
@init_options
@click.option("--anchor-seconds", type=float, default=30.0, show_default=True)
def init(folder: Path, anchor_seconds: float, **options: object) -> None:
    """Create keys and settings in a folder; prints the server's address, which needs a little gas."""
    from consentum.wiring import keyserver  # noqa: PLC0415 - web3 takes a second to load; help should not

    settings = KeyServerSettings(**common(**options), anchor_seconds=anchor_seconds)  # type: ignore[arg-type]
    click.echo(keyserver.initialise(folder, settings))


@group.command("serve")
@folder_option
def serve_command(folder: Path) -> None:
    """Serve until stopped."""
    from consentum.services.keyserver.app import create_app  # noqa: PLC0415 - as above
    from consentum.services.serve import serve  # noqa: PLC0415 - as above
    from consentum.wiring.keyserver import build  # noqa: PLC0415 - as above

    process = build(folder)
    serve(create_app(process), process.settings)


@group.command("status")
@folder_option
def status(folder: Path) -> None:
    """Say whether it would release now, and if not, why."""
    print_status(KeyServerSettings.load(folder))


@group.command("audit")
@folder_option
def audit(folder: Path) -> None:
    """Recompute every leaf of the journal from disk; names the entries that were altered."""
    from consentum.wiring.keyserver import KEY_FILE, VAULT_FILE, KeyFile  # noqa: PLC0415 - as above

    store = KeyServerStore(folder / VAULT_FILE, KeyFile.load(folder / KEY_FILE).master)
    altered = store.audit()
    if altered:
        raise CorruptError(f"altered entries: {', '.join(map(str, altered))}", field="journal")
    click.echo(f"{store.journal_size()} entries, root {store.root().hex()}")
