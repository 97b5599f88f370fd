# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of enrolments: signed words of subjects, and whether their custodian recognised them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from consentum.domain.messages import Enrol


@dataclass(frozen=True, slots=True)
class SignedEnrol:
    """A subject's signed Enrol. recognised: the custodian knows her behind it, by her code or by depositing."""

    enrol: Enrol
    signature: bytes
    recognised: bool


class Enrolments(Protocol):
    """Durable on return. The gateway knows who was invited, by the tickets; who she is only a custodian can say. Times
    are UTC seconds, tickets 32 bytes, as `domain.invites.ticket_of` makes them."""

    def add_tickets(self, custodian: str, expiries: Mapping[bytes, int], now: int) -> None:
        """Keeps each ticket until it expires; a known one keeps its time. Of the custodian's, forgets the expired."""
        ...

    def open_tickets(self, custodian: str, now: int) -> int: ...

    def is_open(self, ticket: bytes, now: int) -> bool: ...

    def under(self, ticket: bytes) -> int:
        """How many enrolments came under it."""
        ...

    def add(self, enrolment: SignedEnrol, ticket: bytes | None = None) -> SignedEnrol:
        """Keeps it, under a ticket or without; a known one is returned as it stands, but becomes recognised if
        `enrolment` is."""
        ...

    def find(self, identity: bytes) -> SignedEnrol | None:
        """By the Enrol's struct hash."""
        ...

    def recognise(self, identity: bytes, custodian: str) -> None:
        """identity: the Enrol's struct hash. NotFoundError if this custodian has no such enrolment."""
        ...

    def of_custodian(self, custodian: str, limit: int, after: bytes = b"") -> list[SignedEnrol]:
        """In the order of their struct hashes, from the first after `after`."""
        ...

    def recognised(self, subject: str) -> bool:
        """Whether any custodian recognised this subject: for these the gateway pays."""
        ...
