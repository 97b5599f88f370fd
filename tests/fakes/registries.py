# SPDX-License-Identifier: Apache-2.0
"""Boards, studies and identities in dictionaries: what a test puts there is what the chain holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from consentum.crypto.typed import Domain
from consentum.domain.registry_messages import Terms
from consentum.ports.registries import BoardFacts, IdentityFacts, StudyFacts

NOBODY = "0x" + "00" * 20


@dataclass(slots=True)
class MemoryRegistries:
    """`ports.registries.Registries`."""

    did_domain: Domain = field(default_factory=lambda: Domain(31337, "0x" + "d1" * 20))
    study_domain: Domain = field(default_factory=lambda: Domain(31337, "0x" + "5d" * 20))
    identities: dict[str, IdentityFacts] = field(default_factory=dict)
    boards: dict[bytes, BoardFacts] = field(default_factory=dict)
    studies: dict[bytes, StudyFacts] = field(default_factory=dict)
    versions: dict[tuple[bytes, int], Terms] = field(default_factory=dict)
    approved: set[tuple[bytes, bytes]] = field(default_factory=set)
    allowed: set[tuple[bytes, str]] = field(default_factory=set)

    def identity(self, identity: str) -> IdentityFacts:
        return self.identities.get(identity.lower(), IdentityFacts(identity.lower(), 0, 0))

    def board(self, board: bytes) -> BoardFacts:
        return self.boards.get(board, BoardFacts((), 0, 0))

    def study(self, study: bytes) -> StudyFacts:
        return self.studies.get(study, StudyFacts(NOBODY, bytes(32), "none", 0, 0, 0, 0))

    def terms(self, study: bytes, version: int) -> Terms:
        return self.versions.get((study, version), Terms(0, 0, 0, 0, (), bytes(32)))

    def forms_approved(self, study: bytes, forms: Sequence[bytes]) -> list[bool]:
        return [(study, form) in self.approved for form in forms]

    def members(self, study: bytes, among: Sequence[str]) -> list[bool]:
        return [who.lower() == self.study(study).lead or (study, who.lower()) in self.allowed for who in among]
