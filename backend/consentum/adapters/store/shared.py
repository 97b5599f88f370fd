# SPDX-License-Identifier: Apache-2.0
"""The Shared port, in the gateway's sealed file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, delete, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table

rows = sealed_table(
    "shared",
    Column("expires", BigInteger, nullable=False, index=True),
    Column("count", BigInteger, nullable=False),
)


class SharedRows:
    """`ports.shared.Shared`; what has expired goes with the next write."""

    def __init__(self, file: SealedFile, clock: Callable[[], float] = time.time) -> None:
        self._file, self._clock = file, clock

    def spend(self, what: str, key: bytes, seconds: float) -> bool:
        return self.count(what, key, seconds) == 1

    def count(self, what: str, key: bytes, seconds: float) -> int:
        identity = _identity(what, key)
        mine = rows.c.id == identity
        with transaction(self._file.engine) as connection:
            self._add(connection, identity, {}, seconds)
            connection.execute(update(rows).where(mine).values(count=rows.c.count + 1))
            return int(connection.execute(select(rows.c.count).where(mine)).scalar_one())

    def keep(self, what: str, key: bytes, value: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
        identity = _identity(what, key)
        with transaction(self._file.engine) as connection:
            self._add(connection, identity, value, seconds)
            box = connection.execute(select(rows.c.box).where(rows.c.id == identity)).scalar_one()
        found: Mapping[str, Any] = self._file.open(identity, box)
        return found

    def kept(self, what: str, key: bytes) -> Mapping[str, Any] | None:
        identity = _identity(what, key)
        query = select(rows.c.box).where(rows.c.id == identity, rows.c.expires > int(self._clock()))
        with reading(self._file.engine) as connection:
            box = connection.execute(query).scalar_one_or_none()
        return None if box is None else dict(self._file.open(identity, box))

    def _add(self, connection: Connection, identity: bytes, value: Mapping[str, Any], seconds: float) -> None:
        now = int(self._clock())
        connection.execute(delete(rows).where(rows.c.expires <= now))
        box = self._file.seal(identity, value)
        row = {"id": identity, "expires": now + int(seconds), "count": 0, "box": box}
        connection.execute(insert(rows).prefix_with("OR IGNORE"), row)


def _identity(what: str, key: bytes) -> bytes:
    return hashlib.sha256(what.encode() + b"\0" + key).digest()
