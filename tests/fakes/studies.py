# SPDX-License-Identifier: Apache-2.0
"""Study cards and motions in memory."""

from __future__ import annotations

from dataclasses import replace
from threading import RLock

from consentum.domain.registry_messages import Amend
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.studies import Card, Motion


class MemoryStudies:
    """`ports.studies.StudyBook`."""

    def __init__(self) -> None:
        self._cards: dict[bytes, Card] = {}
        self._motions: dict[bytes, Motion] = {}
        self._lock = RLock()

    def add_card(self, card: Card) -> Card:
        with self._lock:
            if any(other.name == card.name and other.study != card.study for other in self._cards.values()):
                raise ConflictError("another study has this name", field="name")
            return self._cards.setdefault(card.study, card)

    def card(self, name: str | bytes) -> Card:
        for card in self.cards():
            if name in (card.study, card.name):
                return card
        raise NotFoundError("no such study", field="study")

    def cards(self) -> list[Card]:
        return [self._cards[study] for study in sorted(self._cards)]

    def amend(self, amend: Amend) -> Card:
        with self._lock:
            card = self.card(amend.study)
            self._cards[card.study] = replace(card, amendments={**card.amendments, amend.version: amend})
            return self._cards[card.study]

    def add_member(self, study: bytes, member: str) -> Card:
        with self._lock:
            card = self.card(study)
            members = tuple(sorted({*card.members, member.lower()}))
            self._cards[study] = replace(card, members=members)
            return self._cards[study]

    def vote(self, motion: Motion, member: str, signature: bytes) -> Motion:
        with self._lock:
            known = self._motions.get(motion.id, replace(motion, votes={}, recused=()))
            if member.lower() in known.recused:
                raise ConflictError("this member recused herself", field="member")
            votes = {**known.votes, member.lower(): "0x" + signature.hex()}
            self._motions[motion.id] = replace(known, votes=votes)
            return self._motions[motion.id]

    def recuse(self, motion: bytes, member: str) -> Motion:
        with self._lock:
            known = self.motion(motion)
            votes = {who: vote for who, vote in known.votes.items() if who != member.lower()}
            recused = tuple(sorted({*known.recused, member.lower()}))
            self._motions[motion] = replace(known, votes=votes, recused=recused)
            return self._motions[motion]

    def motion(self, identity: bytes) -> Motion:
        if identity not in self._motions:
            raise NotFoundError("no such motion", field="motion")
        return self._motions[identity]

    def motions(self, board: bytes) -> list[Motion]:
        return [motion for motion in self._motions.values() if motion.board == board]
