# SPDX-License-Identifier: Apache-2.0
"""Retractions in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from consentum.errors import NotFoundError
from consentum.ports.retractions import KeptRetraction
from tests.fakes.gateway_store import MemoryGatewayStore


class MemoryRetractions:
    """`ports.retractions.Retractions`. Hides what was retracted in the store beside it."""

    def __init__(self, store: MemoryGatewayStore) -> None:
        self.rows: dict[bytes, KeptRetraction] = {}
        self._store = store

    def add(self, retraction: KeptRetraction) -> KeptRetraction:
        self._store.hidden.add(retraction.record)
        return self.rows.setdefault(retraction.record, retraction)

    def find(self, record: bytes) -> KeptRetraction | None:
        return self.rows.get(record)

    def add_receipt(self, record: bytes, server: str, receipt: Mapping[str, Any]) -> KeptRetraction:
        if record not in self.rows:
            raise NotFoundError("no such retraction", field="record")
        kept = self.rows[record]
        self.rows[record] = replace(kept, receipts={**kept.receipts, server: dict(receipt)})
        return self.rows[record]

    def erased(self, record: bytes) -> KeptRetraction:
        if record not in self.rows:
            raise NotFoundError("no such retraction", field="record")
        self.rows[record] = replace(self.rows[record], erased=True)
        return self.rows[record]

    def pending(self) -> list[KeptRetraction]:
        kept = [self.rows[record] for record in sorted(self.rows)]
        return [one for one in kept if one.waiting or not one.erased]
