# SPDX-License-Identifier: Apache-2.0
"""A gateway's store in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import RLock
from typing import Any

from consentum.domain.cid import Cid
from consentum.domain.messages import Consent
from consentum.domain.records import Record
from consentum.errors import NotFoundError
from consentum.ports.gateway_store import ENDINGS, ENDINGS_AT_ONCE, SUPERSEDING, PendingDeposit, Relayed


class MemoryGatewayStore:
    """`ports.gateway_store.GatewayStore`. Tests may look into and damage its tables at will."""

    def __init__(self) -> None:
        self.openings: dict[bytes, Consent] = {}
        self.forms: dict[bytes, str] = {}
        self.relays: dict[bytes, Relayed] = {}
        self.attempts: dict[bytes, int] = {}
        self.deposits: dict[bytes, PendingDeposit] = {}
        self.hidden: set[bytes] = set()
        self.deposited: dict[bytes, int] = {}
        self._lock = RLock()

    def add_opening(self, commitment: bytes, consent: Consent) -> None:
        with self._lock:
            self.openings.setdefault(commitment, consent)

    def opening(self, commitment: bytes) -> Consent:
        return _found(self.openings, commitment)

    def openings_of(self, subjects: Sequence[str]) -> dict[str, list[Consent]]:
        wanted = {subject.lower() for subject in subjects}
        found: dict[str, list[Consent]] = {}
        with self._lock:
            for consent in self.openings.values():
                if consent.subject.lower() in wanted:
                    found.setdefault(consent.subject.lower(), []).append(consent)
        return found

    def add_form(self, form: bytes, text: str) -> None:
        with self._lock:
            self.forms.setdefault(form, text)

    def form(self, form: bytes) -> str:
        return _found(self.forms, form)

    def enqueue(self, message: Relayed) -> Relayed:
        with self._lock:
            known = self.relays.get(message.id)
            if known is None or known.state == "refused":
                self.relays[message.id], self.attempts[message.id] = message, 0
            return self.relays[message.id]

    def queued(self, limit: int) -> list[Relayed]:
        with self._lock:
            found: list[tuple[tuple[bool, int, int], Relayed]] = []
            turns: Counter[tuple[str, bool]] = Counter()
            for message in sorted(self._furthest(), key=lambda m: (m.kind not in SUPERSEDING, self.attempts[m.id])):
                ends = message.kind in ENDINGS
                turns[message.subject, ends] += 1
                turn = turns[message.subject, ends]
                if not ends or turn <= ENDINGS_AT_ONCE:
                    found.append(((not ends, turn, self.attempts[message.id]), message))
            places = list(self.relays)
            return [m for _, m in sorted(found, key=lambda one: (one[0], places.index(one[1].id)))[:limit]]

    def _furthest(self) -> list[Relayed]:
        """What is queued, but for messages that another one of the same subject and kind covers."""
        queued = [message for message in self.relays.values() if message.state == "queued"]
        best: dict[tuple[str, str], Relayed] = {}
        for message in queued:
            known = best.setdefault((message.subject, message.kind), message)
            if (-self.attempts[message.id], message.until) > (-self.attempts[known.id], known.until):
                best[message.subject, message.kind] = message
        return [m for m in queued if m.kind not in SUPERSEDING or best[m.subject, m.kind] is m]

    def waiting(self, subject: str, kind: str) -> int:
        with self._lock:
            hers = [m for m in self.relays.values() if m.subject == subject.lower() and m.kind == kind]
            return sum(message.state == "queued" for message in hers)

    def failed(self, identity: bytes, at_most: int) -> None:
        with self._lock:
            self.attempts[identity] = self.attempts.get(identity, 0) + 1
            if self.attempts[identity] >= at_most and self.relays[identity].state == "queued":
                self.mark([identity], "refused")

    def mark(self, ids: Sequence[bytes], state: str) -> None:
        with self._lock:
            for identity in ids:
                if identity in self.relays:
                    self.relays[identity] = replace(self.relays[identity], state=state)
                    if state == "mined":
                        self._take_along(self.relays[identity])

    def _take_along(self, mined: Relayed) -> None:
        for identity, other in self.relays.items():
            same = other.state == "queued" and (other.subject, other.kind) == (mined.subject, mined.kind)
            if same and other.kind in SUPERSEDING and other.until <= mined.until:
                self.relays[identity] = replace(other, state="mined")

    def relayed(self, identity: bytes) -> Relayed:
        return _found(self.relays, identity)

    def add_deposit(self, deposit: PendingDeposit) -> PendingDeposit:
        with self._lock:
            self.deposited.setdefault(deposit.records_root, int(time.time()))
            return self.deposits.setdefault(deposit.records_root, copy.deepcopy(deposit))

    def add_receipt(self, records_root: bytes, server: str, receipt: Mapping[str, Any]) -> PendingDeposit:
        with self._lock:
            known = _found(self.deposits, records_root)
            grown = replace(known, receipts={**known.receipts, server: dict(receipt)})
            if grown.acknowledged:
                grown = replace(grown, requests=dict.fromkeys(grown.requests))
            self.deposits[records_root] = grown
            return grown

    def drop_deposit(self, records_root: bytes) -> None:
        with self._lock:
            known = self.deposits.get(records_root)
            if known is not None and not known.acknowledged:
                del self.deposits[records_root]

    def deposit(self, records_root: bytes) -> PendingDeposit:
        return _found(self.deposits, records_root)

    def pending_deposits(self) -> list[PendingDeposit]:
        with self._lock:
            return [deposit for deposit in self.deposits.values() if not deposit.acknowledged]

    def records(self, categories: int) -> list[Record]:
        with self._lock:
            known = [record for d in self.deposits.values() if d.acknowledged for record in d.records]
        standing = (r for r in known if not r.categories & ~categories and r.id not in self.hidden)
        return sorted(standing, key=lambda record: record.id)

    def records_of(self, subject: str) -> list[tuple[Record, int]]:
        with self._lock:
            done = [d for d in self.deposits.values() if d.acknowledged]
            known = [(record, self.deposited[d.records_root]) for d in done for record in d.records]
        hers = [row for row in known if row[0].subject.lower() == subject.lower() and row[0].id not in self.hidden]
        return sorted(hers, key=lambda row: row[0].id)

    def uses(self, content: Cid) -> bool:
        with self._lock:
            known = [record for d in self.deposits.values() for record in d.records]
        return any(record.cid == content and record.id not in self.hidden for record in known)

    def records_by_id(self, ids: Sequence[bytes]) -> dict[bytes, Record]:
        with self._lock:
            known = {record.id: record for d in self.deposits.values() for record in d.records}
        return {identity: known[identity] for identity in ids if identity in known and identity not in self.hidden}


def _found(table: Mapping[bytes, Any], identity: bytes) -> Any:
    if identity not in table:
        raise NotFoundError("not here", field="id")
    return table[identity]
