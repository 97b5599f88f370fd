# SPDX-License-Identifier: Apache-2.0
"""A custodian's and a patient's books in memory, the ports' promises kept in the most obvious way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from consentum.domain.invites import Invite
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.custody import Filed, Invited, Patient, SignedBatch, taken
from consentum.ports.enrolments import SignedEnrol
from consentum.ports.home import Kept


class MemoryCustody:
    """`ports.custody.CustodyBook`."""

    def __init__(self) -> None:
        self.rows: list[Invited] = []
        self.known: list[Patient] = []
        self.batches: dict[bytes, SignedBatch] = {}
        self.filed: dict[bytes, tuple[bytes, Filed]] = {}

    def add_invite(self, number: str, invite: Invite) -> None:
        if any(patient.number == number for patient in self.known):
            raise ConflictError("this number has a patient already", field="number")
        self.rows = [
            replace(one, state="replaced") if one.number == number and one.state == "open" else one for one in self.rows
        ]
        self.rows.append(Invited(number, invite, "open"))

    def invites(self) -> list[Invited]:
        return list(self.rows)

    def link(self, code: bytes, enrolment: SignedEnrol) -> None:
        found = next((one for one in self.rows if one.invite.code == code and one.state == "open"), None)
        if found is None:
            raise ConflictError("the invite was used or replaced", field="invite")
        patient = Patient(found.number, enrolment)
        if any(one.number == patient.number for one in self.known):
            raise ConflictError("this number has another subject", field="number")
        if any(one.subject == patient.subject for one in self.known):
            raise ConflictError("this subject has another number", field="subject")
        self.rows[self.rows.index(found)] = replace(found, state="used")
        self.known.append(patient)

    def recognised(self, subject: str) -> None:
        self.known = [
            replace(one, enrolment=replace(one.enrolment, recognised=True)) if one.subject == subject.lower() else one
            for one in self.known
        ]

    def patients(self) -> list[Patient]:
        return sorted(self.known, key=lambda one: one.number)

    def add_batch(self, batch: SignedBatch) -> None:
        there = taken(self.files())
        if any((one.digest, one.number, one.categories) in there for one in batch.files):
            raise ConflictError("a file is on its way or deposited already", field="files")
        self.batches[batch.root] = batch
        self.filed.update({one.record: (batch.root, one) for one in batch.files})

    def open_batches(self) -> list[SignedBatch]:
        return list(self.batches.values())

    def settle(self, root: bytes, reason: str = "") -> None:
        if self.batches.pop(root, None) is None:
            return
        state = "refused" if reason else "deposited"
        for record, (of, one) in self.filed.items():
            if of == root:
                self.filed[record] = (of, replace(one, state=state, reason=reason))

    def files(self) -> list[Filed]:
        return [one for _, one in self.filed.values()]

    def end(self, record: bytes, state: str) -> None:
        root, one = self.filed.get(record, (b"", None))
        if one is None or one.state != "deposited":
            raise NotFoundError("no deposited record of that id in this home", field="record")
        self.filed[record] = (root, replace(one, state=state))


class MemoryHome:
    """`ports.home.HomeBook`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], Kept] = {}
        self.known: dict[str, str] = {}

    def keep(self, kept: Kept) -> Kept:
        return self.rows.setdefault((kept.kind, kept.id), kept)

    def find(self, kind: str, identity: bytes) -> Kept | None:
        return self.rows.get((kind, identity))

    def arrived(self, kind: str, identity: bytes) -> None:
        if (kind, identity) in self.rows:
            self.rows[kind, identity] = replace(self.rows[kind, identity], arrived=True)

    def drop(self, kind: str, identity: bytes) -> None:
        found = self.rows.get((kind, identity))
        if found is not None and not found.arrived:
            del self.rows[kind, identity]

    def all(self, kind: str) -> list[Kept]:
        return [kept for kept in self.rows.values() if kept.kind == kind]

    def remember(self, servers: Mapping[str, str]) -> None:
        self.known.update({address.lower(): endpoint for address, endpoint in servers.items()})

    def servers(self) -> dict[str, str]:
        return dict(sorted(self.known.items()))
