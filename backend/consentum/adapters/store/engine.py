# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy on SQLite such that an answered request survives kill -9 and power loss, and a failure is one error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError

from consentum.errors import KeyFileError, Reason, RefusedError, SettingsError

BUSY_MILLISECONDS = 3_000


def open_engine(path: Path, metadata: MetaData) -> Engine:
    """An engine on a file that only its owner can read; missing tables are made."""
    with storage_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_MILLISECONDS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are ours, see _begin
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # Immediate: what a transaction reads cannot change before it writes. Readers need no lock under WAL.
        reads = connection.get_execution_options().get("consentum_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    with storage_errors():
        metadata.create_all(engine)
    return engine


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turns every failure of the database (locked, disk full, read-only, damaged) into one refusal."""
    try:
        yield
    except DBAPIError as error:
        raise RefusedError(Reason.STORE_UNAVAILABLE, type(error.orig).__name__) from None
    except OSError as error:
        raise RefusedError(Reason.STORE_UNAVAILABLE, error.strerror or type(error).__name__) from None


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One durable transaction; on any error nothing of it stays."""
    with storage_errors(), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent view; takes no lock."""
    with storage_errors(), engine.execution_options(consentum_reads=True).begin() as connection:
        yield connection


def empty_log(engine: Engine) -> None:
    """Brings SQLite's write-ahead log home and empties it: until then it holds the pages that were written over. A
    reader in the middle of something keeps it until the next time, or until the file is closed."""
    with storage_errors(), engine.connect().execution_options(consentum_reads=True) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class FolderLock:
    """Held by the one process that serves a folder: two would each believe their own copy of the journal."""

    def __init__(self, folder: Path, name: str = "lock") -> None:
        import fcntl  # noqa: PLC0415 - POSIX only, like the rest of a server

        with storage_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / name).open("w")
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
