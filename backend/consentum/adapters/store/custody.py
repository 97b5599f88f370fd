# SPDX-License-Identifier: Apache-2.0
"""The CustodyBook port on SQLite: custodian.db, mode 0600, in the custodian's home. Hospital numbers never leave it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    insert,
    select,
    update,
)

from consentum.adapters.store.engine import open_engine, reading, transaction
from consentum.crypto import typed
from consentum.domain.invites import Invite
from consentum.domain.messages import Enrol
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.custody import Filed, Invited, Patient, SignedBatch
from consentum.ports.enrolments import SignedEnrol

metadata = MetaData()
invites = Table(
    "invites",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("code", LargeBinary(16), nullable=False, unique=True),
    Column("number", String, nullable=False, index=True),
    Column("custodian", String(42), nullable=False),
    Column("gateway", String, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
)
patients = Table(
    "patients",
    metadata,
    Column("number", String, primary_key=True),
    Column("subject", String(42), nullable=False, unique=True),
    Column("enrol", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("recognised", Boolean, nullable=False),
)
batches = Table(
    "batches",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("root", LargeBinary(32), nullable=False, unique=True),
    Column("signed_at", BigInteger, nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("body", String, nullable=False),
)
files = Table(
    "files",
    metadata,
    Column("place", Integer, primary_key=True),
    Column("root", LargeBinary(32), nullable=False, index=True),
    Column("path", String, nullable=False),
    Column("digest", LargeBinary(32), nullable=False, index=True),
    Column("number", String, nullable=False),
    Column("categories", BigInteger, nullable=False),
    Column("record", LargeBinary(32), nullable=False, unique=True),
    Column("state", String(12), nullable=False),
    Column("reason", String, nullable=False),
)


class CustodyFile:
    """`ports.custody.CustodyBook`."""

    def __init__(self, path: Path) -> None:
        self._engine = open_engine(path, metadata)

    def close(self) -> None:
        self._engine.dispose()

    # Invites and patients

    def add_invite(self, number: str, invite: Invite) -> None:
        with transaction(self._engine) as connection:
            if connection.execute(select(patients.c.subject).where(patients.c.number == number)).first():
                raise ConflictError("this number has a patient already", field="number")
            still = (invites.c.number == number, invites.c.state == "open")
            connection.execute(update(invites).where(*still).values(state="replaced"))
            row = {"code": invite.code, "number": number, "custodian": invite.custodian, "gateway": invite.gateway}
            connection.execute(insert(invites), {**row, "expires": invite.expires, "state": "open"})

    def invites(self) -> list[Invited]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(invites).order_by(invites.c.place)).all()
        return [Invited(r.number, Invite(r.code, r.custodian, r.gateway, r.expires), r.state) for r in rows]

    def link(self, code: bytes, enrolment: SignedEnrol) -> None:
        subject = enrolment.enrol.subject.lower()
        with transaction(self._engine) as connection:
            invite = connection.execute(select(invites).where(invites.c.code == code)).first()
            if invite is None or invite.state != "open":
                raise ConflictError("the invite was used or replaced", field="invite")
            if connection.execute(select(patients.c.number).where(patients.c.number == invite.number)).first():
                raise ConflictError("this number has another subject", field="number")
            if connection.execute(select(patients.c.number).where(patients.c.subject == subject)).first():
                raise ConflictError("this subject has another number", field="subject")
            connection.execute(update(invites).where(invites.c.code == code).values(state="used"))
            enrol = json.dumps(typed.to_json(enrolment.enrol))
            row = {"number": invite.number, "subject": subject, "enrol": enrol, "signature": enrolment.signature}
            connection.execute(insert(patients), {**row, "recognised": enrolment.recognised})

    def recognised(self, subject: str) -> None:
        with transaction(self._engine) as connection:
            hers = patients.c.subject == subject.lower()
            connection.execute(update(patients).where(hers).values(recognised=True))

    def patients(self) -> list[Patient]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(patients).order_by(patients.c.number)).all()
        return [
            Patient(r.number, SignedEnrol(typed.from_json(Enrol, json.loads(r.enrol)), r.signature, r.recognised))
            for r in rows
        ]

    # Deposits

    def add_batch(self, batch: SignedBatch) -> None:
        with transaction(self._engine) as connection:
            for one in batch.files:
                _require_free(connection, one)
            row = {"root": batch.root, "signed_at": int(time.time()), "state": "signed", "body": json.dumps(batch.body)}
            connection.execute(insert(batches), row)
            connection.execute(insert(files), [{"root": batch.root, **_row(one)} for one in batch.files])

    def open_batches(self) -> list[SignedBatch]:
        with reading(self._engine) as connection:
            mine = select(batches).where(batches.c.state == "signed").order_by(batches.c.place)
            rows = connection.execute(mine).all()
            return [SignedBatch(r.root, json.loads(r.body), _files_of(connection, r.root)) for r in rows]

    def settle(self, root: bytes, reason: str = "") -> None:
        state = "refused" if reason else "deposited"
        with transaction(self._engine) as connection:
            still = (batches.c.root == root, batches.c.state == "signed")
            if connection.execute(update(batches).where(*still).values(state=state, body="{}")).rowcount:
                connection.execute(update(files).where(files.c.root == root).values(state=state, reason=reason))

    def files(self) -> list[Filed]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(files).order_by(files.c.place)).all()
        return [_filed(row) for row in rows]

    def end(self, record: bytes, state: str) -> None:
        with transaction(self._engine) as connection:
            there = (files.c.record == record, files.c.state == "deposited")
            if connection.execute(update(files).where(*there).values(state=state)).rowcount == 0:
                raise NotFoundError("no deposited record of that id in this home", field="record")


def _require_free(connection: Connection, one: Filed) -> None:
    same = (files.c.digest == one.digest, files.c.number == one.number, files.c.categories == one.categories)
    if connection.execute(select(files.c.place).where(*same, files.c.state.in_(["signed", "deposited"]))).first():
        raise ConflictError("a file is on its way or deposited already", field="files")


def _row(one: Filed) -> dict[str, Any]:
    plain = {"path": one.path, "digest": one.digest, "number": one.number, "categories": one.categories}
    return {**plain, "record": one.record, "state": one.state, "reason": one.reason}


def _files_of(connection: Connection, root: bytes) -> tuple[Filed, ...]:
    rows = connection.execute(select(files).where(files.c.root == root).order_by(files.c.place)).all()
    return tuple(_filed(row) for row in rows)


def _filed(row: Any) -> Filed:
    return Filed(
        path=row.path,
        digest=row.digest,
        number=row.number,
        categories=row.categories,
        record=row.record,
        state=row.state,
        reason=row.reason,
    )
