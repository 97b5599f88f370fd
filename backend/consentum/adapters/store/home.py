# SPDX-License-Identifier: Apache-2.0
"""The HomeBook port on SQLite: home.db, mode 0600, in a patient's home."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)

from consentum.adapters.store.engine import open_engine, reading, transaction
from consentum.ports.home import Kept

metadata = MetaData()
kept = Table(
    "kept",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("id", LargeBinary(32), nullable=False),
    Column("body", String, nullable=False),
    Column("arrived", Boolean, nullable=False),
    UniqueConstraint("kind", "id"),
)
servers = Table(
    "servers",
    metadata,
    Column("address", String(42), primary_key=True),
    Column("endpoint", String, nullable=False),
)


class HomeFile:
    """`ports.home.HomeBook`."""

    def __init__(self, path: Path) -> None:
        self._engine = open_engine(path, metadata)

    def close(self) -> None:
        self._engine.dispose()

    def keep(self, one: Kept) -> Kept:
        row = {"kind": one.kind, "id": one.id, "body": json.dumps(one.body), "arrived": one.arrived}
        with transaction(self._engine) as connection:
            connection.execute(insert(kept).prefix_with("OR IGNORE"), row)
            mine = (kept.c.kind == one.kind, kept.c.id == one.id)
            return _kept(connection.execute(select(kept).where(*mine)).one())

    def find(self, kind: str, identity: bytes) -> Kept | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(kept).where(kept.c.kind == kind, kept.c.id == identity)).first()
        return None if row is None else _kept(row)

    def arrived(self, kind: str, identity: bytes) -> None:
        with transaction(self._engine) as connection:
            mine = (kept.c.kind == kind, kept.c.id == identity)
            connection.execute(update(kept).where(*mine).values(arrived=True))

    def drop(self, kind: str, identity: bytes) -> None:
        with transaction(self._engine) as connection:
            mine = (kept.c.kind == kind, kept.c.id == identity, kept.c.arrived.is_(False))
            connection.execute(delete(kept).where(*mine))

    def all(self, kind: str) -> list[Kept]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(kept).where(kept.c.kind == kind).order_by(kept.c.place)).all()
        return [_kept(row) for row in rows]

    def remember(self, found: Mapping[str, str]) -> None:
        rows = [{"address": address.lower(), "endpoint": endpoint} for address, endpoint in found.items()]
        if rows:
            with transaction(self._engine) as connection:
                connection.execute(insert(servers).prefix_with("OR REPLACE"), rows)

    def servers(self) -> dict[str, str]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(servers).order_by(servers.c.address)).all()
        return {row.address: row.endpoint for row in rows}


def _kept(row: Any) -> Kept:
    return Kept(row.kind, row.id, json.loads(row.body), row.arrived)
