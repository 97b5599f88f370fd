# SPDX-License-Identifier: Apache-2.0
"""A gateway as its flows see it: ports and keys. It sees terms and the subject-record map, never a record or a key."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from consentum.crypto.typed import Domain
from consentum.domain.messages import Consent
from consentum.errors import NotFoundError
from consentum.flow.gateway.hedge import Hedge
from consentum.ports.chain import Ledger
from consentum.ports.content import ContentStore
from consentum.ports.dictionaries import Dictionaries
from consentum.ports.enrolments import Enrolments
from consentum.ports.gateway_store import GatewayStore
from consentum.ports.jobs import Jobs
from consentum.ports.peers import KeyServerPeer
from consentum.ports.registries import Registries
from consentum.ports.retractions import Retractions
from consentum.ports.shared import Shared
from consentum.ports.studies import StudyBook
from consentum.ports.transactions import Sender

CACHED_PAGES = 64


@dataclass(frozen=True, slots=True)
class Sponsorship:
    """custodians and sponsored are lower-case addresses, boards ids; below reserve_wei only revocations are paid."""

    custodians: frozenset[str] = frozenset()
    sponsored: frozenset[str] = frozenset()
    boards: frozenset[bytes] = frozenset()
    reserve_wei: int = 0


@dataclass(slots=True, kw_only=True)
class Gateway:
    """pseudonym_key is 32 bytes; peers gives the key servers this gateway forwards to, as far as they answer."""

    domain: Domain
    ledger: Ledger
    store: GatewayStore
    content: ContentStore
    enrolments: Enrolments
    dictionaries: Dictionaries
    retractions: Retractions
    jobs: Jobs
    studies: StudyBook
    shared: Shared
    registries: Registries
    sender: Sender
    peers: Callable[[], Sequence[KeyServerPeer]]
    pseudonym_key: bytes
    clock: Callable[[], float]
    sponsorship: Sponsorship = Sponsorship()
    hedge: Hedge = field(default_factory=Hedge)
    settling: threading.Lock = field(default_factory=threading.Lock)
    _pages: OrderedDict[bytes, tuple[Consent | None, ...]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def peer(self, address: str) -> KeyServerPeer:
        """NotFoundError for a server this gateway does not forward to: it connects to nothing a request names."""
        for peer in self.peers():
            if peer.address == address.lower():
                return peer
        raise NotFoundError("no such key server", field="server")

    def remembered(self, digest: bytes, make: Callable[[], tuple[Consent | None, ...]]) -> tuple[Consent | None, ...]:
        """The openings of a page, looked up once for the t servers it is sent to."""
        with self._lock:
            found = self._pages.get(digest)
        if found is None:
            found = make()
            with self._lock:
                self._pages[digest] = found
                while len(self._pages) > CACHED_PAGES:
                    self._pages.popitem(last=False)
        return found
