# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of enrolments: signed words of subjects, and whether their custodian recognised them."""

from __future__ import annotations

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
    """Durable on return. The gateway cannot tell a patient from a stranger: only a custodian can, and says so."""

    def add(self, enrolment: SignedEnrol) -> SignedEnrol:
        """Keeps it; a known one is returned as it stands, but becomes recognised if `enrolment` is."""
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

    def waiting(self, custodian: str) -> int:
        """How many nobody has recognised yet: anybody can send some, so the caller caps them."""
        ...

    def recognised(self, subject: str) -> bool:
        """Whether any custodian recognised this subject: for these the gateway pays."""
        ...
