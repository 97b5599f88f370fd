# SPDX-License-Identifier: Apache-2.0
"""`consentum keyserver`: init, serve, status, audit; committee; rotate, drain, backup-key, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
@click.option("--peer", "peers", multiple=True, help="Endpoint of another key server, for notices; once per server.")
@click.option("--custodian", "custodians", multiple=True, help="Address that may deposit here; once per custodian.")
@click.option("--unsafe-any-custodian", is_flag=True, help="Let anybody deposit here: for development.")
def init(folder: Path, as_json: bool, **options: object) -> None:
    """Create keys and settings in a folder; prints the server's address, which needs a little gas."""
    settings = KeyServerSettings(**common(**options))  # type: ignore[arg-type]
    initialise("keyserver", folder, settings, as_json)


add_serve(group, "keyserver", KeyServerSettings)
add_status(group, KeyServerSettings)


@group.command("audit")
@folder_option
@json_option
def audit(folder: Path, as_json: bool) -> None:
    """Recompute every leaf of the journal from disk; names the entries that were altered."""
    from consentum.adapters.store.keyserver import KeyServerStore  # noqa: PLC0415 - slow to load; help should not wait
    from consentum.wiring.key_file import KeyFile  # noqa: PLC0415 - as above
    from consentum.wiring.keyserver import KEY_FILE, VAULT_FILE  # noqa: PLC0415 - as above

    store = KeyServerStore(folder / VAULT_FILE, KeyFile.load(folder / KEY_FILE).master)
    altered = store.audit()
    if altered:
        raise CorruptError(f"altered entries: {', '.join(map(str, altered))}", field="journal")
    size, root = store.journal_size(), store.root().hex()
    show({"entries": size, "root": "0x" + root}, [f"{size} entries, root {root}"], as_json)


@group.command("committee")
@click.option("--rpc", required=True, help="URL of the chain's node.")
@click.option(
    "--deployment",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The contracts, a file.",
)
@click.option("--member", "members", multiple=True, required=True, help="A key server's address; once per server.")
@click.option("--threshold", type=int, required=True, help="How many of them open a record.")
@click.option("--profile", help="anvil, ganache, ethereum or l2; default: the chain's own.")
@json_option
def committee(members: tuple[str, ...], threshold: int, as_json: bool, **chain: Any) -> None:
    """Found a committee of key servers that serve already; prints its id. Harmless to repeat.

    CONSENTUM_DEPLOYER_KEY pays; on a development chain its first account does.
    """
    from consentum.settings import private_key_from_environment  # noqa: PLC0415 - as above
    from consentum.wiring import founding  # noqa: PLC0415 - as above

    key = private_key_from_environment("CONSENTUM_DEPLOYER_KEY")
    ledger, sender = founding.paid_by(chain["rpc"], chain["deployment"], key, chain["profile"])
    found, listed = founding.found_announced(ledger, sender, threshold, members)
    told = {"committee": "0x" + found.hex(), "threshold": threshold, "members": listed}
    show(told, [f"committee {told['committee']}: any {threshold} of {len(listed)} open a record"], as_json)


_file = click.Path(path_type=Path, dir_okay=False)


@group.command("rotate")
@folder_option
@json_option
def rotate(folder: Path, as_json: bool) -> None:
    """Begin a new epoch: deposits are sealed to a new key from then on. A running server announces it by itself."""
    from consentum.wiring import keyserver_care  # noqa: PLC0415 - as above

    epoch = keyserver_care.rotate(folder)
    show({"epoch": epoch}, [f"epoch {epoch}"], as_json)


@group.command("drain")
@folder_option
@click.option("--end", is_flag=True, help="Take up everything again.")
@json_option
def drain(folder: Path, end: bool, as_json: bool) -> None:
    """Take no new deposits and releases, until --end; notices are still taken."""
    from consentum.wiring import keyserver_care  # noqa: PLC0415 - as above

    keyserver_care.drain(folder, not end)
    show({"draining": not end}, ["draining" if not end else "serving"], as_json)


@group.command("backup-key")
@click.option("--out", type=_file, required=True, help="Where the key goes that opens backups: keep it elsewhere.")
@json_option
def backup_key(out: Path, as_json: bool) -> None:
    """Make the key pair of backups; the public half, OUT.pub, is what --recipient takes."""
    from consentum.wiring import keyserver_care  # noqa: PLC0415 - as above

    public = keyserver_care.make_backup_key(out)
    show({"key": str(out), "recipient": str(public)}, [f"{public}: for --recipient", f"{out}: keep elsewhere"], as_json)


@group.command("backup")
@folder_option
@click.option("--out", type=_file, required=True, help="The file to write; there must be none yet.")
@click.option("--recipient", type=_file, required=True, help="Public half of the key that will open it.")
@json_option
def backup(folder: Path, out: Path, recipient: Path, as_json: bool) -> None:
    """Write an encrypted copy of vault, keys and settings, also while the server serves."""
    from consentum.wiring import keyserver_care  # noqa: PLC0415 - as above

    keyserver_care.back_up(folder, out, recipient)
    show({"file": str(out), "bytes": out.stat().st_size}, [f"{out}: {out.stat().st_size} bytes"], as_json)


@group.command("restore")
@click.argument("file", type=_file)
@folder_option
@click.option("--key", type=_file, required=True, help="The private half that backup-key wrote.")
@json_option
def restore(file: Path, folder: Path, key: Path, as_json: bool) -> None:
    """Open a backup into a new folder. Stop the old server for ever first: never run two copies."""
    from consentum.wiring import keyserver_care  # noqa: PLC0415 - as above

    address, size = keyserver_care.restore(file, folder, key)
    show({"address": address, "journal": size}, [f"{address}, {size} journal entries"], as_json)
