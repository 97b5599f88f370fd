# SPDX-License-Identifier: Apache-2.0
"""What a job sees: records of one study, each with a pseudonym per patient; never an address, never a key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any


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


class Dataset:
    """The records of a job, in an order that depends on the cohort alone. Iterates once, one record in memory at a
    time; `to_pandas` keeps all."""

    def __init__(self, records: Iterable[JobRecord]) -> None:
        self._records = iter(records)

    def __iter__(self) -> Iterator[JobRecord]:
        return self._records

    def to_pandas(self) -> Any:
        """A DataFrame of JSON records, one row each, with a `pseudonym` column to split by patient."""
        import pandas as pd  # noqa: PLC0415 - an extra; a job that wants none must not need it

        return pd.DataFrame([{"pseudonym": record.pseudonym, **record.json()} for record in self])
