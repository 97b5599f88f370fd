# SPDX-License-Identifier: Apache-2.0
"""A batch of records that a test makes, signs and seals as it likes."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from consentum.crypto import merkle, sealing, typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import Signer
from consentum.domain.cid import RAW, Cid
from consentum.domain.messages import Deposit, Enrol
from consentum.domain.records import Record
from consentum.flow.keyserver import deposit
from consentum.flow.wire import DepositRequest, Enrolment
from tests.unit.keyserver.world import LAB, World


@dataclass(slots=True)
class Batch:
    """A batch about some subjects; `request` signs and seals whatever a test made of it."""

    world: World
    subjects: Sequence[Signer]
    records: list[Record] = field(default_factory=list)
    enrolments: list[Enrolment] = field(default_factory=list)
    signer: Signer | None = None
    epoch: int = 1
    key: SealingKey | None = None
    bound: dict[str, Any] = field(default_factory=dict)
    column: bytes | None = None

    def __post_init__(self) -> None:
        for who in self.subjects:
            subject, salt = who.address.lower(), secrets.token_bytes(32)
            custodian = self.world.custodian.address.lower()
            cid = Cid.of(RAW, salt)
            self.records.append(Record(custodian, subject, LAB, cid, salt, self.world.committee, salt))
            self.enrolments.append(enrolment(self.world, who))

    def request(self, **changes: Any) -> DepositRequest:
        """changes: fields of the Deposit, signed as they are."""
        world, server = self.world, self.world.server
        root = merkle.root_of([record.id for record in self.records])
        custodian = world.custodian.address.lower()
        made = replace(Deposit(custodian, world.committee, root, len(self.records), world.ledger.now), **changes)
        bound = {"committee": made.committee, "server": typed.address_bytes(server.address), "index": 2}
        info = sealing.deposit_info(**{**bound, "records_root": root, "epoch": self.epoch, **self.bound})
        column = self.column if self.column is not None else bytes(range(32)) * len(self.records)
        sealed = sealing.seal(column, (self.key or server.sealing_keys[1]).public, info)
        signature = world.sign(self.signer or world.custodian, made)
        return DepositRequest(made, signature, tuple(self.records), tuple(self.enrolments), self.epoch, sealed)


def enrolment(world: World, who: Signer, custodian: Signer | None = None, by: Signer | None = None) -> Enrolment:
    target = (custodian or world.custodian).address.lower()
    made = Enrol(who.address.lower(), target, secrets.token_bytes(32))
    return Enrolment(made, world.sign(by or who, made))


def accept(world: World, request: DepositRequest) -> dict[str, Any]:
    return deposit.accept(world.server, DepositRequest.parse(request.to_json()))
