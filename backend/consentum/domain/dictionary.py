# SPDX-License-Identifier: Apache-2.0
"""Data dictionaries: what a custodian declares about its records of one category. Declared properties, never data.

A dictionary is all that synthetic samples are drawn from, so whatever is in it is public.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from consentum.domain.parsing import as_list, as_object
from consentum.errors import MalformedError

KINDS = ("number", "integer", "boolean", "text", "date", "category")
MAX_COLUMNS = 512
MAX_VALUES = 256
MAX_NAME = 64
MAX_DESCRIPTION = 500
MAX_VERSION = 1_000_000
_CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,63}")
# What floats hold exactly, and far more than a measurement needs.
_LARGEST = 2.0**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One property of a record. minimum, maximum, mean and deviation are in `unit`; for dates, the first two are ISO
    dates. values: what a category can be."""

    name: str
    type: str
    unit: str = ""
    description: str = ""
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    deviation: float | None = None
    values: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: object) -> Column:
        """MalformedError naming the field; what does not belong to the type is refused, not ignored."""
        body = _with_defaults(data, "columns", _COLUMN_DEFAULTS, ("name", "type"))
        kind = body["type"]
        if kind not in KINDS:
            raise MalformedError(f"a column's type is one of {', '.join(KINDS)}", field="type")
        for name, kinds in _ONLY_OF.items():
            if body[name] not in (None, []) and kind not in kinds:
                raise MalformedError(f"{name} is not for a column of type {kind}", field=name)
        low, high = (_bound(kind, body[name], name) for name in ("minimum", "maximum"))
        mean, deviation = (_number(body[name], name) for name in ("mean", "deviation"))
        if low is not None and high is not None and low > high:  # type: ignore[operator]
            raise MalformedError("the minimum is above the maximum", field="minimum")
        if mean is not None and not _within(low, mean, high):
            raise MalformedError("the mean is outside the range", field="mean")
        if deviation is not None and (deviation < 0 or mean is None):
            raise MalformedError("a deviation is not negative and comes with a mean", field="deviation")
        return cls(
            name=_text(body["name"], "name", MAX_NAME),
            type=kind,
            unit=_text(body["unit"], "unit", MAX_NAME, least=0),
            description=_text(body["description"], "description", MAX_DESCRIPTION, least=0),
            minimum=low,
            maximum=high,
            mean=mean,
            deviation=deviation,
            values=_values(kind, body["values"]),
        )

    def to_json(self) -> dict[str, Any]:
        """Name and type, and what else was declared."""
        told = {**asdict(self), "values": list(self.values)}
        return {key: value for key, value in told.items() if value not in (None, "", [])}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataDictionary:
    """The columns of one custodian's records of one category. version counts up from 1."""

    title: str
    version: int
    content_type: str
    columns: tuple[Column, ...]

    @classmethod
    def parse(cls, data: object) -> DataDictionary:
        """MalformedError naming the field."""
        body = as_object(data, "dictionary", "title", "version", "contentType", "columns")
        if type(body["version"]) is not int or not 1 <= body["version"] <= MAX_VERSION:
            raise MalformedError(f"a version is a number from 1 to {MAX_VERSION}", field="version")
        content_type = _text(body["contentType"], "contentType", 128)
        if _CONTENT_TYPE.fullmatch(content_type) is None:
            raise MalformedError("a content type is like application/json", field="contentType")
        columns = as_list(body["columns"], "columns", Column.parse, MAX_COLUMNS)
        if len({column.name for column in columns}) != len(columns):
            raise MalformedError("two columns have one name", field="columns")
        title = _text(body["title"], "title", MAX_DESCRIPTION)
        return cls(title=title, version=body["version"], content_type=content_type, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """What `parse` takes."""
        told = {"title": self.title, "version": self.version, "contentType": self.content_type}
        return {**told, "columns": [column.to_json() for column in self.columns]}


_COLUMN_DEFAULTS: dict[str, Any] = {
    "unit": "",
    "description": "",
    "values": [],
    **dict.fromkeys(("minimum", "maximum", "mean", "deviation")),
}
_NUMERIC = ("number", "integer")
_ONLY_OF = {
    "minimum": (*_NUMERIC, "date"),
    "maximum": (*_NUMERIC, "date"),
    "mean": _NUMERIC,
    "deviation": _NUMERIC,
    "values": ("category",),
}


def _with_defaults(data: object, what: str, defaults: Mapping[str, Any], needed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise MalformedError(f"{what} are not objects", field=what)
    return as_object({**defaults, **data}, what, *needed, *defaults)


def _text(value: object, field: str, at_most: int, least: int = 1) -> str:
    if not isinstance(value, str) or not least <= len(value) <= at_most or not value.isprintable():
        raise MalformedError(f"{field} is not a line of {least} to {at_most} characters", field=field)
    return value


def _number(value: object, field: str) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= _LARGEST:  # type: ignore[arg-type]  # NaN is not
        raise MalformedError(f"{field} is not a number in range", field=field)
    return value  # type: ignore[return-value]


def _bound(kind: str, value: object, field: str) -> float | str | None:
    if kind != "date" or value is None:
        number = _number(value, field)
        if kind == "integer" and number is not None and number != int(number):
            raise MalformedError(f"{field} of whole numbers is a whole number", field=field)
        return number
    try:
        return date.fromisoformat(value).isoformat()  # type: ignore[arg-type]
    except (ValueError, TypeError):
        raise MalformedError(f"{field} is not a date like 1990-12-31", field=field) from None


def _within(low: Any, value: float, high: Any) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


def _values(kind: str, value: object) -> tuple[str, ...]:
    if kind != "category":
        return ()
    values = as_list(value, "values", lambda item: _text(item, "values", MAX_NAME), MAX_VALUES)
    if len(set(values)) != len(values):
        raise MalformedError("a value is listed twice", field="values")
    return values
