# SPDX-License-Identifier: Apache-2.0
"""The scrubber: reads every copy of every record again, replaces what is missing or damaged, removes what should be
gone.

A copy is good if every block under the root came back from the node and matched its CID; nothing else makes it so. A
record is written again only from blocks verified on the way. It stops nowhere for good: what a node does not answer now
is asked again in the next pass, and a pass that was interrupted goes on where it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Final, Protocol, cast

from consentum.domain.cid import Cid
from consentum.errors import ConsentumError, CorruptError, NotFoundError, UnavailableError
from consentum.ports.copies import CopyState, Kept, LostError, Pins, Replica, ReplicaSet, Tally

log = logging.getLogger("consentum.scrub")
BATCH: Final = 16
STEP_SECONDS: Final = 2.0
DEBTS: Final = 100
WAIT_SECONDS: Final = 1.0


class Holder(Protocol):
    """Whoever may hold a record besides the nodes, and removes it when told: a pinning service."""

    @property
    def name(self) -> str: ...

    def remove(self, root: Cid) -> None:
        """NotFoundError if it does not hold it."""
        ...


@dataclass(slots=True)
class Report:
    """What a pass found and did. copies: verified whole, those just healed included; missing: copies that could not be
    had; lost: records of which no good copy is left anywhere; silent: nodes that did not answer."""

    records: int = 0
    copies: int = 0
    healed: int = 0
    missing: int = 0
    removed: int = 0
    lost: list[Cid] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)


class Scrubber:
    """Works on one set of replicas. every: seconds from the beginning of one pass to that of the next, 0 for none."""

    def __init__(
        self,
        replicas: ReplicaSet,
        every: float,
        services: Sequence[Holder] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._replicas, self._ledger, self._every, self._clock = replicas, replicas.ledger, every, clock
        self._removers: dict[str, Callable[[Cid], None]] = {node.name: node.store.remove for node in replicas.nodes}
        self._ailing, self._again = set[str](), list[Cid]()
        self._removers |= {service.name: service.remove for service in services}

    def tally(self) -> Tally:
        """How everything stands by the last look at it."""
        names = [node.name for node in self._replicas.nodes if not node.retired]
        return self._ledger.tally(names, self._replicas.copies)

    def last_pass(self) -> float:
        """When the last full pass ended, in Unix seconds; 0 for never."""
        return self._ledger.round().ended

    def adopt(self, roots: Iterable[Cid]) -> int:
        """Records that should exist, from elsewhere: those the ledger does not know are missing every copy until the
        next pass. How many they were."""
        unknown = [root for root in roots if self._ledger.state(root) is None]
        if unknown:
            self._ledger.keep(unknown, [])
        return len(unknown)

    def tend(self) -> int:
        """Takes back what was never acknowledged, and removes what is owed where nodes answer; how many it removed."""
        for root in self._ledger.writing():
            self._replicas.take_back(root)
        return sum(self._collect(name, remove) for name, remove in self._removers.items())

    def step(self) -> None:
        """Goes on with the pass, or begins one that is due, for about two seconds or one record."""
        where, now = self._ledger.round(), self._clock()
        if where.began <= where.ended:
            if not self._every or now < where.began + self._every:
                return
            where = replace(where, cursor=b"", began=now)
        until, report = time.monotonic() + STEP_SECONDS, Report()
        while batch := self._ledger.after(where.cursor, BATCH):
            for kept in batch:
                self._examine(kept, report)
                where = replace(where, cursor=kept.root.raw)
                if time.monotonic() >= until:
                    break
            self._ledger.set_round(where)
            if time.monotonic() >= until:
                self._log(report)
                return
        self._once_more(report)
        self._ledger.set_round(replace(where, cursor=b"", ended=max(self._clock(), where.began)))
        self._log(report)

    def full(self, advance: Callable[[int], None] = lambda _: None) -> Report:
        """One whole pass now. advance: called with 1 for each record."""
        report, cursor = Report(removed=self.tend()), b""
        while batch := self._ledger.after(cursor, BATCH):
            for kept in batch:
                self._examine(kept, report)
                cursor = kept.root.raw
                advance(1)
        self._once_more(report)
        now = self._clock()
        self._ledger.set_round(replace(self._ledger.round(), cursor=b"", began=now, ended=now))
        return report

    def _examine(self, kept: Kept, report: Report) -> None:
        """Looks at every copy of one record and sees to it that there are enough."""
        try:
            with self._ledger.hold([kept.root], alone=False, seconds=WAIT_SECONDS):
                current = self._ledger.find(kept.root)
                if current is not None:
                    report.records += 1
                    self._mend(current.root, self._good(current, report), report)
        except UnavailableError:
            return  # it is being removed just now

    def _good(self, kept: Kept, report: Report) -> dict[str, bool | None]:
        """How each copy is, by the name of its node."""
        found: dict[str, bool | None] = {}
        for node in self._replicas.nodes:
            if node.name in kept.nodes and not node.retired:
                found[node.name] = whole = _whole(node, kept.root)
                self._ledger.seen(kept.root, node.name, whole)
                report.copies += whole is True
                if whole is None:
                    report.silent.add(node.name)
        return found

    def _mend(self, root: Cid, found: dict[str, bool | None], report: Report) -> None:
        good, failed = sum(whole is True for whole in found.values()), False
        for node in self._replicas.candidates(root):
            if good >= self._replicas.copies:
                break
            if found.get(node.name, False) is not False:
                continue
            if good:
                self._clear(node, root)
            try:
                done = node.name not in self._ailing and self._healed(node, root)
            except LostError:
                report.lost.append(root)
                break
            if done:
                good, report.healed, report.copies = good + 1, report.healed + 1, report.copies + 1
            failed |= not done
        if failed and good < self._replicas.copies:
            self._again.append(root)
        else:
            report.missing += max(self._replicas.copies - good, 0)

    def _healed(self, node: Replica, root: Cid) -> bool:
        try:
            self._replicas.heal(root, node)
            if _whole(node, root):
                self._ledger.seen(root, node.name, True)
                return True
        except LostError:
            raise
        except ConsentumError as error:
            log.warning("a copy could not be replaced: %s", error.code)
        self._ailing.add(node.name)
        return False

    @staticmethod
    def _clear(node: Replica, root: Cid) -> None:
        """Removes a damaged copy, of which another node has a good one: a node may keep what it has over what it is
        given, and stumble over it, with this record and with others."""
        with suppress(ConsentumError):
            node.store.remove(root)

    def _once_more(self, report: Report) -> None:
        """At the end of a pass: what could not be mended, now that everything damaged has been cleared away."""
        again, self._again = list(dict.fromkeys(self._again)), []
        self._ailing.clear()
        for root in again:
            extra = Report()
            self._examine(Kept(root, frozenset()), extra)
            report.healed, report.copies = report.healed + extra.healed, report.copies + extra.healed
            report.missing, report.lost = report.missing + extra.missing, report.lost + extra.lost
            report.missing += self._replicas.copies - extra.copies if self._again else 0
            self._again.clear()
            self._ailing.clear()

    def _collect(self, name: str, remove: Callable[[Cid], None]) -> int:
        removed = 0
        for root in self._ledger.owed(name, DEBTS):
            try:
                with self._ledger.hold([root], alone=True, seconds=0):
                    if self._ledger.state(root) != CopyState.LEAVING:
                        continue
                    try:
                        remove(root)
                        removed += 1
                    except NotFoundError:
                        pass  # it is gone already: as good
                    self._ledger.paid(root, name)
            except ConsentumError as error:
                log.warning("a removal is still owed: %s", error.code)
                break
        return removed

    def _log(self, report: Report) -> None:
        if report.healed or report.missing or report.lost:
            counts = (report.healed, report.missing, len(report.lost))
            log.warning("scrubbing: %d copies replaced, %d missing, %d records lost", *counts)


class _Nothing:
    """A sink that keeps nothing."""

    def write(self, data: bytes) -> int:
        return len(data)


def _whole(node: Replica, root: Cid) -> bool | None:
    """Whether the node protects the record and gives every block of it, each verified; None if it does not answer."""
    try:
        if isinstance(node.store, Pins) and not node.store.pinned(root):
            return False
        node.store.export_car([root], cast(BinaryIO, _Nothing()))
    except (NotFoundError, CorruptError):
        return False
    except ConsentumError:
        return None
    return True
