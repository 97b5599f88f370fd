# SPDX-License-Identifier: Apache-2.0
"""An encrypted copy of a key server's folder, taken while it serves; only a key that is kept elsewhere opens it.

A file is MAGIC ‖ HPKE message (a fresh data key, sealed to the recipient, info MAGIC) ‖ the streaming envelope under
that key of a tar of settings.json, keys.json and vault.db. Nothing says who made it: restore only what you kept.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from consentum.adapters.store.engine import storage_errors
from consentum.adapters.store.files import sync_folder
from consentum.crypto import envelope, sealing
from consentum.errors import ConflictError, CorruptError

MAGIC = b"consentum-backup/1\n"
VAULT_FILE = "vault.db"
# Vault first: a key file that is copied later can open all that is in it, whatever was rotated meanwhile.
FILES = (VAULT_FILE, "keys.json", "settings.json")
_WRAPPED = envelope.KEY_SIZE + sealing.OVERHEAD_BYTES
_SCRATCH = ".backup-"


def write(folder: Path, out: Path, recipient: bytes) -> None:
    """Writes a consistent backup of the folder to a new file, mode 0600. recipient: 1,216 bytes, HPKE public.

    ConflictError: there is such a file. MalformedError: no key. RefusedError (STORE_UNAVAILABLE): the disk. A failure
    leaves no file behind; what a kill leaves, in the folder and as unreadable as it, the next backup removes.
    """
    key = envelope.new_key()
    wrapped = sealing.seal(key, recipient, MAGIC)
    with storage_errors():
        for left in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(left, ignore_errors=True)
    with _new_file(out) as sink, _scratch(folder) as scratch:
        _copy_vault(folder / VAULT_FILE, scratch / VAULT_FILE)
        archive = scratch / "backup.tar"
        with tarfile.open(archive, "w") as tar:
            for name in FILES:
                tar.add((scratch if name == VAULT_FILE else folder) / name, name)
        sink.write(MAGIC + wrapped)
        with archive.open("rb") as source:
            envelope.seal_stream(key, envelope.Header("backup.tar", "application/x-tar"), source, sink)


def restore(file: Path, folder: Path, key: sealing.SealingKey) -> None:
    """Opens a backup into a folder that is not there yet, or empty. All or nothing.

    ConflictError: something is in the folder. CorruptError: no backup, altered, cut, or sealed to another key.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConflictError("the folder is not empty; restore into a new one", field="folder")
    with storage_errors():
        folder.parent.mkdir(parents=True, exist_ok=True)
    with _scratch(folder.parent) as scratch:
        with storage_errors(), file.open("rb") as source, (scratch / "backup.tar").open("wb") as sink:
            if source.read(len(MAGIC)) != MAGIC:
                raise CorruptError("not a backup", field="file")
            envelope.open_stream(key.open(source.read(_WRAPPED), MAGIC), source, sink)
        made = scratch / "folder"
        _unpack(scratch / "backup.tar", made)
        _check_vault(made / VAULT_FILE)
        with storage_errors():
            if folder.exists():
                folder.rmdir()
            made.rename(folder)
            sync_folder(folder.parent)


def _unpack(archive: Path, folder: Path) -> None:
    """Exactly the three files and nothing else, whatever an archive says about paths, links and modes."""
    try:
        with storage_errors(), tarfile.open(archive) as tar:
            folder.mkdir(mode=0o700)
            members = {member.name: member for member in tar.getmembers() if member.isreg()}
            if set(members) != set(FILES) or len(tar.getmembers()) != len(FILES):
                raise CorruptError("a backup holds other files than it should", field="file")
            for name, member in members.items():
                source = tar.extractfile(member)
                assert source is not None
                with _new_file(folder / name) as sink:
                    shutil.copyfileobj(source, sink)
            sync_folder(folder)
    except tarfile.TarError:
        raise CorruptError("not a backup", field="file") from None


def _copy_vault(path: Path, copy: Path) -> None:
    """One consistent state, committed by whoever serves meanwhile; no lock is held."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source:
            source.execute("VACUUM INTO ?", (str(copy),))
    except sqlite3.Error as error:
        raise CorruptError(f"the vault cannot be copied ({type(error).__name__})", field="folder") from None


def _check_vault(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as vault:
            [(answer,)] = vault.execute("PRAGMA integrity_check(1)").fetchall()
    except (sqlite3.Error, ValueError):
        answer = "no database"
    if answer != "ok":
        raise CorruptError("the vault in this backup is damaged", field="file")


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for its owner alone, on the same disk, gone afterwards."""
    with storage_errors():
        made = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    try:
        with storage_errors():
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of mode 0600 that was not there, durable at the end; on an error it is gone again."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConflictError("there is such a file already", field=path.name) from None
    except OSError as error:
        raise CorruptError(f"the file cannot be written ({type(error).__name__})", field=path.name) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
