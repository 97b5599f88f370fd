# SPDX-License-Identifier: Apache-2.0
"""SQLAlchemy on SQLite such that an answered request survives kill -9 and power loss, and a failure is one error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.exc import DBAPIError

from consentum.errors import Reason, RefusedError

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
