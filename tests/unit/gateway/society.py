# SPDX-License-Identifier: Apache-2.0
"""A board of three that decides by two, a lead and her study, on the gateway's fakes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.registry_messages import Propose, Terms
from consentum.domain.terms import Access, Category, Purpose
from consentum.flow.client import boards
from consentum.flow.gateway import studies
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.registries import BoardFacts, StudyFacts
from tests.fakes.registries import MemoryRegistries

FORM = "I agree that the study computes on my laboratory values."
WORDS = {"name": "blood-values", "title": "Blood values", "summary": "What blood tells."}
TERMS = Terms(int(Purpose.HEALTH_RESEARCH), 0, int(Category.LABORATORY), int(Access.COMPUTE), (), bytes(32))
BOARD = b"\xb0" * 32


def _members() -> list[WalletKey]:
    return sorted((WalletKey() for _ in range(3)), key=lambda key: key.address.lower())


@dataclass(slots=True)
class Society:
    """The gateway pays for the board. Facts are put on the chain by hand."""

    gateway: Gateway
    members: list[WalletKey] = field(default_factory=_members)
    lead: WalletKey = field(default_factory=WalletKey)
    study: bytes = b""

    def __post_init__(self) -> None:
        self.gateway.sponsorship = replace(self.gateway.sponsorship, boards=frozenset({BOARD}))
        self.board(nonce=0)

    @property
    def chain(self) -> MemoryRegistries:
        found = self.gateway.registries
        assert isinstance(found, MemoryRegistries)
        return found

    def board(self, nonce: int, quorum: int = 2) -> None:
        members = tuple(member.address.lower() for member in self.members)
        self.chain.boards[BOARD] = BoardFacts(members, quorum, nonce)

    def proposal(self, lead: WalletKey | None = None, board: bytes = BOARD, **changes: Any) -> dict[str, Any]:
        signed = boards.propose(self.chain.study_domain, lead or self.lead, board, TERMS, [FORM])
        assert isinstance(signed.message, Propose)
        return {**boards.propose_body(signed, WORDS, [FORM]), **changes}

    def proposed(self, body: dict[str, Any], status: str = "proposed", version: int = 0) -> bytes:
        """The chain has it."""
        message = typed.from_json(Propose, body["propose"])
        self.study = typed.struct_hash(message)
        facts = StudyFacts(message.lead, message.board, status, version, 1, 9 if version else 0, 0)
        self.chain.studies[self.study] = facts
        self.chain.versions[self.study, 1] = message.terms
        return self.study

    def given(self, body: dict[str, Any]) -> dict[str, Any]:
        """Handed in by its lead."""
        return studies.propose(self.gateway, body, body["propose"]["lead"])

    def vote(self, number: int, message: Any) -> dict[str, Any]:
        return boards.vote(self.chain.study_domain, self.members[number], message)
