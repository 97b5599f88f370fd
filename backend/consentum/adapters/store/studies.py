# SPDX-License-Identifier: Apache-2.0
"""The StudyBook port, in the gateway's sealed file."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, LargeBinary, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.crypto import typed
from consentum.domain.registry_messages import Amend, Propose
from consentum.errors import ConflictError, NotFoundError
from consentum.ports.studies import Card, Motion

studies = sealed_table("studies", Column("name", LargeBinary(32), nullable=False, unique=True))
motions = sealed_table(
    "motions",
    Column("board", LargeBinary(32), nullable=False, index=True),
    Column("made_at", BigInteger, nullable=False),
)
Plain = dict[str, Any]


class StudyShelf:
    """`ports.studies.StudyBook`."""

    def __init__(self, file: SealedFile) -> None:
        self._file = file

    def add_card(self, card: Card) -> Card:
        tag = self._file.tag(card.name)
        plain = {"propose": typed.to_json(card.propose), "name": card.name, "title": card.title}
        plain |= {"summary": card.summary, "amendments": {}, "members": []}
        row = {"id": card.study, "name": tag, "box": self._file.seal(card.study, plain)}
        with transaction(self._file.engine) as connection:
            taken = connection.execute(select(studies.c.id).where(studies.c.name == tag)).scalar_one_or_none()
            if taken not in (None, card.study):
                raise ConflictError("another study has this name", field="name")
            connection.execute(insert(studies).prefix_with("OR IGNORE"), row)
        return self.card(card.study)

    def card(self, name: str | bytes) -> Card:
        mine = studies.c.id == name if isinstance(name, bytes) else studies.c.name == self._file.tag(name)
        with reading(self._file.engine) as connection:
            row = connection.execute(select(studies).where(mine)).first()
        if row is None:
            raise NotFoundError("no such study", field="study")
        return _card(row.id, self._file.open(row.id, row.box))

    def cards(self) -> list[Card]:
        with reading(self._file.engine) as connection:
            rows = connection.execute(select(studies).order_by(studies.c.id)).all()
        return [_card(row.id, self._file.open(row.id, row.box)) for row in rows]

    def amend(self, amend: Amend) -> Card:
        def change(plain: Plain) -> None:
            plain["amendments"][str(amend.version)] = typed.to_json(amend)

        return self._change_card(amend.study, change)

    def add_member(self, study: bytes, member: str) -> Card:
        def change(plain: Plain) -> None:
            plain["members"] = sorted({*plain["members"], member.lower()})

        return self._change_card(study, change)

    def _change_card(self, study: bytes, change: Callable[[Plain], None]) -> Card:
        with transaction(self._file.engine) as connection:
            box = connection.execute(select(studies.c.box).where(studies.c.id == study)).scalar_one_or_none()
            if box is None:
                raise NotFoundError("no such study", field="study")
            plain = self._file.open(study, box)
            change(plain)
            new = self._file.seal(study, plain)
            connection.execute(update(studies).where(studies.c.id == study).values(box=new))
        return _card(study, plain)

    def vote(self, motion: Motion, member: str, signature: bytes) -> Motion:
        row = {"id": motion.id, "board": motion.board, "made_at": time.time_ns()}
        row["box"] = self._file.seal(motion.id, _motion_json(motion))

        def change(plain: Plain) -> None:
            if member.lower() in plain["recused"]:
                raise ConflictError("this member recused herself", field="member")
            plain["votes"][member.lower()] = "0x" + signature.hex()

        return self._change_motion(motion.id, change, row)

    def recuse(self, motion: bytes, member: str) -> Motion:
        def change(plain: Plain) -> None:
            plain["votes"].pop(member.lower(), None)
            plain["recused"] = sorted({*plain["recused"], member.lower()})

        return self._change_motion(motion, change)

    def _change_motion(
        self, identity: bytes, change: Callable[[Plain], None], new: Mapping[str, Any] | None = None
    ) -> Motion:
        with transaction(self._file.engine) as connection:
            if new is not None:
                connection.execute(insert(motions).prefix_with("OR IGNORE"), dict(new))
            row = connection.execute(select(motions).where(motions.c.id == identity)).first()
            if row is None:
                raise NotFoundError("no such motion", field="motion")
            plain = self._file.open(identity, row.box)
            change(plain)
            box = self._file.seal(identity, plain)
            connection.execute(update(motions).where(motions.c.id == identity).values(box=box))
        return _motion(identity, row.board, plain)

    def motion(self, identity: bytes) -> Motion:
        with reading(self._file.engine) as connection:
            row = connection.execute(select(motions).where(motions.c.id == identity)).first()
        if row is None:
            raise NotFoundError("no such motion", field="motion")
        return _motion(row.id, row.board, self._file.open(row.id, row.box))

    def motions(self, board: bytes) -> list[Motion]:
        query = select(motions).where(motions.c.board == board).order_by(motions.c.made_at)
        with reading(self._file.engine) as connection:
            rows = connection.execute(query).all()
        return [_motion(row.id, row.board, self._file.open(row.id, row.box)) for row in rows]


def _card(study: bytes, plain: Plain) -> Card:
    amendments = {int(version): typed.from_json(Amend, a) for version, a in plain["amendments"].items()}
    propose = typed.from_json(Propose, plain["propose"])
    words = (plain["name"], plain["title"], plain["summary"])
    return Card(study, propose, *words, amendments, tuple(plain["members"]))


def _motion_json(motion: Motion) -> Plain:
    return {"kind": motion.kind, "message": dict(motion.message), "votes": {}, "recused": []}


def _motion(identity: bytes, board: bytes, plain: Plain) -> Motion:
    return Motion(identity, plain["kind"], board, plain["message"], plain["votes"], tuple(plain["recused"]))
