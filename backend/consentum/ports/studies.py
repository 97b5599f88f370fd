# SPDX-License-Identifier: Apache-2.0
"""What a gateway keeps of studies and boards' decisions: cards, amendments, motions. What counts is on chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from consentum.domain.registry_messages import Amend, Propose


@dataclass(frozen=True, slots=True)
class Card:
    """How a study is shown: its proposal, whose struct hash is its id, and words for people. amendments by version;
    members: whom the lead let in or out, to be asked of the chain."""

    study: bytes
    propose: Propose
    name: str
    title: str
    summary: str
    amendments: Mapping[int, Amend] = field(default_factory=dict)
    members: tuple[str, ...] = ()

    def forms_of(self, version: int) -> tuple[bytes, ...]:
        """The forms proposed with a version, as far as they came through this gateway."""
        if version == 1:
            return self.propose.forms
        return self.amendments[version].forms if version in self.amendments else ()


@dataclass(frozen=True, slots=True)
class Motion:
    """A decision a board votes on: one message with the board's nonce. votes: signatures (0x) by member, lower-case;
    recused: members whose votes do not count; message: its JSON."""

    id: bytes
    kind: str
    board: bytes
    message: Mapping[str, Any]
    votes: Mapping[str, str] = field(default_factory=dict)
    recused: tuple[str, ...] = ()


class StudyBook(Protocol):
    """Durable on return."""

    def add_card(self, card: Card) -> Card:
        """Keeps it; a study's first card stays. ConflictError if another study has the name."""
        ...

    def card(self, name: str | bytes) -> Card:
        """By name or study id. NotFoundError if there is none."""
        ...

    def cards(self) -> list[Card]:
        """In the order of their ids."""
        ...

    def amend(self, amend: Amend) -> Card:
        """Adds a version to a card; a later signed one of the same version replaces it."""
        ...

    def add_member(self, study: bytes, member: str) -> Card: ...

    def vote(self, motion: Motion, member: str, signature: bytes) -> Motion:
        """Adds a vote, and the motion if it is new. ConflictError if she recused herself."""
        ...

    def recuse(self, motion: bytes, member: str) -> Motion:
        """Takes her vote back for good. NotFoundError if there is no such motion."""
        ...

    def motion(self, identity: bytes) -> Motion: ...

    def motions(self, board: bytes) -> list[Motion]:
        """Oldest first."""
        ...
