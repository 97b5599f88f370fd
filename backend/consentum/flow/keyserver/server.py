# SPDX-License-Identifier: Apache-2.0
"""One key server as the flows see it: its identity, its keys, its ports, its limits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consentum.crypto.sealing import SealingKey
from consentum.crypto.typed import Domain
from consentum.domain.journal import canonical
from consentum.domain.profiles import ChainProfile
from consentum.errors import Reason, RefusedError, UnavailableError
from consentum.ports.chain import Ledger, View
from consentum.ports.server_store import ServerStore


@contextmanager
def asking_the_chain() -> Iterator[None]:
    """A node that does not answer properly is a refusal: never a guess, never an allowance."""
    try:
        yield
    except UnavailableError as error:
        raise RefusedError(Reason.CHAIN_UNAVAILABLE, str(error)) from None


@dataclass(slots=True, kw_only=True)
class KeyServer:
    """clock gives UTC seconds, monotonic seconds since whenever. sealing_keys are by epoch; epoch is the one that
    depositors are told, None for the newest. listeners are set when a notice came that was new."""

    address: str
    domain: Domain
    ledger: Ledger
    store: ServerStore
    sealing_keys: Mapping[int, SealingKey]
    checkpoint_key: Ed25519PrivateKey
    profile: ChainProfile
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    daily_cap: int
    epoch: int | None = None
    behind_anchor: bool = False
    custodians: frozenset[str] | None = frozenset()
    """Lower-case addresses that may deposit here; None: anybody."""
    unfetched: bool = False
    draining: Callable[[], bool] = lambda: False
    listeners: list[threading.Event] = field(default_factory=list)
    _seen: tuple[int, int] = (0, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> int:
        return int(self.clock())

    def require_serving(self) -> None:
        """Before a deposit or a retraction: BEHIND_ANCHOR while the journal is not the one that was anchored, DRAINING.

        Notices are not asked this: keeping one is harmless and refusing one is dangerous, whatever state this is in.
        """
        if self.behind_anchor:
            raise RefusedError(Reason.BEHIND_ANCHOR)
        if self.draining():
            raise RefusedError(Reason.DRAINING)

    def require_releasing(self) -> None:
        """Before a release: as before a deposit, and NOTICES_UNFETCHED until the peers were asked what this missed."""
        self.require_serving()
        if self.unfetched:
            raise RefusedError(Reason.NOTICES_UNFETCHED)

    def sealing_key(self) -> tuple[int, bytes]:
        """Epoch and public key that depositors seal to now."""
        epoch = max(self.sealing_keys) if self.epoch is None else self.epoch
        return epoch, self.sealing_keys[epoch].public

    def sign(self, context: bytes, statement: Mapping[str, Any]) -> bytes:
        """Ed25519 by the checkpoint key, over context ‖ canonical JSON."""
        return self.checkpoint_key.sign(context + canonical(statement))

    def fresh_view(self) -> View:
        """P2: the two blocks to decide on, or a refusal. Any doubt about the node or the clock refuses."""
        with self._lock:
            seen = self._seen  # before asking: what others see meanwhile is no reproach to this answer
        with asking_the_chain():
            view = self.ledger.view()
        age = self.clock() - view.latest.timestamp
        if age > self.profile.max_head_age:
            raise RefusedError(Reason.STALE, "the newest block is too old")
        if -age > self.profile.max_skew:
            raise RefusedError(Reason.CLOCK, "the chain's clock is ahead of ours")
        if self.clock() - view.finalized.timestamp > self.profile.max_finalized_age:
            raise RefusedError(Reason.STALE, "finality is too far behind")
        # A node that shows less than this server has seen could hide a revocation.
        if view.finalized.number < seen[0] or view.latest.number < seen[1]:
            raise RefusedError(Reason.STALE, "the node is behind what this server has seen")
        with self._lock:
            self._seen = (max(self._seen[0], view.finalized.number), max(self._seen[1], view.latest.number))
        return view
