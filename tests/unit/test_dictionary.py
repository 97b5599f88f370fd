# SPDX-License-Identifier: Apache-2.0
"""Data dictionaries as they arrive: what is not a declared property is refused with its field."""

from __future__ import annotations

from typing import Any

import pytest

from consentum.domain.dictionary import MAX_COLUMNS, MAX_VALUES, Column, DataDictionary
from consentum.errors import MalformedError

NUMBER = {"name": "radius", "type": "number", "minimum": 1, "maximum": 9, "mean": 4.5, "deviation": 2}
DICTIONARY = {"title": "t", "version": 1, "contentType": "application/json", "columns": [NUMBER]}


def test_a_dictionary_comes_back_as_it_went() -> None:
    columns = [
        {**NUMBER, "unit": "mm", "description": "of the nucleus"},
        {"name": "n", "type": "integer", "minimum": 0},
        {"name": "b", "type": "boolean"},
        {"name": "t", "type": "text"},
        {"name": "d", "type": "date", "minimum": "1990-01-31", "maximum": "2000-12-01"},
        {"name": "c", "type": "category", "values": ["x", "y"]},
    ]
    made = {**DICTIONARY, "columns": columns}
    assert DataDictionary.parse(made).to_json() == made


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "float"}, "type"),
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": 3}, "name"),
        ({"unit": None}, "unit"),
        ({"minimum": "1"}, "minimum"),
        ({"minimum": True}, "minimum"),
        ({"minimum": 10}, "minimum"),
        ({"maximum": float("inf")}, "maximum"),
        ({"maximum": 1e300}, "maximum"),
        ({"maximum": 10**400}, "maximum"),
        ({"minimum": float("nan")}, "minimum"),
        ({"mean": 10}, "mean"),
        ({"deviation": -1}, "deviation"),
        ({"mean": None}, "deviation"),
        ({"values": ["a"]}, "values"),
        ({"rows": [1, 2, 3]}, "rows"),
        ({"type": "text"}, "minimum"),
        ({"type": "integer", "minimum": 0.5}, "minimum"),
        ({"type": "category", "minimum": None, "maximum": None}, "mean"),
        ({"type": "date", "mean": None, "deviation": None}, "minimum"),
    ],
)
def test_a_column_that_is_none_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        Column.parse({**NUMBER, **change})
    assert caught.value.field == field


@pytest.mark.parametrize("values", [[], ["a", "a"], [1], ["a"] * (MAX_VALUES + 1), "ab", None, {"a": 1}])
def test_a_category_needs_its_values_each_once(values: Any) -> None:
    with pytest.raises(MalformedError) as caught:
        Column.parse({"name": "c", "type": "category", "values": values})
    assert caught.value.field == "values"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 0}, "version"),
        ({"version": "1"}, "version"),
        ({"version": True}, "version"),
        ({"contentType": "json"}, "contentType"),
        ({"contentType": "text/html; charset=x"}, "contentType"),
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"columns": []}, "columns"),
        ({"columns": [NUMBER, NUMBER]}, "columns"),
        ({"columns": [3]}, "columns"),
        ({"columns": [{**NUMBER, "name": str(n)} for n in range(MAX_COLUMNS + 1)]}, "columns"),
        ({"records": []}, "records"),
    ],
)
def test_a_dictionary_that_is_none_is_refused_by_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        DataDictionary.parse({**DICTIONARY, **change})
    assert caught.value.field == field


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_what_is_no_object_is_no_dictionary(data: Any) -> None:
    with pytest.raises(MalformedError):
        DataDictionary.parse(data)
