# SPDX-License-Identifier: Apache-2.0
"""Synthetic samples: declared shapes, declared ranges, the same seed the same rows, and never a request for data."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consentum.domain.dictionary import Column
from consentum.errors import MalformedError, NotFoundError
from consentum.sdk.client import Client
from consentum.sdk.draw import column_values
from tests.unit.sdk.conftest import DICTIONARY, NAME, Lab


def test_a_sample_has_the_declared_columns_in_the_declared_ranges(client: Client) -> None:
    frame = client.study(NAME).sample(["pathology"], n=500).to_pandas()
    assert list(frame.columns) == ["pseudonym", "radius", "nuclei", "benign", "site", "taken", "remark"]
    assert len(frame) == 500
    assert frame["radius"].between(6, 30).all()
    assert abs(frame["radius"].mean() - 14) < 0.6
    assert abs(frame["radius"].std() - 3) < 0.4
    assert set(frame["nuclei"]) == set(range(1, 10))
    assert set(frame["site"]) == {"left", "right"}
    assert set(frame["benign"]) == {True, False}
    assert frame["taken"].map(date.fromisoformat).between(date(2019, 1, 1), date(2020, 12, 31)).all()
    assert frame["pseudonym"].is_unique


def test_a_sample_says_that_it_is_synthetic_wherever_it_goes(client: Client) -> None:
    sample = client.study(NAME).sample(["pathology"], n=3)
    assert "synthetic" in str(sample)
    assert "Aspirates, version 1" in str(sample)
    assert sample.to_pandas().attrs["synthetic"] is True
    assert all(row["pseudonym"].startswith("synthetic-") for row in sample.rows)


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(client: Client) -> None:
    study = client.study(NAME)
    assert study.sample("pathology", 20).rows == study.sample("pathology", 20).rows
    assert study.sample("pathology", 20).rows != study.sample("pathology", 20, seed=1).rows


def test_a_column_keeps_its_values_when_another_is_declared(lab: Lab, client: Client) -> None:
    before = client.study(NAME).sample("pathology", 20).to_pandas()
    more = [{"name": "new", "type": "number"}, *DICTIONARY["columns"]]  # type: ignore[misc]
    lab.gateway.dictionaries[0]["dictionary"] = {**DICTIONARY, "columns": more}
    after = client.study(NAME).sample("pathology", 20).to_pandas()
    assert (before["radius"] == after["radius"]).all()


def test_custodians_take_turns(lab: Lab, client: Client) -> None:
    other = {**DICTIONARY, "columns": [{"name": "area", "type": "number"}]}
    lab.gateway.dictionaries.append({"custodian": "0x" + "d4" * 20, "category": 8, "dictionary": other})
    rows = client.study(NAME).sample("pathology", 4).rows
    assert ["radius" in row for row in rows] == [True, False, True, False]


def test_a_sample_is_what_a_jobs_function_is_given(client: Client) -> None:
    sample = client.study(NAME).sample("pathology", 5)
    assert list(sample.dataset().to_pandas()["radius"]) == [row["radius"] for row in sample.rows]


def test_a_sample_is_drawn_from_the_dictionary_alone(lab: Lab, client: Client) -> None:
    client.study(NAME).sample("pathology")
    assert (lab.gateway.asked, lab.gateway.jobs) == ([], {})


def test_a_saved_sample_has_every_row(client: Client, tmp_path: Path) -> None:
    sample = client.study(NAME).sample("pathology", 7)
    sample.save(tmp_path / "sample.csv")
    with (tmp_path / "sample.csv").open(newline="", encoding="utf-8") as source:
        read = list(csv.DictReader(source))
    assert [float(row["radius"]) for row in read] == [row["radius"] for row in sample.rows]


def test_without_a_dictionary_there_is_no_sample(client: Client) -> None:
    with pytest.raises(NotFoundError):
        client.study(NAME).sample(["pathology", "laboratory"])


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (-1, 0), (100_001, 0), (True, 0), (1.5, 0), (5, -1), (5, "x")])
def test_a_size_or_seed_that_is_none_is_refused(client: Client, n: Any, seed: Any) -> None:
    with pytest.raises(MalformedError):
        client.study(NAME).sample("pathology", n, seed)


@pytest.mark.parametrize("told", [None, {}, [3], [{"custodian": "x", "category": 8, "dictionary": DICTIONARY}]])
def test_what_is_no_dictionary_is_drawn_from_by_nobody(
    client: Client, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from consentum.sdk.sample import Sample

    session, categories = client.session, client.study(NAME)._categories("pathology")
    monkeypatch.setattr(session, "get", lambda *_, **__: {"dictionaries": told})
    with pytest.raises(MalformedError):
        Sample.draw(session, categories, 5, 0)


@pytest.mark.parametrize(
    "declared",
    [
        {"type": "number"},
        {"type": "number", "mean": 100.0},
        {"type": "number", "minimum": 2.0},
        {"type": "number", "maximum": -2.0},
        {"type": "number", "minimum": 0.2, "maximum": 0.8, "mean": 0.3, "deviation": 0},
        {"type": "number", "minimum": 5, "maximum": 5},
        {"type": "number", "minimum": 0, "maximum": 1, "mean": 0, "deviation": 1e9},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "integer", "mean": 3},
        {"type": "date"},
        {"type": "date", "minimum": "2030-01-01"},
        {"type": "date", "maximum": "1900-01-01"},
    ],
)
def test_whatever_is_declared_can_be_drawn_and_stays_in_range(declared: dict[str, Any]) -> None:
    column = Column.parse({"name": "x", **declared})
    values = column_values(column, 200, 0, "x")
    assert len(values) == 200
    if column.type == "date":
        assert all(value >= (column.minimum or value) and value <= (column.maximum or value) for value in values)
        return
    low = -np.inf if column.minimum is None else float(column.minimum)
    high = np.inf if column.maximum is None else float(column.maximum)
    assert all(low <= value <= high for value in values)
    assert column.type != "integer" or all(type(value) is int for value in values)
