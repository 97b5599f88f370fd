# SPDX-License-Identifier: Apache-2.0
"""The Retractions port, in the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Boolean, Column, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.errors import NotFoundError
from consentum.ports.retractions import KeptRetraction

retractions = sealed_table("retractions", Column("acknowledged", Boolean, nullable=False, index=True))


class RetractionBook:
    """`ports.retractions.Retractions`; a row's id is the record's."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def add(self, retraction: KeptRetraction) -> KeptRetraction:
        box = self._file.seal(retraction.record, _plain(retraction))
        row = {"id": retraction.record, "acknowledged": not retraction.waiting, "box": box}
        with transaction(self._engine) as connection:
            connection.execute(insert(retractions).prefix_with("OR IGNORE"), row)
            kept = connection.execute(select(retractions).where(retractions.c.id == retraction.record)).one()
        return self._kept(kept)

    def find(self, record: bytes) -> KeptRetraction | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(retractions).where(retractions.c.id == record)).first()
        return None if row is None else self._kept(row)

    def add_receipt(self, record: bytes, server: str, receipt: Mapping[str, Any]) -> KeptRetraction:
        mine = retractions.c.id == record
        with transaction(self._engine) as connection:
            row = connection.execute(select(retractions).where(mine)).first()
            if row is None:
                raise NotFoundError("no such retraction", field="record")
            plain = self._file.open(row.id, row.box)
            plain["receipts"][server] = dict(receipt)
            done = set(plain["servers"]) <= set(plain["receipts"])
            values = {"box": self._file.seal(record, plain), "acknowledged": done}
            connection.execute(update(retractions).where(mine).values(**values))
            kept = connection.execute(select(retractions).where(mine)).one()
        return self._kept(kept)

    def pending(self) -> list[KeptRetraction]:
        query = select(retractions).where(retractions.c.acknowledged.is_(False)).order_by(retractions.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [self._kept(row) for row in rows]

    def _kept(self, row: Any) -> KeptRetraction:
        plain = self._file.open(row.id, row.box)
        return KeptRetraction(row.id, plain["custodian"], plain["request"], tuple(plain["servers"]), plain["receipts"])


def _plain(retraction: KeptRetraction) -> dict[str, Any]:
    return {
        "custodian": retraction.custodian,
        "request": dict(retraction.request),
        "servers": list(retraction.servers),
        "receipts": dict(retraction.receipts),
    }
