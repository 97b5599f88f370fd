# SPDX-License-Identifier: Apache-2.0
"""Synthetic samples: rows with the shape of the records, drawn here from data dictionaries alone, never from data.

Columns are drawn independently of each other: a sample shows whether code runs, never what it will find.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentum.adapters.peers.session import Session
from consentum.domain.terms import Category, words_of
from consentum.errors import MalformedError, NotFoundError
from consentum.jobs.dataset import Dataset
from consentum.jobs.source import Batch, JobRecord
from consentum.ports.dictionaries import Published
from consentum.sdk.draw import column_values

MAX_ROWS = 100_000
MAX_PUBLISHED = 1_000


@dataclass(frozen=True, slots=True)
class Sample:
    """rows: one per synthetic patient and category, with `pseudonym`, as a job's `to_pandas` has them."""

    categories: Category
    seed: int
    dictionaries: tuple[Published, ...]
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)

    @classmethod
    def draw(cls, session: Session, categories: Category, n: int, seed: int) -> Sample:
        """n rows per category. NotFoundError if nobody published a dictionary for one of them."""
        if type(n) is not int or not 1 <= n <= MAX_ROWS:
            raise MalformedError(f"a sample has 1 to {MAX_ROWS} rows", field="n")
        if type(seed) is not int or not 0 <= seed < 1 << 63:
            raise MalformedError("a seed is a number from 0", field="seed")
        told = session.get("/v1/dictionaries", categories=int(categories)).get("dictionaries")
        if not isinstance(told, list) or len(told) > MAX_PUBLISHED:
            raise MalformedError("no list of dictionaries", field="dictionaries")
        published = tuple(Published.parse(one) for one in told)
        rows: list[Mapping[str, Any]] = []
        for category in categories:
            of_it = [one for one in published if one.category == category]
            if not of_it:
                raise NotFoundError(f"no custodian says what its {_name(category)} records are", field="categories")
            rows += _rows(of_it, n, seed)
        used = tuple(one for one in published if one.category & categories)
        return cls(categories, seed, used, tuple(rows))

    def to_pandas(self) -> Any:
        """A DataFrame whose `attrs["synthetic"]` is True; columns as in a job's `dataset.to_pandas()`."""
        import pandas as pd  # noqa: PLC0415 - an extra; the rest must work without

        frame = pd.DataFrame(list(self.rows))
        frame.attrs.update(synthetic=True, seed=self.seed, dictionaries=[_label(one) for one in self.dictionaries])
        return frame

    def dataset(self) -> Dataset:
        """What a job's function is given, over these rows: `train.main(sample.dataset())` tries your code at home."""
        return Dataset(_Rows(self))

    def save(self, path: Path | str) -> None:
        """As CSV, all columns of all categories."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with Path(path).open("w", encoding="utf-8", newline="") as sink:
            writer = csv.DictWriter(sink, columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        about = ", ".join(words_of(self.categories))
        sources = "\n".join(f"  {_label(one)}" for one in self.dictionaries)
        return f"synthetic sample of {about}: {len(self)} rows, seed {self.seed}, drawn from\n{sources}"


@dataclass(frozen=True, slots=True)
class _Rows:
    """A sample as the Source of a Dataset."""

    sample: Sample

    @property
    def groups(self) -> Sequence[str]:
        return [str(row["pseudonym"]) for row in self.sample.rows]

    @property
    def schema(self) -> Sequence[Any]:
        return [one.to_json() for one in self.sample.dictionaries]

    def batch(self, start: int, count: int) -> Batch:
        """Nobody can end a consent to what nobody gave."""
        stop = min(start + count, len(self.sample))
        records = tuple(_record(number, self.sample.rows[number]) for number in range(start, stop))
        return Batch(records, stop if stop < len(self.sample) else None)

    def read(self, position: int, offset: int, length: int) -> bytes:
        """None of these is large."""
        return _record(position, self.sample.rows[position]).read_at(offset, length)


def _record(number: int, row: Mapping[str, Any]) -> JobRecord:
    return JobRecord(str(row["pseudonym"]), f"synthetic-{number}.json", "application/json", _content(row))


def _rows(published: Sequence[Published], n: int, seed: int) -> list[Mapping[str, Any]]:
    """Custodians take turns, as a study's records come from all of them."""
    tables = []
    for one in published:
        label = f"{one.custodian} {int(one.category)} {one.dictionary.version}"
        columns = one.dictionary.columns
        tables.append({column.name: column_values(column, n, seed, f"{label} {column.name}") for column in columns})
    return [
        {
            "pseudonym": f"synthetic-{row:05d}",
            **{name: values[row] for name, values in tables[row % len(tables)].items()},
        }
        for row in range(n)
    ]


def _content(row: Mapping[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in row.items() if name != "pseudonym"}).encode()


def _label(one: Published) -> str:
    return f"{one.dictionary.title}, version {one.dictionary.version}, {_name(one.category)} at {one.custodian}"


def _name(category: Category) -> str:
    return ", ".join(words_of(category))
