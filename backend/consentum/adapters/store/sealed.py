# SPDX-License-Identifier: Apache-2.0
"""A database file whose contents are sealed (AES-256-GCM, the row's identity as associated data) and whose subjects are
found by a keyed tag, so that a copy of the file links nothing to an address."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Column, LargeBinary, MetaData, Table, select

from consentum.adapters.store.engine import open_engine, reading
from consentum.errors import CorruptError, NotFoundError

MAX_IN_QUERY = 1_000
metadata = MetaData()


def sealed_table(name: str, *columns: Column[Any]) -> Table:
    """A table of the gateway's database: id (32 bytes), the columns it is searched by, and a sealed box."""
    return Table(name, metadata, Column("id", LargeBinary(32), primary_key=True), *columns, Column("box", LargeBinary))


class SealedFile:
    """One database file. key is 32 bytes from the key file. Every table must be declared before it is opened."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.engine = open_engine(path, metadata)
        self._cipher = AESGCM(hashlib.sha256(b"consentum/gateway/box\0" + key).digest())
        self._tag_key = hashlib.sha256(b"consentum/gateway/tag\0" + key).digest()

    def close(self) -> None:
        self.engine.dispose()

    def one(self, table: Table, identity: bytes) -> Any:
        """The opened box of one row; NotFoundError if there is none."""
        with reading(self.engine) as connection:
            row = connection.execute(select(table).where(table.c.id == identity)).first()
        if row is None:
            raise NotFoundError("not here", field="id")
        return self.open(identity, row.box)

    def tag(self, name: str) -> bytes:
        """What stands for a subject, or another name that rows are found by."""
        return hmac.digest(self._tag_key, name.lower().encode(), "sha256")

    def seal(self, identity: bytes, plain: Mapping[str, Any]) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, json.dumps(plain).encode(), identity)

    def open(self, identity: bytes, box: bytes) -> Any:
        """CorruptError for a row that was edited, moved or sealed under another key."""
        try:
            return json.loads(self._cipher.decrypt(box[:12], box[12:], identity))
        except (InvalidTag, ValueError, TypeError):
            raise CorruptError("a row of the gateway's database does not open") from None


def parts(values: list[bytes], size: int = MAX_IN_QUERY) -> list[list[bytes]]:
    """Lists short enough for one query."""
    return [values[start : start + size] for start in range(0, len(values), size)]
