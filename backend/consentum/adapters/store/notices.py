# SPDX-License-Identifier: Apache-2.0
"""The part of a key server's store that keeps notices: for ever, in the order of their coming, and what is still to be
done about each."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Engine,
    Select,
    Subquery,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from consentum.adapters.store import tables
from consentum.adapters.store.engine import reading, transaction
from consentum.ports.server_store import ON_CHAIN_AT_ONCE, SUPERSEDING, Arrival, NoticeRow

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
        furthest = func.row_number().over(
            partition_by=[t.c.subject, t.c.kind], order_by=[a.c.attempts, t.c.until.desc(), a.c.number]
        )
        waiting = (
            select(a.c.number, a.c.at, a.c.attempts, t, furthest.label("place"))
            .join(t, t.c.id == a.c.notice)
            .where(a.c.settled.is_(False), a.c.at <= until, t.c.judged.is_(True), known)
            .subquery()
        )
        with reading(self._engine) as connection:
            return [_arrival(row) for row in connection.execute(_in_turn(waiting).limit(limit))]

    def settle(self, numbers: Sequence[int]) -> None:
        a, t = tables.arrivals, tables.notices
        further = t.alias("further")
        same = (further.c.subject == t.c.subject) & (further.c.kind == t.c.kind) & (further.c.until >= t.c.until)
        wanted: BindParameter[int] = bindparam("numbers", expanding=True)
        settled = select(a.c.notice).where(a.c.number.in_(wanted))
        covered = select(t.c.id).join(further, same).where(further.c.id.in_(settled), t.c.kind.in_(SUPERSEDING))
        with self._lock, transaction(self._engine) as connection:
            for where in (a.c.number.in_(wanted), a.c.notice.in_(covered)):
                connection.execute(update(a).where(where).values(settled=True), {"numbers": list(numbers)})

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


def _in_turn(waiting: Subquery) -> Select[Any]:
    """Every subject's first before anybody's second. waiting has a column `place`: 1 for the furthest of a subject's
    notices of one kind."""
    w = waiting.c
    supersedes = w.kind.in_(SUPERSEDING)
    order = [supersedes.desc(), w.attempts, w.number]
    turn = func.row_number().over(partition_by=w.subject, order_by=order).label("turn")
    left = select(waiting, turn).where(or_(~supersedes, w.place == 1)).subquery()
    query = select(left).where(left.c.turn <= ON_CHAIN_AT_ONCE)
    return query.order_by(left.c.turn, left.c.attempts, left.c.number)


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
