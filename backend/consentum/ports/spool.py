# SPDX-License-Identifier: Apache-2.0
"""Where a custodian keeps large sealed records on their way: in files, because they do not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import BinaryIO, Protocol

from consentum.domain.cid import Cid


class Spool(Protocol):
    """Sealed files under their CIDs. Their keys are not here, nor anywhere but in the shares of a signed batch: a file
    that no batch names is noise. RefusedError(STORE_UNAVAILABLE) where the disk is full or fails."""

    def fill(self, write: Callable[[BinaryIO], None]) -> Cid:
        """Keeps what `write` writes into the sink it is given, in constant memory; the CID, computed meanwhile. Durable
        on return. If `write` raises, nothing is kept. Until it is dropped it is this process's: no sweep takes it."""
        ...

    def open(self, cid: Cid) -> BinaryIO:
        """The file, to read and seek in. NotFoundError."""
        ...

    def drop(self, cid: Cid) -> None:
        """Removes it, if it is there."""
        ...

    def cids(self) -> list[Cid]:
        """What is here, in the order of the CIDs."""
        ...

    def sweep(self, keep: Collection[Cid]) -> None:
        """Removes what is not in `keep` and no living process is filling: what a killed one left."""
        ...
