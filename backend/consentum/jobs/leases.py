# SPDX-License-Identifier: Apache-2.0
"""Records under leased keys: a key is in this process's memory for at most a minute, and where it is needed again the
servers decide again.

A page's release is asked for once before the job starts, so that it knows what it has. Whenever a record is needed and
the keys of its page are not here, the same release is asked for again: the same leaves, decided anew. What is not
released any longer is a consent that ended.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from consentum.crypto import envelope
from consentum.domain.cid import Cid
from consentum.errors import ConsentChanged, UnavailableError
from consentum.flow.client.collect import Collected, Collector, Key, collect_again, sign_release
from consentum.flow.client.opening import is_large
from consentum.flow.client.receipts import total
from consentum.flow.wire import Answer, ReleaseRequest
from consentum.jobs.large import LargeRecord
from consentum.jobs.source import Batch, JobRecord, Ranged
from consentum.ports.peers import Depository
from consentum.wiring.runner import Clocks

KEY_SECONDS = 60.0
SWEEP_SECONDS = 1.0
RELEASE_SECONDS = 3_000
MARGIN_SECONDS = 30
BATCH_BYTES = 16 << 20


@dataclass(slots=True)
class Page:
    """One release and what came of it. keys are here only within their lease; alive are the records still released."""

    collector: Collector
    request: ReleaseRequest
    decided_at: float = 0.0
    keys: dict[bytes, Key] = field(default_factory=dict, repr=False)
    alive: set[bytes] = field(default_factory=set)
    used: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    blocks: set[str] = field(default_factory=set)
    failures: list[Mapping[str, str]] = field(default_factory=list)


class LeasedRecords:
    """`source.Source` over pages. drops: whether a record whose consent ended is left out instead of raising."""

    def __init__(self, pages: Sequence[Page], content: Depository, clocks: Clocks, drops: bool) -> None:
        self.pages, self._content, self._clocks, self._drops = pages, content, clocks, drops
        self._lock = threading.Lock()  # of keys alone: never held while a server is asked, or nobody could drop them
        self._page_of: dict[bytes, Page] = {}
        self._cids: dict[bytes, Cid] = {}
        self._order: list[bytes] = []
        self._ended: dict[int, bool] = {}  # position to whether the job was told
        self._pseudonyms: Mapping[bytes, str] = {}
        self._larges: dict[Cid, bool] = {}
        self._reading = threading.RLock()  # of the one large record that is open
        self._large: tuple[int, LargeRecord] | None = None
        self._largest = 0
        self.schema: Sequence[Any] = ()

    def decide(self, pseudonyms: Mapping[bytes, str], schema: Sequence[Any] = ()) -> None:
        """Asks for every page once. Afterwards the records and their order are fixed."""
        for page in self.pages:
            found = self._ask(page)
            page.alive = {key.record for key in found.keys}
            page.counts = found.receipts[0].counts
            for key in found.keys:
                self._page_of[key.record], self._cids[key.record] = page, key.cid
        self._order = sorted(self._page_of)
        self._pseudonyms, self.schema = pseudonyms, schema

    @property
    def released(self) -> Sequence[bytes]:
        """Ids of the records the job began with, in order."""
        return self._order

    @property
    def dropped(self) -> int:
        return len(self._ended)

    @property
    def refused(self) -> dict[str, int]:
        """How many records of the pages were refused at the first decision, by reason."""
        table = total([page.counts for page in self.pages])
        table.pop("ALLOWED", None)
        return table

    @property
    def groups(self) -> list[str]:
        return [self._pseudonyms[identity] for identity in self._order]

    def batch(self, start: int, count: int) -> Batch:
        """Fetches and opens; the keys of what is needed are leased first."""
        records: list[JobRecord] = []
        position, held = start, 0
        while position < len(self._order) and len(records) < count and held < BATCH_BYTES:
            wanted = self._alive(position, min(count - len(records), self._fitting()))
            small = [cid for n in wanted if not self._is_large(cid := self._cids[self._order[n]])]
            sealed = self._content.get_all(small) if small else {}
            sizes = [len(content) for content in sealed.values()]
            self._largest, held = max([self._largest, *sizes]), held + sum(sizes)
            if len(small) < len(wanted):
                held = BATCH_BYTES  # a large record is the last of its batch: it stays open while the job reads it
            for n in wanted:
                opened = self._open(n, sealed)
                if opened is not None:
                    records.append(opened)
            position = wanted[-1] + 1 if wanted else len(self._order)
            if self._must_tell():
                return Batch((), start, self._tell(), changed=True)
        return Batch(tuple(records), position if position < len(self._order) else None, self._tell())

    def read(self, position: int, offset: int, length: int) -> bytes:
        """See `Source`."""
        with self._reading:
            return self._large_at(position).read_at(lambda: self._key_at(position), offset, length)

    def finish(self) -> None:
        """Before outputs leave: whatever was read under a decision older than a minute is decided once more.
        ConsentChanged if a consent ended and the job was never told."""
        for page in self.pages:
            if page.used and self._age(page) >= KEY_SECONDS:
                self._renew(page)
        self.forget()
        if self._must_tell():
            raise ConsentChanged

    def sweep(self) -> None:
        """Drops keys at the end of their lease; called every second, so a second early rather than late."""
        with self._lock:
            for page in self.pages:
                if self._age(page) >= KEY_SECONDS - SWEEP_SECONDS:
                    page.keys = {}
                    self._forget_large(page)

    def forget(self) -> None:
        """Drops every key."""
        with self._lock:
            for page in self.pages:
                page.keys = {}
                self._forget_large(page)

    def close(self) -> None:
        """Drops every key and lets go of the record that is open."""
        self.forget()
        with self._reading:
            if self._large is not None:
                self._large[1].close()
                self._large = None

    def _forget_large(self, page: Page) -> None:
        large = self._large
        if large is not None and self._page_of[self._order[large[0]]] is page:
            large[1].forget()

    def _is_large(self, cid: Cid) -> bool:
        if cid not in self._larges:
            self._larges[cid] = is_large(self._content, cid)
        return self._larges[cid]

    def _large_at(self, position: int) -> LargeRecord:
        """The large record at a position; the one that was open is closed."""
        if self._large is None or self._large[0] != position:
            if self._large is not None:
                self._large[1].close()
                self._large = None
            self._large = position, LargeRecord(self._content.open(self._cids[self._order[position]]))
        return self._large[1]

    def _key_at(self, position: int) -> bytes:
        """ConsentChanged if the record is released no longer."""
        key = self._key(self._order[position])
        if key is None:
            raise ConsentChanged
        return key.key

    def _fitting(self) -> int:
        """How many records fit into a batch if all are as large as the largest so far; the first comes alone."""
        return max(1, BATCH_BYTES // self._largest) if self._largest else 1

    def _alive(self, start: int, count: int) -> list[int]:
        left = (n for n in range(start, len(self._order)) if n not in self._ended)
        return [n for n, _ in zip(left, range(count), strict=False)]

    def _open(self, position: int, sealed: Mapping[Cid, bytes]) -> JobRecord | None:
        identity = self._order[position]
        if self._is_large(self._cids[identity]):
            return self._open_large(position)
        key = self._key(identity)
        if key is None:
            return None
        header, plain = envelope.open_(key.key, sealed[self._cids[identity]])
        return JobRecord(self._pseudonyms[identity], header.name, header.content_type, plain)

    def _open_large(self, position: int) -> JobRecord | None:
        try:
            with self._reading:
                header, size = self._large_at(position).about(lambda: self._key_at(position))
        except ConsentChanged:
            return None
        held = Ranged(position, size, partial(self.read, position))
        return JobRecord(self._pseudonyms[self._order[position]], header.name, header.content_type, held)

    def _key(self, identity: bytes) -> Key | None:
        """The leased key; None if the record is released no longer. UnavailableError: the servers took so long that
        what they decided is old already."""
        page = self._page_of[identity]
        page.used = True
        key = self._leased(page, identity)
        if key is None:
            self._renew(page)
            key = self._leased(page, identity)
        if key is None and identity in page.alive:
            raise UnavailableError("the key servers took longer to decide than a key may be kept")
        return key

    def _leased(self, page: Page, identity: bytes) -> Key | None:
        with self._lock:
            return page.keys.get(identity) if self._age(page) < KEY_SECONDS else None

    def _renew(self, page: Page) -> None:
        with self._lock:
            page.keys = {}
            self._forget_large(page)
        found = self._ask(page)
        gone = page.alive - {key.record for key in found.keys}
        page.alive -= gone
        for n, identity in enumerate(self._order):
            if identity in gone:
                self._ended[n] = False

    def _ask(self, page: Page) -> Collected:
        if self._clocks.wall() > page.request.release.deadline - MARGIN_SECONDS:
            page.request = new_release(page.collector, page.request.ids, self._clocks)
        at = self._clocks.steady()
        found = collect_again(page.collector, page.request)
        with self._lock:
            page.decided_at = at
            page.keys = {key.record: key for key in found.keys}
            page.answers += found.answers
            page.blocks |= {receipt.latest for receipt in found.receipts}
            if found.failures:
                page.failures.append(dict(found.failures))
        return found

    def _age(self, page: Page) -> float:
        return self._clocks.steady() - page.decided_at

    def _must_tell(self) -> bool:
        return not self._drops and not all(self._ended.values())

    def _tell(self) -> tuple[int, ...]:
        news = tuple(n for n, told in self._ended.items() if not told)
        self._ended.update(dict.fromkeys(news, True))
        return news


def new_release(collector: Collector, ids: Sequence[bytes], clocks: Clocks) -> ReleaseRequest:
    """A release that can be asked for again for most of an hour, but never beyond its job."""
    deadline = min(collector.job.deadline, int(clocks.wall()) + RELEASE_SECONDS)
    return sign_release(collector, ids, deadline)


def new_page(collector: Collector, ids: Sequence[bytes], clocks: Clocks) -> Page:
    return Page(collector, new_release(collector, ids, clocks))
