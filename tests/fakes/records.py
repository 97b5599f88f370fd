# SPDX-License-Identifier: Apache-2.0
"""Records that are all here already, as a Source; a test may end consents at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consentum.errors import ConsentChanged, UnavailableError
from consentum.jobs.source import Batch, JobRecord


class HeldRecords:
    """`jobs.source.Source`. ends: positions whose consent ends just before they are asked for."""

    def __init__(self, records: Sequence[JobRecord], ends: Sequence[int] = (), drops: bool = False) -> None:
        self.records, self.ends, self.drops = records, set(ends), drops
        self.schema: Sequence[Any] = ()
        self.gone: set[int] = set()
        self.asked: list[int] = []

    @property
    def groups(self) -> Sequence[str]:
        return [record.pseudonym for record in self.records]

    def batch(self, start: int, count: int) -> Batch:
        self.asked.append(start)
        ended = tuple(sorted(at for at in self.ends if start <= at < start + count))
        self.ends -= set(ended)
        self.gone.update(ended)
        if ended and not self.drops:
            return Batch((), start, ended, changed=True)
        left = [n for n in range(start, len(self.records)) if n not in self.gone]
        taken = left[:count]
        going_on = left[count] if len(left) > count else None
        return Batch(tuple(self.records[n] for n in taken), going_on, ended)

    def read(self, position: int, offset: int, length: int) -> bytes:
        if position in self.gone:
            raise ConsentChanged
        return self.records[position].read_at(offset, length)


class FailingRecords(HeldRecords):
    """One record is known of, none can be had."""

    def __init__(self) -> None:
        super().__init__([JobRecord("p1", "a.json", "application/json", b"{}")])

    def batch(self, start: int, count: int) -> Batch:
        raise UnavailableError("the gateway does not answer")
