# SPDX-License-Identifier: Apache-2.0
"""Enrolments in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from dataclasses import replace

from consentum.crypto import typed
from consentum.errors import NotFoundError
from consentum.ports.enrolments import SignedEnrol


class MemoryEnrolments:
    """`ports.enrolments.Enrolments`."""

    def __init__(self) -> None:
        self.rows: dict[bytes, SignedEnrol] = {}

    def add(self, enrolment: SignedEnrol) -> SignedEnrol:
        identity = typed.struct_hash(enrolment.enrol)
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

    def waiting(self, custodian: str) -> int:
        return sum(not e.recognised for e in self.of_custodian(custodian, len(self.rows)))

    def recognised(self, subject: str) -> bool:
        return any(e.recognised and e.enrol.subject.lower() == subject.lower() for e in self.rows.values())
