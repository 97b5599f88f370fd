# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of retractions: until every server of the record's committee has acknowledged and the content
is erased, and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from consentum.domain.cid import Cid


@dataclass(frozen=True, slots=True)
class KeptRetraction:
    """A custodian's signed Retract (as it travels), the servers it is for, and their receipts so far. content: the
    record's; erased: nothing is left of it in the store, unless another record has the same."""

    record: bytes
    custodian: str
    request: Mapping[str, Any]
    servers: tuple[str, ...]
    receipts: Mapping[str, Any]
    content: Cid
    erased: bool = False

    @property
    def waiting(self) -> list[str]:
        return [server for server in self.servers if server not in self.receipts]


class Retractions(Protocol):
    """Durable on return. From `add` on the gateway's store lists the record no more."""

    def add(self, retraction: KeptRetraction) -> KeptRetraction:
        """Keeps it; a record that was retracted before keeps its first retraction, which is returned."""
        ...

    def find(self, record: bytes) -> KeptRetraction | None: ...

    def add_receipt(self, record: bytes, server: str, receipt: Mapping[str, Any]) -> KeptRetraction:
        """NotFoundError if nothing is kept of this record."""
        ...

    def erased(self, record: bytes) -> KeptRetraction:
        """Its content is gone. NotFoundError if nothing is kept of this record."""
        ...

    def pending(self) -> list[KeptRetraction]:
        """Those that a server has not acknowledged, or whose content is not erased."""
        ...
