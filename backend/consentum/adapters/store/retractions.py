# SPDX-License-Identifier: Apache-2.0
"""The Retractions port, in the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Boolean, Column, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.domain.cid import Cid
from consentum.errors import NotFoundError
from consentum.ports.retractions import KeptRetraction

retractions = sealed_table("retractions", Column("done", Boolean, nullable=False, index=True))


class RetractionBook:
    """`ports.retractions.Retractions`; a row's id is the record's."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def add(self, retraction: KeptRetraction) -> KeptRetraction:
        box = self._file.seal(retraction.record, _plain(retraction))
        row = {"id": retraction.record, "done": _is_done(_plain(retraction)), "box": box}
        with transaction(self._engine) as connection:
            connection.execute(insert(retractions).prefix_with("OR IGNORE"), row)
            kept = connection.execute(select(retractions).where(retractions.c.id == retraction.record)).one()
        return self._kept(kept)

    def find(self, record: bytes) -> KeptRetraction | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(retractions).where(retractions.c.id == record)).first()
        return None if row is None else self._kept(row)

    def add_receipt(self, record: bytes, server: str, receipt: Mapping[str, Any]) -> KeptRetraction:
        return self._change(record, lambda plain: plain["receipts"].update({server: dict(receipt)}))

    def erased(self, record: bytes) -> KeptRetraction:
        return self._change(record, lambda plain: plain.update(erased=True))

    def pending(self) -> list[KeptRetraction]:
        query = select(retractions).where(retractions.c.done.is_(False)).order_by(retractions.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [self._kept(row) for row in rows]

    def _change(self, record: bytes, change: Callable[[dict[str, Any]], None]) -> KeptRetraction:
        mine = retractions.c.id == record
        with transaction(self._engine) as connection:
            row = connection.execute(select(retractions).where(mine)).first()
            if row is None:
                raise NotFoundError("no such retraction", field="record")
            plain = self._file.open(row.id, row.box)
            change(plain)
            values = {"box": self._file.seal(record, plain), "done": _is_done(plain)}
            connection.execute(update(retractions).where(mine).values(**values))
            kept = connection.execute(select(retractions).where(mine)).one()
        return self._kept(kept)

    def _kept(self, row: Any) -> KeptRetraction:
        plain = self._file.open(row.id, row.box)
        about = (plain["custodian"], plain["request"], tuple(plain["servers"]), plain["receipts"])
        return KeptRetraction(row.id, *about, Cid.parse(plain["content"]), plain["erased"])


def _plain(retraction: KeptRetraction) -> dict[str, Any]:
    return {
        "custodian": retraction.custodian,
        "request": dict(retraction.request),
        "servers": list(retraction.servers),
        "receipts": dict(retraction.receipts),
        "content": str(retraction.content),
        "erased": retraction.erased,
    }


def _is_done(plain: Mapping[str, Any]) -> bool:
    return bool(plain["erased"]) and set(plain["servers"]) <= set(plain["receipts"])
