# SPDX-License-Identifier: Apache-2.0
"""The part of the GatewayStore port that queues messages for the chain, such that nobody's flood delays another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    Engine,
    LargeBinary,
    Select,
    String,
    Table,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, metadata, parts, sealed_table
from consentum.errors import NotFoundError
from consentum.ports.gateway_store import ENDINGS, ENDINGS_AT_ONCE, SUPERSEDING, Relayed

relays = sealed_table(
    "relays",
    Column("state", String(8), nullable=False, index=True),
    Column("attempts", BigInteger, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("ends_something", Boolean, nullable=False),
)
# lane: a tag of whom the message is about, of no use for finding her elsewhere in the file; ending: its place in
# ENDINGS, from 1, or 0. Messages from before there were lanes have none, and stand each in one of its own.
lanes = Table(
    "lanes",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("lane", LargeBinary(32), nullable=False, index=True),
    Column("ending", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
)


_SUPERSEDING = [ENDINGS.index(kind) + 1 for kind in SUPERSEDING]


class RelayQueue:
    """What `GatewayDatabase` does with messages; it brings the file."""

    _file: SealedFile
    _engine: Engine

    def enqueue(self, message: Relayed) -> Relayed:
        plain = {"kind": message.kind, "subject": message.subject, "value": message.value}
        box = self._file.seal(message.id, {**plain, "signature": message.signature.hex()})
        lane = {"id": message.id, "lane": self._lane(message.subject), "until": message.until}
        lane["ending"] = ENDINGS.index(message.kind) + 1 if message.kind in ENDINGS else 0
        with transaction(self._engine) as connection:
            row = {"id": message.id, "state": message.state, "box": box, "attempts": 0, "queued_at": time.time_ns()}
            row["ends_something"] = message.kind in ENDINGS
            connection.execute(insert(relays).prefix_with("OR IGNORE"), row)
            connection.execute(insert(lanes).prefix_with("OR IGNORE"), lane)
            # Refused once is not refused for ever: its signer may be entitled by now, as the caller has just seen.
            again = (relays.c.id == message.id, relays.c.state == "refused")
            connection.execute(update(relays).where(*again).values(state="queued", attempts=0, box=box))
        return self.relayed(message.id)

    def queued(self, limit: int) -> list[Relayed]:
        with reading(self._engine) as connection:
            rows = connection.execute(_in_turn().limit(limit)).all()
        return [self._relayed(row) for row in rows]

    def waiting(self, subject: str, kind: str) -> int:
        hers = (
            lanes.c.lane == self._lane(subject),
            lanes.c.ending == ENDINGS.index(kind) + 1,
            relays.c.state == "queued",
        )
        query = select(func.count()).select_from(lanes.join(relays, relays.c.id == lanes.c.id)).where(*hers)
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar_one())

    def failed(self, identity: bytes, at_most: int) -> None:
        with transaction(self._engine) as connection:
            mine = relays.c.id == identity
            connection.execute(update(relays).where(mine).values(attempts=relays.c.attempts + 1))
            spent = (mine, relays.c.attempts >= at_most, relays.c.state == "queued")
            connection.execute(update(relays).where(*spent).values(state="refused"))

    def mark(self, ids: Sequence[bytes], state: str) -> None:
        wanted: BindParameter[bytes] = bindparam("ids", expanding=True)
        with transaction(self._engine) as connection:
            for part in parts(list(ids)):
                connection.execute(update(relays).where(relays.c.id.in_(wanted)).values(state=state), {"ids": part})
                if state == "mined":
                    covered = (relays.c.state == "queued", relays.c.id.in_(_covered(wanted)))
                    connection.execute(update(relays).where(*covered).values(state=state), {"ids": part})

    def relayed(self, identity: bytes) -> Relayed:
        with reading(self._engine) as connection:
            row = connection.execute(select(relays).where(relays.c.id == identity)).first()
        if row is None:
            raise NotFoundError("no such message", field="id")
        return self._relayed(row)

    def _lane(self, subject: str) -> bytes:
        return self._file.tag(f"lane {subject}")

    def _relayed(self, row: Any) -> Relayed:
        plain = self._file.open(row.id, row.box)
        signature = bytes.fromhex(plain["signature"])
        return Relayed(row.id, plain["kind"], plain["subject"], plain["value"], signature, row.state)


def _in_turn() -> Select[Any]:
    """The queue: endings first, then everybody's first before anybody's second."""
    lane = func.coalesce(lanes.c.lane, relays.c.id).label("lane")
    supersedes = func.coalesce(lanes.c.ending.in_(_SUPERSEDING), False).label("supersedes")
    first = func.row_number().over(
        partition_by=[lane, lanes.c.ending], order_by=[relays.c.attempts, lanes.c.until.desc(), relays.c.queued_at]
    )
    everything = (
        select(relays, lane, supersedes, first.label("place"))
        .select_from(relays.outerjoin(lanes, lanes.c.id == relays.c.id))
        .where(relays.c.state == "queued")
        .subquery()
    )
    e = everything.c
    order = [e.supersedes.desc(), e.attempts, e.queued_at]
    turn = func.row_number().over(partition_by=[e.lane, e.ends_something], order_by=order).label("turn")
    left = select(everything, turn).where(or_(e.supersedes.is_(False), e.place == 1)).subquery()
    return (
        select(left)
        .where(or_(left.c.ends_something.is_(False), left.c.turn <= ENDINGS_AT_ONCE))
        .order_by(left.c.ends_something.desc(), left.c.turn, left.c.attempts, left.c.queued_at)
    )


def _covered(ids: Any) -> Select[Any]:
    """Of whose subject and kind one of these reaches as far or further."""
    further = lanes.alias("further")
    same = (further.c.lane == lanes.c.lane, further.c.ending == lanes.c.ending, further.c.until >= lanes.c.until)
    return (
        select(lanes.c.id)
        .join(further, (same[0]) & (same[1]) & (same[2]))
        .where(further.c.id.in_(ids), lanes.c.ending.in_(_SUPERSEDING))
    )
