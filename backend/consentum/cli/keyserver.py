# SPDX-License-Identifier: Apache-2.0
"""`consentum keyserver`: init, serve, status, audit."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import json_option, show
from consentum.cli.services import add_serve, add_status, common, folder_option, init_options, initialise
from consentum.errors import CorruptError
from consentum.settings import KeyServerSettings


@click.group("keyserver")
def group() -> None:
    """Run a key server: it holds shares and releases them only while the chain permits."""


@group.command("init")
@init_options
@click.option("--anchor-seconds", type=float, default=30.0, show_default=True)
def init(folder: Path, anchor_seconds: float, as_json: bool, **options: object) -> None:
    """Create keys and settings in a folder; prints the server's address, which needs a little gas."""
    settings = KeyServerSettings(**common(**options), anchor_seconds=anchor_seconds)  # type: ignore[arg-type]
    initialise("keyserver", folder, settings, as_json)


add_serve(group, "keyserver", KeyServerSettings)
add_status(group, KeyServerSettings)


@group.command("audit")
@folder_option
@json_option
def audit(folder: Path, as_json: bool) -> None:
    """Recompute every leaf of the journal from disk; names the entries that were altered."""
    from consentum.adapters.store.keyserver import KeyServerStore  # noqa: PLC0415 - slow to load; help should not wait
    from consentum.wiring.keyserver import KEY_FILE, VAULT_FILE, KeyFile  # noqa: PLC0415 - as above

    store = KeyServerStore(folder / VAULT_FILE, KeyFile.load(folder / KEY_FILE).master)
    altered = store.audit()
    if altered:
        raise CorruptError(f"altered entries: {', '.join(map(str, altered))}", field="journal")
    size, root = store.journal_size(), store.root().hex()
    show({"entries": size, "root": "0x" + root}, [f"{size} entries, root {root}"], as_json)
