# SPDX-License-Identifier: Apache-2.0
"""Where a job's records come from: by position, a few at a time, as often as it asks. In the runner they are leased
(`leases.py`); in the job's own process they come over a pipe (`frames.py`)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_BATCH = 32


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One decrypted record. pseudonym: the same for the same patient within a study."""

    pseudonym: str
    name: str
    content_type: str
    content: bytes = field(repr=False)

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


@dataclass(frozen=True, slots=True)
class Batch:
    """records: as many as there are from a position on, at most as many as asked for. next: where to go on, None at
    the end. ended: positions whose consent has ended since this was last told. changed: the job must be told."""

    records: tuple[JobRecord, ...]
    next: int | None
    ended: tuple[int, ...] = ()
    changed: bool = False


class Source(Protocol):
    """Records in the order of their ids. groups: one pseudonym per record. schema: the data dictionary, if any."""

    @property
    def groups(self) -> Sequence[str]: ...

    @property
    def schema(self) -> Sequence[Any]: ...

    def batch(self, start: int, count: int) -> Batch:
        """From position `start` on."""
        ...
