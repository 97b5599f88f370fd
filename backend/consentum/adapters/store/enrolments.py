# SPDX-License-Identifier: Apache-2.0
"""The Enrolments port, in the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, LargeBinary, Table, delete, func, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, metadata, sealed_table
from consentum.crypto import typed
from consentum.domain.messages import Enrol
from consentum.errors import NotFoundError
from consentum.ports.enrolments import SignedEnrol

enrolments = sealed_table(
    "enrolments",
    Column("subject", LargeBinary(32), nullable=False, index=True),
    Column("custodian", LargeBinary(32), nullable=False, index=True),
    Column("recognised", Boolean, nullable=False),
)
tickets = Table(
    "tickets",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("custodian", LargeBinary(32), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False),
)
ticketed = Table(
    "ticketed",
    metadata,
    Column("enrolment", LargeBinary(32), primary_key=True),
    Column("ticket", LargeBinary(32), nullable=False, index=True),
)


class EnrolmentBook:
    """`ports.enrolments.Enrolments`; rows are found by keyed tags of subject and custodian."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def add_tickets(self, custodian: str, expiries: Mapping[bytes, int], now: int) -> None:
        mine = self._file.tag(custodian)
        rows = [{"id": ticket, "custodian": mine, "expires": expires} for ticket, expires in expiries.items()]
        with transaction(self._engine) as connection:
            connection.execute(delete(tickets).where(tickets.c.custodian == mine, tickets.c.expires <= now))
            if rows:
                connection.execute(insert(tickets).prefix_with("OR IGNORE"), rows)

    def open_tickets(self, custodian: str, now: int) -> int:
        mine = (tickets.c.custodian == self._file.tag(custodian), tickets.c.expires > now)
        return self._count(tickets, *mine)

    def is_open(self, ticket: bytes, now: int) -> bool:
        return self._count(tickets, tickets.c.id == ticket, tickets.c.expires > now) > 0

    def under(self, ticket: bytes) -> int:
        return self._count(ticketed, ticketed.c.ticket == ticket)

    def _count(self, table: Table, *where: Any) -> int:
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(table).where(*where)).scalar_one())

    def add(self, enrolment: SignedEnrol, ticket: bytes | None = None) -> SignedEnrol:
        enrol = enrolment.enrol
        identity = typed.struct_hash(enrol)
        row = {
            "id": identity,
            "subject": self._file.tag(enrol.subject),
            "custodian": self._file.tag(enrol.custodian),
            "recognised": enrolment.recognised,
            "box": self._file.seal(identity, {"enrol": typed.to_json(enrol), "signature": enrolment.signature.hex()}),
        }
        with transaction(self._engine) as connection:
            connection.execute(insert(enrolments).prefix_with("OR IGNORE"), row)
            if enrolment.recognised:
                connection.execute(update(enrolments).where(enrolments.c.id == identity).values(recognised=True))
            if ticket is not None:
                link = {"enrolment": identity, "ticket": ticket}
                connection.execute(insert(ticketed).prefix_with("OR IGNORE"), link)
            kept = connection.execute(select(enrolments).where(enrolments.c.id == identity)).one()
        return self._enrolment(kept)

    def find(self, identity: bytes) -> SignedEnrol | None:
        with reading(self._engine) as connection:
            row = connection.execute(select(enrolments).where(enrolments.c.id == identity)).first()
        return None if row is None else self._enrolment(row)

    def recognise(self, identity: bytes, custodian: str) -> None:
        with transaction(self._engine) as connection:
            mine = (enrolments.c.id == identity, enrolments.c.custodian == self._file.tag(custodian))
            if connection.execute(update(enrolments).where(*mine).values(recognised=True)).rowcount == 0:
                raise NotFoundError("no such enrolment", field="enrolment")

    def of_custodian(self, custodian: str, limit: int, after: bytes = b"") -> list[SignedEnrol]:
        mine = (enrolments.c.custodian == self._file.tag(custodian), enrolments.c.id > after)
        with reading(self._engine) as connection:
            query = select(enrolments).where(*mine).order_by(enrolments.c.id).limit(limit)
            rows = connection.execute(query).all()
        return [self._enrolment(row) for row in rows]

    def recognised(self, subject: str) -> bool:
        hers = (enrolments.c.subject == self._file.tag(subject), enrolments.c.recognised.is_(True))
        with reading(self._engine) as connection:
            return connection.execute(select(enrolments.c.id).where(*hers).limit(1)).first() is not None

    def _enrolment(self, row: Any) -> SignedEnrol:
        plain = self._file.open(row.id, row.box)
        signature = bytes.fromhex(plain["signature"])
        return SignedEnrol(typed.from_json(Enrol, plain["enrol"]), signature, row.recognised)
