# SPDX-License-Identifier: Apache-2.0
"""The GatewayStore port on SQLAlchemy, in the gateway's sealed file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, bindparam, delete, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.relays import RelayQueue
from consentum.adapters.store.retractions import retractions
from consentum.adapters.store.sealed import SealedFile, parts, sealed_table
from consentum.crypto import typed
from consentum.domain.cid import Cid
from consentum.domain.messages import Consent
from consentum.domain.records import Record
from consentum.errors import CorruptError, NotFoundError
from consentum.ports.gateway_store import PendingDeposit

openings = sealed_table("openings", Column("tag", LargeBinary(32), nullable=False, index=True))
forms = sealed_table("forms")
deposits = sealed_table("deposits", Column("acknowledged", Boolean, nullable=False, index=True))
records = sealed_table(
    "records",
    Column("deposit", LargeBinary(32), nullable=False, index=True),
    Column("subject", LargeBinary(32), nullable=False, index=True),
    Column("content", LargeBinary(32), nullable=False, index=True),
    Column("deposited_at", BigInteger, nullable=False),
    Column("categories", BigInteger, nullable=False),
    Column("acknowledged", Boolean, nullable=False),
)
# What its custodian took back is listed no more, whatever else is known of it.
_STANDING = records.c.id.not_in(select(retractions.c.id))


class GatewayDatabase(RelayQueue):
    """What the flows of one gateway keep."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def close(self) -> None:
        """Closes the file, for everything that is in it."""
        self._file.close()

    # Openings and forms

    def add_opening(self, commitment: bytes, consent: Consent) -> None:
        row = {
            "id": commitment,
            "tag": self._file.tag(consent.subject),
            "box": self._file.seal(commitment, typed.to_json(consent)),
        }
        with transaction(self._engine) as connection:
            connection.execute(insert(openings).prefix_with("OR IGNORE"), row)

    def opening(self, commitment: bytes) -> Consent:
        return typed.from_json(Consent, self._file.one(openings, commitment))

    def openings_of(self, subjects: Sequence[str]) -> dict[str, list[Consent]]:
        tags = sorted({self._file.tag(subject) for subject in subjects})
        query = select(openings).where(openings.c.tag.in_(bindparam("tags", expanding=True)))
        found: dict[str, list[Consent]] = {}
        with reading(self._engine) as connection:
            rows = [row for part in parts(tags) for row in connection.execute(query, {"tags": part})]
        for row in rows:
            consent = typed.from_json(Consent, self._file.open(row.id, row.box))
            found.setdefault(consent.subject.lower(), []).append(consent)
        return found

    def add_form(self, form: bytes, text: str) -> None:
        with transaction(self._engine) as connection:
            row = {"id": form, "box": self._file.seal(form, {"text": text})}
            connection.execute(insert(forms).prefix_with("OR IGNORE"), row)

    def form(self, form: bytes) -> str:
        return str(self._file.one(forms, form)["text"])

    # Deposits and records

    def add_deposit(self, deposit: PendingDeposit) -> PendingDeposit:
        root = deposit.records_root
        plain = {"custodian": deposit.custodian, "requests": deposit.requests, "receipts": deposit.receipts}
        with transaction(self._engine) as connection:
            if connection.execute(select(deposits.c.id).where(deposits.c.id == root)).first() is None:
                box = self._file.seal(root, plain)
                connection.execute(insert(deposits), {"id": root, "acknowledged": False, "box": box})
                rows = [
                    {
                        "id": record.id,
                        "deposit": root,
                        "subject": self._file.tag(record.subject),
                        "content": self._file.tag(str(record.cid)),
                        "deposited_at": int(time.time()),
                        "categories": record.categories,
                        "acknowledged": False,
                        "box": self._file.seal(record.id, _record_json(record)),
                    }
                    for record in deposit.records
                ]
                connection.execute(insert(records).prefix_with("OR IGNORE"), rows)
        return self.deposit(root)

    def add_receipt(self, records_root: bytes, server: str, receipt: Mapping[str, Any]) -> PendingDeposit:
        with transaction(self._engine) as connection:
            row = connection.execute(select(deposits).where(deposits.c.id == records_root)).first()
            if row is None:
                raise NotFoundError("no such deposit", field="recordsRoot")
            plain = self._file.open(row.id, row.box)
            plain["receipts"][server] = receipt
            done = set(plain["receipts"]) == set(plain["requests"])
            if done:  # what is acknowledged needs no shares kept for another try
                plain["requests"] = dict.fromkeys(plain["requests"])
            values = {"box": self._file.seal(row.id, plain), "acknowledged": done}
            connection.execute(update(deposits).where(deposits.c.id == records_root).values(**values))
            if done:
                connection.execute(update(records).where(records.c.deposit == records_root).values(acknowledged=True))
        return self.deposit(records_root)

    def drop_deposit(self, records_root: bytes) -> None:
        with transaction(self._engine) as connection:
            pending = delete(deposits).where(deposits.c.id == records_root, deposits.c.acknowledged.is_(False))
            if connection.execute(pending).rowcount:
                connection.execute(delete(records).where(records.c.deposit == records_root))

    def pending_deposits(self) -> list[PendingDeposit]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(deposits.c.id).where(deposits.c.acknowledged.is_(False))).all()
        return [self.deposit(row.id) for row in rows]

    def deposit(self, records_root: bytes) -> PendingDeposit:
        root = records_root
        plain = self._file.one(deposits, root)
        with reading(self._engine) as connection:
            rows = connection.execute(select(records).where(records.c.deposit == root)).all()
        found = tuple(_record(self._file.open(row.id, row.box)) for row in rows)
        return PendingDeposit(root, plain["custodian"], found, plain["requests"], plain["receipts"])

    def records(self, categories: int) -> list[Record]:
        outside = ~categories & ((1 << 63) - 1)
        query = (
            select(records)
            .where(records.c.acknowledged.is_(True), records.c.categories.op("&")(outside) == 0, _STANDING)
            .order_by(records.c.id)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        found = [_record(self._file.open(row.id, row.box)) for row in rows]
        if any(record.categories & outside for record in found):
            raise CorruptError("a row of the gateway's database is not what it was")
        return found

    def records_of(self, subject: str) -> list[tuple[Record, int]]:
        hers = (records.c.subject == self._file.tag(subject), records.c.acknowledged.is_(True), _STANDING)
        with reading(self._engine) as connection:
            rows = connection.execute(select(records).where(*hers).order_by(records.c.id)).all()
        return [(_record(self._file.open(row.id, row.box)), row.deposited_at) for row in rows]

    def uses(self, content: Cid) -> bool:
        having = (records.c.content == self._file.tag(str(content)), _STANDING)
        with reading(self._engine) as connection:
            return connection.execute(select(records.c.id).where(*having)).first() is not None

    def records_by_id(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        query = select(records).where(records.c.id.in_(bindparam("ids", expanding=True)), _STANDING)
        with reading(self._engine) as connection:
            rows = [row for part in parts(list(ids)) for row in connection.execute(query, {"ids": part})]
        return {row.id: _record(self._file.open(row.id, row.box)) for row in rows}


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "custodian": record.custodian,
        "subject": record.subject,
        "categories": record.categories,
        "cid": record.cid.raw.hex(),
        "key_commitment": record.key_commitment.hex(),
        "committee": record.committee.hex(),
        "salt": record.salt.hex(),
    }


def _record(data: Mapping[str, Any]) -> Record:
    return Record(
        data["custodian"],
        data["subject"],
        data["categories"],
        Cid.from_bytes(bytes.fromhex(data["cid"])),
        bytes.fromhex(data["key_commitment"]),
        bytes.fromhex(data["committee"]),
        bytes.fromhex(data["salt"]),
    )
