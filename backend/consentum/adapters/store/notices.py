# SPDX-License-Identifier: Apache-2.0
"""The part of a key server's store that keeps notices: for ever, in the order of their coming, and what is still to be
done about each."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, exists, insert, or_, select, update

from consentum.adapters.store import tables
from consentum.adapters.store.engine import reading, transaction
from consentum.ports.server_store import Arrival, NoticeRow

_FIELDS = NoticeRow.__slots__


class NoticeShelf:
    """What `KeyServerStore` does with notices; it brings the engine and the lock of writers."""

    _engine: Engine
    _lock: threading.Lock

    def add_notice(self, notice: NoticeRow, at: int = 0) -> bool:
        identity, t = _notice_id(notice), tables.notices
        with self._lock, transaction(self._engine) as connection:
            known = connection.execute(select(t.c.judged).where(t.c.id == identity)).first()
            if known is None:
                values = {name: getattr(notice, name) for name in _FIELDS}
                connection.execute(insert(t), {"id": identity, **values})
                _arrive(connection, identity, at)
            elif notice.judged and not known.judged:
                connection.execute(update(t).where(t.c.id == identity).values(judged=True))
        return known is None

    def notices(self, subjects: Sequence[str]) -> dict[str, list[NoticeRow]]:
        wanted: BindParameter[str] = bindparam("subjects", expanding=True)
        query = select(tables.notices).where(tables.notices.c.subject.in_(wanted))
        found: dict[str, list[NoticeRow]] = {}
        with reading(self._engine) as connection:
            for row in connection.execute(query, {"subjects": sorted({s.lower() for s in subjects})}):
                found.setdefault(row.subject, []).append(_notice(row))
        return found

    def unjudged(self) -> list[NoticeRow]:
        with reading(self._engine) as connection:
            rows = connection.execute(select(tables.notices).where(tables.notices.c.judged.is_(False)).limit(1_000))
            return [_notice(row) for row in rows]

    def drop_unjudged(self, notice: NoticeRow) -> None:
        t, identity = tables.notices, _notice_id(notice)
        with self._lock, transaction(self._engine) as connection:
            if connection.execute(delete(t).where(t.c.id == identity, t.c.judged.is_(False))).rowcount:
                connection.execute(delete(tables.arrivals).where(tables.arrivals.c.notice == identity))

    def arrivals(self, after: int, limit: int) -> list[Arrival]:
        a, t = tables.arrivals, tables.notices
        query = select(a.c.number, a.c.at, t).join(t, t.c.id == a.c.notice).where(a.c.number > after)
        with reading(self._engine) as connection:
            return [_arrival(row) for row in connection.execute(query.order_by(a.c.number).limit(limit))]

    def unsettled(self, until: int, limit: int) -> list[Arrival]:
        a, t, v, e = tables.arrivals, tables.notices, tables.vault, tables.enrolments
        known = or_(
            exists(select(v.c.subject).where(v.c.subject == t.c.subject)),
            exists(select(e.c.subject).where(e.c.subject == t.c.subject)),
        )
        query = (
            select(a.c.number, a.c.at, t)
            .join(t, t.c.id == a.c.notice)
            .where(a.c.settled.is_(False), a.c.at <= until, t.c.judged.is_(True), known)
            .order_by(a.c.attempts, a.c.number)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [_arrival(row) for row in connection.execute(query)]

    def settle(self, numbers: Sequence[int]) -> None:
        a = tables.arrivals
        with self._lock, transaction(self._engine) as connection:
            connection.execute(update(a).where(a.c.number.in_(list(numbers))).values(settled=True))

    def tried(self, numbers: Sequence[int], at_most: int) -> None:
        a = tables.arrivals
        mine = a.c.number.in_(list(numbers))
        with self._lock, transaction(self._engine) as connection:
            connection.execute(update(a).where(mine).values(attempts=a.c.attempts + 1))
            connection.execute(update(a).where(mine, a.c.attempts >= at_most).values(settled=True))

    def passed_on(self, peer: str) -> int:
        t = tables.passed
        with reading(self._engine) as connection:
            return int(connection.execute(select(t.c.number).where(t.c.peer == peer)).scalar() or 0)

    def pass_on(self, peer: str, number: int) -> None:
        values = {"peer": peer, "number": number}
        with self._lock, transaction(self._engine) as connection:
            connection.execute(insert(tables.passed).prefix_with("OR REPLACE"), values)


def number_all(connection: Connection) -> None:
    """Gives every notice that has no number yet one: a vault that was made before there were any has none."""
    a, t = tables.arrivals, tables.notices
    without = select(t.c.id).where(t.c.id.not_in(select(a.c.notice)))
    for row in connection.execute(without).all():
        _arrive(connection, row.id, 0)


def _arrive(connection: Connection, identity: bytes, at: int) -> None:
    values = {"notice": identity, "at": at, "settled": False, "attempts": 0}
    connection.execute(insert(tables.arrivals), values)


def _notice_id(notice: NoticeRow) -> bytes:
    # With the signature: a forged notice must not stand in for the genuine one.
    return hashlib.sha256(f"{notice.kind}\n{notice.message}\n".encode() + notice.signature).digest()


def _notice(row: object) -> NoticeRow:
    return NoticeRow(**{name: getattr(row, name) for name in _FIELDS})


def _arrival(row: Any) -> Arrival:
    return Arrival(row.number, row.at, _notice(row))
