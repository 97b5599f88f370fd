# SPDX-License-Identifier: Apache-2.0
"""What a job sees: records of one study, each with a pseudonym per patient; never an address, never a key.

for record in dataset: ...          # in a stable order, a few in memory, as often as the job likes
dataset.to_pandas()                 # for scikit-learn; groups=dataset.groups keeps a patient in one fold
DataLoader(dataset, batch_size=8, collate_fn=…, num_workers=0)      # PyTorch: an IterableDataset
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

from consentum.errors import ConsentChanged
from consentum.jobs.source import MAX_BATCH, JobRecord, Source

__all__ = ["ConsentChanged", "Dataset", "JobRecord"]


class Dataset:
    """The records of a job in the order of their ids, which does not depend on when or where it runs. Every iteration
    starts over. Raises ConsentChanged where a consent ended meanwhile, unless the package says drop: the record is
    then left out from there on; so it is from the next iteration on for a job that catches the error."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._ended: set[int] = set()
        self._lock = threading.Lock()
        self._behave_as_pytorchs()

    def __len__(self) -> int:
        """How many records there are, without those whose consent has ended."""
        return len(self._source.groups) - len(self._ended)

    def __iter__(self) -> Iterator[JobRecord]:
        position: int | None = 0
        while position is not None:
            records, position = self._ask(position, MAX_BATCH)
            yield from records

    def __getitem__(self, index: int) -> JobRecord:
        """The record at a place of the order; IndexError beyond it."""
        alive = [n for n in range(len(self._source.groups)) if n not in self._ended]
        records, _ = self._ask(alive[index], 1)
        if not records:
            raise IndexError(index)
        return records[0]

    def batches(self, size: int) -> Iterator[list[JobRecord]]:
        """Lists of `size` records, the last one shorter."""
        if size < 1:
            raise ValueError("a batch has at least one record")
        held: list[JobRecord] = []
        for record in self:
            held.append(record)
            if len(held) == size:
                yield held
                held = []
        if held:
            yield held

    @property
    def groups(self) -> list[str]:
        """A pseudonym per record, in order: `groups` of scikit-learn's GroupKFold."""
        return [group for n, group in enumerate(self._source.groups) if n not in self._ended]

    @property
    def schema(self) -> list[Any]:
        """The data dictionary of the job's categories; empty if the gateway has none."""
        return list(self._source.schema)

    def to_pandas(self) -> Any:
        """A DataFrame with a `pseudonym` column to split by patient: one row per record of a JSON object, one per item
        of a JSON list, one per line of CSV. Keeps all in memory."""
        import pandas as pd  # noqa: PLC0415 - an extra; a job that wants none must not need it

        rows: list[dict[str, Any]] = []
        for record in self:
            if record.content_type.partition(";")[0] == "text/csv":
                items: list[Any] = pd.read_csv(io.BytesIO(record.content)).to_dict("records")
            else:
                parsed = record.json()
                items = parsed if isinstance(parsed, list) else [parsed]
            rows += [{"pseudonym": record.pseudonym} | item for item in items]
        return pd.DataFrame(rows)

    def _ask(self, start: int, count: int) -> tuple[tuple[JobRecord, ...], int | None]:
        with self._lock:
            batch = self._source.batch(start, count)
        self._ended.update(batch.ended)
        if batch.changed:
            raise ConsentChanged
        return batch.records, batch.next

    def _behave_as_pytorchs(self) -> None:
        """PyTorch asks isinstance(…, IterableDataset); whoever has imported it gets a yes, and nobody needs it."""
        module = sys.modules.get("torch.utils.data")
        register = getattr(getattr(module, "IterableDataset", None), "register", None)
        if register is not None:
            register(type(self))
