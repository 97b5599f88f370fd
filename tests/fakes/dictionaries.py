# SPDX-License-Identifier: Apache-2.0
"""Dictionaries in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

from consentum.errors import ConflictError
from consentum.ports.dictionaries import Published


class MemoryDictionaries:
    """`ports.dictionaries.Dictionaries`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, str], Published] = {}

    def put(self, published: Published) -> None:
        place = (int(published.category), published.custodian)
        kept = self.rows.get(place)
        if kept is not None and kept != published and kept.dictionary.version >= published.dictionary.version:
            raise ConflictError("this version, or a newer one, is published", field="version")
        self.rows[place] = published

    def of(self, categories: int) -> list[Published]:
        return [self.rows[place] for place in sorted(self.rows) if place[0] & categories]
