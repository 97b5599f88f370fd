# SPDX-License-Identifier: Apache-2.0
"""The CopyLedger port: one SQLite file, and lock files beside it that hold processes apart."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from consentum.adapters.store.engine import open_engine, reading, storage_errors, transaction
from consentum.domain.cid import CID_LENGTH, Cid
from consentum.errors import UnavailableError
from consentum.ports.copies import CopyState, Kept, Round, Tally
from consentum.ports.pins import PinStatus

STRIPES: Final = 64
LOCK_SECONDS: Final = 0.02
metadata = MetaData()


def _cid() -> Column[Any]:
    return Column("cid", LargeBinary(CID_LENGTH), primary_key=True)


records = Table("records", metadata, _cid(), Column("state", Integer, nullable=False, index=True))
copies = Table(
    "copies", metadata, _cid(), Column("node", String, primary_key=True), Column("silent", Boolean, nullable=False)
)
debts = Table("debts", metadata, Column("node", String, primary_key=True), _cid())
pins = Table(
    "pins",
    metadata,
    Column("service", String, primary_key=True),
    _cid(),
    Column("status", String, nullable=False),
    Column("again", Float, nullable=False),
)
rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("cursor", LargeBinary, nullable=False),
    Column("began", Float, nullable=False),
    Column("ended", Float, nullable=False),
)
_STATE: Any = bindparam("new_state")
_THIS: Any = bindparam("this")


class CopyBook:
    """`ports.copies.CopyLedger` and `ports.pins.PinLedger` in `path`; the locks are in a folder beside, named `path`
    with `.locks` behind it."""

    def __init__(self, path: Path) -> None:
        self._engine = open_engine(path, metadata)
        self._locks = path.with_name(path.name + ".locks")
        with storage_errors():
            self._locks.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def hold(self, roots: Iterable[Cid], *, alone: bool, seconds: float) -> Iterator[None]:
        """See the port. A lock is for one of 64 parts of all records, so others may wait for it too."""
        kind, until = fcntl.LOCK_EX if alone else fcntl.LOCK_SH, time.monotonic() + seconds
        with ExitStack() as stack:
            # In order, so that no two wait for each other.
            for stripe in sorted({root.digest[0] % STRIPES for root in roots}):
                with storage_errors():
                    file = stack.enter_context((self._locks / str(stripe)).open("a"))
                while not _try_lock(file.fileno(), kind):
                    if time.monotonic() >= until:
                        raise UnavailableError("these records are being written or removed; try again")
                    time.sleep(LOCK_SECONDS)
            yield

    def begin(self, roots: Sequence[Cid]) -> None:
        """See the port."""
        with transaction(self._engine) as db:
            _add(db, records, [{"cid": root.raw, "state": CopyState.WRITING} for root in roots])
            again = update(records).where(records.c.cid == _THIS, records.c.state == CopyState.LEAVING)
            db.execute(again.values(state=CopyState.WRITING), _each(roots))
            db.execute(delete(debts).where(debts.c.cid == _THIS), _each(roots))

    def keep(self, roots: Sequence[Cid], nodes: Sequence[str]) -> None:
        """See the port."""
        with transaction(self._engine) as db:
            self._become(db, roots, CopyState.KEPT)
            _put_copies(db, roots, nodes)

    def leave(self, roots: Sequence[Cid], names: Sequence[str]) -> None:
        """See the port."""
        with transaction(self._engine) as db:
            self._become(db, roots, CopyState.LEAVING)
            for table in (copies, pins):
                db.execute(delete(table).where(table.c.cid == _THIS), _each(roots))
            _add(db, debts, [{"cid": root.raw, "node": name} for root in roots for name in names])

    def paid(self, root: Cid, name: str) -> None:
        """See the port. The record's row goes with its last debt."""
        with transaction(self._engine) as db:
            db.execute(delete(debts).where(debts.c.cid == root.raw, debts.c.node == name))
            others = select(debts.c.cid).where(debts.c.cid == root.raw).exists()
            gone = delete(records).where(records.c.cid == root.raw, records.c.state == CopyState.LEAVING, ~others)
            db.execute(gone)

    def seen(self, root: Cid, node: str, whole: bool | None) -> None:
        """See the port."""
        this = (copies.c.cid == root.raw) & (copies.c.node == node)
        with transaction(self._engine) as db:
            if whole is None:
                db.execute(update(copies).where(this).values(silent=True))
            elif not whole:
                db.execute(delete(copies).where(this))
            elif _state(db, root) == CopyState.KEPT:
                _put_copies(db, [root], [node])

    def state(self, root: Cid) -> CopyState | None:
        """See the port."""
        with reading(self._engine) as db:
            return _state(db, root)

    def find(self, root: Cid) -> Kept | None:
        """See the port."""
        with reading(self._engine) as db:
            return _kept(db, root.raw) if _state(db, root) == CopyState.KEPT else None

    def after(self, cursor: bytes, limit: int) -> list[Kept]:
        """See the port."""
        query = select(records.c.cid).where(records.c.cid > cursor, records.c.state == CopyState.KEPT)
        with reading(self._engine) as db:
            return [_kept(db, raw) for (raw,) in db.execute(query.order_by(records.c.cid).limit(limit)).all()]

    def writing(self) -> list[Cid]:
        """See the port."""
        with reading(self._engine) as db:
            found = db.execute(select(records.c.cid).where(records.c.state == CopyState.WRITING)).all()
        return [Cid(raw) for (raw,) in found]

    def owed(self, name: str, limit: int) -> list[Cid]:
        """See the port."""
        with reading(self._engine) as db:
            found = db.execute(select(debts.c.cid).where(debts.c.node == name).order_by(debts.c.cid).limit(limit)).all()
        return [Cid(raw) for (raw,) in found]

    def tally(self, nodes: Sequence[str], wanted: int) -> Tally:
        """See the port."""
        held = select(copies.c.cid, func.count().label("held")).where(copies.c.node.in_(list(nodes)))
        found = held.where(~copies.c.silent).group_by(copies.c.cid).subquery()
        lacking = wanted - func.min(wanted, func.coalesce(found.c.held, 0))
        query = select(func.count(), func.coalesce(func.sum(lacking), 0)).select_from(
            records.outerjoin(found, records.c.cid == found.c.cid)
        )
        with reading(self._engine) as db:
            count, missing = db.execute(query.where(records.c.state == CopyState.KEPT)).one()
            owed = db.execute(select(func.count()).select_from(debts)).scalar_one()
        return Tally(count, missing, owed)

    def round(self) -> Round:
        """See the port."""
        with reading(self._engine) as db:
            row = db.execute(select(rounds.c.cursor, rounds.c.began, rounds.c.ended)).first()
        return Round() if row is None else Round(*row)

    def set_round(self, where: Round) -> None:
        """See the port."""
        row = {"id": 1, "cursor": where.cursor, "began": where.began, "ended": where.ended}
        with transaction(self._engine) as db:
            db.execute(insert(rounds).prefix_with("OR REPLACE"), row)

    def to_pin(self, service: str, now: float, limit: int) -> list[Kept]:
        """See `ports.pins.PinLedger`."""
        mine = records.outerjoin(pins, (records.c.cid == pins.c.cid) & (pins.c.service == service))
        due = (records.c.state == CopyState.KEPT) & (func.coalesce(pins.c.again, 0.0) <= now)
        with reading(self._engine) as db:
            found = db.execute(select(records.c.cid).select_from(mine).where(due).limit(limit)).scalars().all()
            return [_kept(db, raw) for raw in found]

    def pinned(self, root: Cid, service: str, status: PinStatus, again: float) -> None:
        """See `ports.pins.PinLedger`."""
        row = {"cid": root.raw, "service": service, "status": status.value, "again": again}
        with transaction(self._engine) as db:
            if _state(db, root) == CopyState.KEPT:
                db.execute(insert(pins).prefix_with("OR REPLACE"), row)

    def unpinned(self, services: Sequence[str]) -> int:
        """See `ports.pins.PinLedger`."""
        have = select(func.count()).where(pins.c.status == PinStatus.PINNED.value, pins.c.service.in_(list(services)))
        kept = select(func.count()).where(records.c.state == CopyState.KEPT)
        with reading(self._engine) as db:
            wanted = len(services) * int(db.execute(kept).scalar_one())
            return wanted - int(db.execute(have).scalar_one())

    def close(self) -> None:
        """See the port."""
        self._engine.dispose()

    @staticmethod
    def _become(db: Connection, which: Sequence[Cid], state: CopyState) -> None:
        _add(db, records, [{"cid": root.raw, "state": state} for root in which])
        changed = [{"this": root.raw, "new_state": state} for root in which]
        db.execute(update(records).where(records.c.cid == _THIS).values(state=_STATE), changed)


def _each(which: Sequence[Cid]) -> list[dict[str, bytes]]:
    return [{"this": root.raw} for root in which]


def _add(db: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        db.execute(insert(table).prefix_with("OR IGNORE"), rows)


def _put_copies(db: Connection, which: Sequence[Cid], nodes: Sequence[str]) -> None:
    rows = [{"cid": root.raw, "node": node, "silent": False} for root in which for node in nodes]
    if rows:
        db.execute(insert(copies).prefix_with("OR REPLACE"), rows)


def _state(db: Connection, root: Cid) -> CopyState | None:
    found = db.execute(select(records.c.state).where(records.c.cid == root.raw)).scalar()
    return None if found is None else CopyState(found)


def _kept(db: Connection, raw: bytes) -> Kept:
    return Kept(Cid(raw), frozenset(db.execute(select(copies.c.node).where(copies.c.cid == raw)).scalars()))


def _try_lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
