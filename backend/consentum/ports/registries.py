# SPDX-License-Identifier: Apache-2.0
"""What the gateway and its clients read of boards, studies and identities: to show it, and to send what is due.

These reads decide nothing: the contracts and ReleasePolicy do. So they are of the latest block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consentum.crypto.typed import Domain
from consentum.domain.registry_messages import Terms

STATUSES = ("none", "proposed", "approved", "rejected", "suspended", "closed")


@dataclass(frozen=True, slots=True)
class BoardFacts:
    """Members ascending; quorum 0 means that there is no such board; nonce: of its next decision."""

    members: tuple[str, ...]
    quorum: int
    nonce: int


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """status is one of STATUSES; version: the approved one (0: none); proposed: the newest; approved_until in UTC
    seconds."""

    lead: str
    board: bytes
    status: str
    version: int
    proposed: int
    approved_until: int
    lead_nonce: int


@dataclass(frozen=True, slots=True)
class IdentityFacts:
    """owner: the controller; nonce: of its next message; recovery_threshold: how many recovery delegates must sign
    together, 0 for no recovery; pending_owner: who becomes the owner, at the earliest at pending_from (UTC seconds, 0
    if nobody does), and whether by_recovery."""

    owner: str
    nonce: int
    recovery_threshold: int
    pending_owner: str | None = None
    pending_from: int = 0
    by_recovery: bool = False


class Registries(Protocol):
    """StudyRegistry and DidRegistry as they stand. UnavailableError when the node fails."""

    @property
    def did_domain(self) -> Domain: ...

    @property
    def study_domain(self) -> Domain: ...

    def identity(self, identity: str) -> IdentityFacts: ...

    def board(self, board: bytes) -> BoardFacts: ...

    def study(self, study: bytes) -> StudyFacts: ...

    def terms(self, study: bytes, version: int) -> Terms: ...

    def forms_approved(self, study: bytes, forms: Sequence[bytes]) -> list[bool]:
        """Whether a consent on each form speaks of the study as it is now approved."""
        ...

    def members(self, study: bytes, among: Sequence[str]) -> list[bool]: ...
