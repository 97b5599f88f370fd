# SPDX-License-Identifier: Apache-2.0
"""What an operator does to a key server's folder: rotate its sealing key, let it drain, back it up, restore it."""

from __future__ import annotations

from pathlib import Path

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.store import backup
from consentum.adapters.store.engine import storage_errors
from consentum.adapters.store.files import FolderLock, read_private, replace_private, write_private
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto.sealing import PUBLIC_BYTES, SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.profiles import profile_for
from consentum.errors import KeyFileError, MalformedError
from consentum.settings import KeyServerSettings
from consentum.wiring.key_file import KeyFile
from consentum.wiring.keyserver import DRAIN_FILE, KEY_FILE, VAULT_FILE


def rotate(folder: Path) -> int:
    """Adds a sealing key of a new epoch to the key file; the epoch. A server that is running announces it within
    `anchor_seconds`; old epochs stay, so that deposits on their way still open. The vault has keys of its own, so
    nothing is deposited anew. UnavailableError: the chain cannot be asked which epoch it knows."""
    settings, keys = KeyServerSettings.load(folder), KeyFile.load(folder / KEY_FILE)
    deployment = Deployment.load(Path(settings.deployment))
    rpc = Rpc(settings.rpc, settings.rpc_timeout_seconds)
    ledger = ChainLedger(rpc, deployment, profile_for(deployment.chain_id, settings.profile))
    known = ledger.server_keys(ledger.view().latest, WalletKey(keys.account).address).epoch
    epoch = max(known, *keys.sealing) + 1
    with storage_errors():
        replace_private(folder / KEY_FILE, keys.with_epoch(epoch).to_bytes())
    return epoch


def drain(folder: Path, on: bool) -> None:
    """Has the server of this folder take no deposits, retractions and releases from now on, also after a restart,
    until it is ended. It goes on answering, taking notices and anchoring."""
    KeyServerSettings.load(folder)
    with storage_errors():
        if on:
            (folder / DRAIN_FILE).touch(mode=0o600)
        else:
            (folder / DRAIN_FILE).unlink(missing_ok=True)


def make_backup_key(out: Path) -> Path:
    """Writes the key that opens backups to `out` (0600, to be kept elsewhere) and its public half beside; that path."""
    key, public = SealingKey(), out.with_name(f"{out.name}.pub")
    if public.exists():
        raise KeyFileError("there is a key file already", field=public.name)
    write_private(out, f"{hexed(key.seed)}\n".encode())
    with storage_errors():
        public.write_text(f"{hexed(key.public)}\n", "utf-8")
    return public


def back_up(folder: Path, out: Path, recipient: Path) -> None:
    """While it serves or not. recipient: the public half that `make_backup_key` wrote."""
    KeyServerSettings.load(folder)
    try:
        public = as_bytes(recipient.read_text("utf-8").strip(), "recipient", PUBLIC_BYTES)
    except (OSError, UnicodeDecodeError, MalformedError):
        raise KeyFileError("not the public half of a backup key", field=recipient.name) from None
    backup.write(folder, out, public)


def restore(file: Path, folder: Path, key: Path) -> tuple[str, int]:
    """Into a new folder; the server's address, and how many entries its journal has. What came after the backup is
    missing: it fetches missed notices from its peers before it releases, and releases nothing if its anchor knows more.
    """
    try:
        seed = bytes.fromhex(read_private(key).decode().strip().removeprefix("0x"))
        opened = SealingKey(seed)
    except (ValueError, MalformedError):
        raise KeyFileError("the key file is damaged", field=key.name) from None
    backup.restore(file, folder, opened)
    lock = FolderLock(folder)
    try:
        keys = KeyFile.load(folder / KEY_FILE)
        store = KeyServerStore(folder / VAULT_FILE, keys.master)
        size = store.journal_size()
        store.close()
        return WalletKey(keys.account).address, size
    finally:
        lock.release()
