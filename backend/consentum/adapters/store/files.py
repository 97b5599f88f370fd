# SPDX-License-Identifier: Apache-2.0
"""The files beside a database: keys, which only their owner reads and which are whole after a power loss, and the lock
of a folder."""

from __future__ import annotations

import os
from pathlib import Path

from consentum.errors import KeyFileError, Reason, RefusedError, SettingsError


class FolderLock:
    """Held by the one process that serves a folder: two would each believe their own copy of the journal."""

    def __init__(self, folder: Path, name: str = "lock") -> None:
        import fcntl  # noqa: PLC0415 - POSIX only, like the rest of a server

        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("w")
        except OSError as error:
            raise RefusedError(Reason.STORE_UNAVAILABLE, type(error).__name__) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SettingsError("another process serves this folder", field="folder") from None

    def release(self) -> None:
        self._file.close()


def read_private(path: Path) -> bytes:
    """A key file's bytes. KeyFileError if it is missing or anybody else could read it."""
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise KeyFileError("others can read the key file; it must have mode 0600", field=path.name)
        return path.read_bytes()
    except OSError:
        raise KeyFileError("the key file cannot be read; run init first", field=path.name) from None


def write_private(path: Path, content: bytes) -> None:
    """Creates a key file, mode 0600, durably; never replaces one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError("there is a key file already", field=path.name) from None
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """Puts a key file of mode 0600 in the place of one, durably: after a power loss it is the old or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    write_private(fresh, content)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Names are in the folder; without this a new file may be gone after a power loss."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
