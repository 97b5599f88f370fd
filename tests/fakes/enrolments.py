# SPDX-License-Identifier: Apache-2.0
"""Enrolments in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from consentum.crypto import typed
from consentum.errors import NotFoundError
from consentum.ports.enrolments import SignedEnrol


class MemoryEnrolments:
    """`ports.enrolments.Enrolments`."""

    def __init__(self) -> None:
        self.rows: dict[bytes, SignedEnrol] = {}
        self.tickets: dict[bytes, tuple[str, int]] = {}
        self.came_under: dict[bytes, bytes] = {}

    def add_tickets(self, custodian: str, expiries: Mapping[bytes, int], now: int) -> None:
        mine = custodian.lower()
        self.tickets = {t: row for t, row in self.tickets.items() if row[0] != mine or row[1] > now}
        for ticket, expires in expiries.items():
            self.tickets.setdefault(ticket, (mine, expires))

    def open_tickets(self, custodian: str, now: int) -> int:
        return sum(who == custodian.lower() and expires > now for who, expires in self.tickets.values())

    def is_open(self, ticket: bytes, now: int) -> bool:
        return ticket in self.tickets and self.tickets[ticket][1] > now

    def under(self, ticket: bytes) -> int:
        return list(self.came_under.values()).count(ticket)

    def add(self, enrolment: SignedEnrol, ticket: bytes | None = None) -> SignedEnrol:
        identity = typed.struct_hash(enrolment.enrol)
        if ticket is not None:
            self.came_under.setdefault(identity, ticket)
        kept = self.rows.setdefault(identity, enrolment)
        if enrolment.recognised:
            self.rows[identity] = kept = replace(kept, recognised=True)
        return kept

    def find(self, identity: bytes) -> SignedEnrol | None:
        return self.rows.get(identity)

    def recognise(self, identity: bytes, custodian: str) -> None:
        found = self.rows.get(identity)
        if found is None or found.enrol.custodian.lower() != custodian.lower():
            raise NotFoundError("no such enrolment", field="enrolment")
        self.rows[identity] = replace(found, recognised=True)

    def of_custodian(self, custodian: str, limit: int, after: bytes = b"") -> list[SignedEnrol]:
        mine = [i for i, e in self.rows.items() if e.enrol.custodian.lower() == custodian.lower() and i > after]
        return [self.rows[identity] for identity in sorted(mine)[:limit]]

    def recognised(self, subject: str) -> bool:
        return any(e.recognised and e.enrol.subject.lower() == subject.lower() for e in self.rows.values())
