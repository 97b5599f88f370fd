# SPDX-License-Identifier: Apache-2.0
"""Reading from what gives less than it is asked for."""

from __future__ import annotations

from typing import BinaryIO


def read_up_to(source: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes, or all that are left: a pipe, a socket or a raw file may give fewer at a time."""
    data = source.read(size)
    if len(data) == size or not data:
        return data
    parts, missing = [data], size - len(data)
    while missing and (data := source.read(missing)):
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)
