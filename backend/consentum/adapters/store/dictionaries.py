# SPDX-License-Identifier: Apache-2.0
"""The Dictionaries port, in the gateway's sealed file."""

from __future__ import annotations

from eth_utils.crypto import keccak
from sqlalchemy import BigInteger, Column, Integer, delete, insert, select

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.crypto.typed import address_bytes
from consentum.errors import ConflictError
from consentum.ports.dictionaries import Published

dictionaries = sealed_table(
    "dictionaries",
    Column("category", BigInteger, nullable=False, index=True),
    Column("version", Integer, nullable=False),
)


class DictionaryBook:
    """`ports.dictionaries.Dictionaries`: one row per custodian and category."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def put(self, published: Published) -> None:
        identity = _identity(published)
        category, version = int(published.category), published.dictionary.version
        row = {
            "id": identity,
            "category": category,
            "version": version,
            "box": self._file.seal(identity, published.to_json()),
        }
        with transaction(self._engine) as connection:
            kept = connection.execute(select(dictionaries).where(dictionaries.c.id == identity)).first()
            if kept is not None:
                if kept.version > version:
                    raise ConflictError("a newer version is published", field="version")
                if kept.version == version:
                    if Published.parse(self._file.open(identity, kept.box)) != published:
                        raise ConflictError("this version is published with other content", field="version")
                    return
                connection.execute(delete(dictionaries).where(dictionaries.c.id == identity))
            connection.execute(insert(dictionaries), row)

    def of(self, categories: int) -> list[Published]:
        with reading(self._engine) as connection:
            wanted = dictionaries.c.category.op("&")(categories) != 0
            rows = connection.execute(select(dictionaries).where(wanted)).all()
        found = [Published.parse(self._file.open(row.id, row.box)) for row in rows]
        return sorted(found, key=lambda one: (int(one.category), one.custodian))


def _identity(published: Published) -> bytes:
    return keccak(address_bytes(published.custodian) + int(published.category).to_bytes(8, "big"))
