# SPDX-License-Identifier: Apache-2.0
"""Small steps from untrusted JSON to values: each gives the value or a MalformedError that names the field."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from consentum.errors import MalformedError

MAX_ITEMS = 1_000
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
MAX_SIGNATURE = 4_096
# Kind byte to the least and the most bytes: ECDSA, passkey, contract.
_SIGNATURE_SIZES = {0: (65, 65), 1: (168, MAX_SIGNATURE), 2: (21, MAX_SIGNATURE)}
T = TypeVar("T")


def as_object(value: object, what: str, *keys: str) -> Mapping[str, Any]:
    """A mapping with exactly these keys; MalformedError names the first that is missing or too many."""
    if not isinstance(value, Mapping):
        raise MalformedError(f"{what} is not an object", field=what)
    for key in keys:
        if key not in value:
            raise MalformedError("missing field", field=key)
    for key in value:
        if key not in keys:
            raise MalformedError("unknown field", field=str(key)[:64])
    return value


def as_bytes(value: object, what: str, length: int | None = None, at_most: int = 1 << 24) -> bytes:
    """0x text to bytes of that length."""
    # bytes.fromhex alone would skip white space: two spellings of one value.
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise MalformedError(f"{what} is not 0x text", field=what)
    raw = bytes.fromhex(value[2:])
    if (length is not None and len(raw) != length) or len(raw) > at_most:
        raise MalformedError(f"{what} has the wrong length", field=what)
    return raw


def as_id(value: object) -> bytes:
    """The 32 bytes of an id."""
    return as_bytes(value, "id", 32)


def as_list(value: object, what: str, parse: Callable[[Any], T], at_most: int = MAX_ITEMS) -> tuple[T, ...]:
    """A list of 1 to `at_most` parsed items."""
    if not isinstance(value, list) or not 1 <= len(value) <= at_most:
        raise MalformedError(f"{what} is not a list of 1 to {at_most}", field=what)
    return tuple(parse(item) for item in value)


def as_integer(value: object, what: str, below: int) -> int:
    if type(value) is not int or not 0 <= value < below:
        raise MalformedError(f"{what} is not a number in range", field=what)
    return value


def hexed(raw: bytes) -> str:
    return "0x" + raw.hex()


def as_signature(value: object, what: str) -> bytes:
    """A signature of one of the three kinds, as far as its form goes."""
    raw = as_bytes(value, what, at_most=MAX_SIGNATURE)
    least, most = _SIGNATURE_SIZES.get(raw[0] if raw else -1, (1, 0))
    if not least <= len(raw) <= most:
        raise MalformedError(f"{what} is no signature of a known kind", field=what)
    return raw
