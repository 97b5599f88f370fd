# SPDX-License-Identifier: Apache-2.0
"""What R3 and R5 do inside the one transaction of a commit: the once-only row, budgets and the velocity cap.

What has run out refuses single records, never the page: one patient's spent budget is no reason to keep back others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import BindParameter, Connection, bindparam, delete, func, insert, select, update

from consentum.adapters.store import tables
from consentum.domain.journal import Entry
from consentum.errors import OutdatedError, Reason, ReplayedError
from consentum.ports.server_store import Debit, Decision, ReleaseKey

DAY_SECONDS = 86_400
Outcomes = dict[int, tuple[int, bool]]
"""By position: leaf, and whether it was allowed."""


def seen(connection: Connection, key: ReleaseKey) -> Outcomes | None:
    """The page's earlier outcomes; None the first time. A nonce belongs to one digest for ever."""
    t = tables.releases
    row = connection.execute(select(t.c.digest).where(t.c.runner == key.runner, t.c.nonce == key.nonce)).first()
    if row is None:
        return None
    if row.digest != key.digest:
        raise ReplayedError(field="nonce")
    items = tables.release_items
    found = connection.execute(select(items).where(items.c.digest == key.digest))
    return {item.position: (item.leaf, item.allowed) for item in found}


def place(known: Outcomes | None, entries: Sequence[Entry], size: int) -> tuple[list[int], list[int]]:
    """Leaf per record, and the positions that need a new one: all at first, later those with another outcome."""
    leaves: list[int] = []
    fresh: list[int] = []
    for position, entry in enumerate(entries):
        before = (known or {}).get(position)
        if before is not None and before[1] == (entry.reason == Reason.ALLOWED):
            leaves.append(before[0])
        else:
            leaves.append(size + len(fresh))
            fresh.append(position)
    return leaves, fresh


def nothing_came_between(connection: Connection, decision: Decision) -> None:
    """A notice or a retraction that was acknowledged before this transaction counts, even if it came after the
    decision."""
    wanted: BindParameter[str] = bindparam("subjects", expanding=True)
    query = select(func.count()).select_from(tables.notices).where(tables.notices.c.subject.in_(wanted))
    if connection.execute(query, {"subjects": list(decision.subjects)}).scalar_one() != decision.notices:
        raise OutdatedError
    allowed = [bytes.fromhex(entry.record[2:]) for entry in decision.entries if entry.reason == Reason.ALLOWED]
    gone = select(tables.tombstones.c.record).where(tables.tombstones.c.record.in_(allowed)).limit(1)
    if allowed and connection.execute(gone).first() is not None:
        raise OutdatedError


def within_budgets(connection: Connection, entries: Sequence[Entry], debits: Sequence[Debit]) -> list[Entry]:
    """The entries, with BUDGET for every record whose consent has too little left for this job."""
    t, spent = tables.debits, dict[bytes, int]()
    decided = list(entries)
    for debit in debits:
        if debit.commitment not in spent:
            others = select(func.coalesce(func.sum(t.c.epsilon_milli), 0)).where(
                t.c.commitment == debit.commitment, t.c.job != debit.job
            )
            spent[debit.commitment] = connection.execute(others).scalar_one()
        if spent[debit.commitment] + debit.epsilon_milli > debit.limit:
            decided[debit.position] = _refused(decided[debit.position], Reason.BUDGET)
    return decided


def within_cap(
    connection: Connection, decision: Decision, entries: Sequence[Entry], known: Outcomes | None
) -> list[Entry]:
    """The entries, with LIMIT for what is over the requester's cap of a day; what was released before comes first, so
    that a lost answer can be fetched again."""
    key, t = decision.key, tables.releases
    since = entries[0].decided_at - DAY_SECONDS
    recent = select(func.coalesce(func.sum(t.c.granted), 0)).where(
        t.c.requester == key.requester, t.c.decided_at > since, t.c.digest != key.digest
    )
    before = connection.execute(select(t.c.granted).where(t.c.digest == key.digest)).scalar() or 0
    # A page counts with the most it was ever granted: asking first without openings must not pass the cap.
    room = max(before, decision.daily_cap - connection.execute(recent).scalar_one())
    return trimmed(entries, known, room)


def trimmed(entries: Sequence[Entry], known: Outcomes | None, room: int) -> list[Entry]:
    """At most `room` entries stay allowed: those that were allowed before, then in the order of the page."""
    wanting = [position for position, entry in enumerate(entries) if entry.reason == Reason.ALLOWED]
    wanting.sort(key=lambda position: not (known or {}).get(position, (0, False))[1])
    over = set(wanting[max(room, 0) :])
    return [_refused(entry, Reason.LIMIT) if n in over else entry for n, entry in enumerate(entries)]


def debit(connection: Connection, decision: Decision, entries: Sequence[Entry]) -> None:
    """Takes the budget of what is released, once per job and consent."""
    for one in decision.debits:
        if entries[one.position].reason == Reason.ALLOWED:
            values = {"commitment": one.commitment, "job": one.job, "epsilon_milli": one.epsilon_milli}
            connection.execute(insert(tables.debits).prefix_with("OR IGNORE"), values)


def write_once(
    connection: Connection, decision: Decision, leaves: Sequence[int], granted: Sequence[bool], first: bool
) -> None:
    """The once-only row, and the outcome of each record."""
    key, t, items = decision.key, tables.releases, tables.release_items
    many = sum(granted)
    if first:
        values = {"digest": key.digest, "runner": key.runner, "nonce": key.nonce, "requester": key.requester}
        connection.execute(insert(t), {**values, "decided_at": decision.entries[0].decided_at, "granted": many})
    else:
        mine = t.c.digest == key.digest
        connection.execute(update(t).where(mine).values(granted=func.max(t.c.granted, many)))
        connection.execute(delete(items).where(items.c.digest == key.digest))
    rows = [
        {"digest": key.digest, "position": position, "leaf": leaf, "allowed": allowed}
        for position, (leaf, allowed) in enumerate(zip(leaves, granted, strict=True))
    ]
    connection.execute(insert(items), rows)


def _refused(entry: Entry, reason: Reason) -> Entry:
    return replace(entry, reason=int(reason))
