# SPDX-License-Identifier: Apache-2.0
"""Further copies at pinning services: asked for once a record is acknowledged, asked about until they are there, and
removed with it.

A service's word is not a verified block, so its pins never count towards the copies that acknowledge a record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from consentum.domain.cid import Cid
from consentum.errors import ConsentumError, NotFoundError, UnavailableError
from consentum.ports.copies import CopyLedger
from consentum.ports.pins import PinLedger, PinningService, PinStatus

log = logging.getLogger("consentum.pins")
BATCH: Final = 20
PAUSE_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = {
    PinStatus.QUEUED: 60.0,
    PinStatus.PINNING: 60.0,
    PinStatus.FAILED: 3_600.0,
    PinStatus.PINNED: 7 * 86_400.0,
}


class PinKeeper:
    """One service's pins. origins: multiaddresses of our nodes, from which it fetches. Removes as `scrub.Holder`."""

    def __init__(
        self,
        service: PinningService,
        ledger: CopyLedger,
        pins: PinLedger,
        origins: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service, self._ledger, self._pins, self._clock = service, ledger, pins, clock
        self._origins, self._pause = tuple(origins), 0.0

    @property
    def name(self) -> str:
        """The service's."""
        return self._service.name

    def tend(self) -> None:
        """Asks about some records that are due. After a failure the service has a minute's rest."""
        now = self._clock()
        if now < self._pause:
            return
        for kept in self._pins.to_pin(self.name, now, BATCH):
            try:
                # Not while it is removed: a pin asked for after that would stay.
                with self._ledger.hold([kept.root], alone=False, seconds=0):
                    if self._ledger.find(kept.root) is not None:
                        status = self._see_to(kept.root)
                        self._pins.pinned(kept.root, self.name, status, now + AGAIN_SECONDS[status])
            except ConsentumError as error:
                log.warning("a pinning service was no help: %s", error.code)
                self._pause = now + PAUSE_SECONDS
                return

    def remove(self, root: Cid) -> None:
        """Every pin of the record goes. NotFoundError if there is none."""
        found = self._service.find(root)
        for pin in found:
            self._service.unpin(pin)
        if not found:
            raise NotFoundError("the pinning service has no such pin")

    def _see_to(self, root: Cid) -> PinStatus:
        """How its pin stands; asked for where there is none, or only one that failed. Found by CID and not by a number
        that was written down: so nothing is asked for twice after a crash."""
        found = self._service.find(root)
        for status in (PinStatus.PINNED, PinStatus.PINNING, PinStatus.QUEUED):
            if any(pin.status == status for pin in found):
                return status
        for pin in found:
            self._service.unpin(pin)
        made = self._service.pin(root, self._origins)
        if made.root != root:
            raise UnavailableError("the pinning service pins something else")
        return made.status
