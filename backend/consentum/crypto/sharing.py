# SPDX-License-Identifier: Apache-2.0
"""Shamir's secret sharing over GF(2^8), on whole columns of secrets at once.

The field is AES's (polynomial 0x11B, FIPS 197 section 4.2); the secret is the value at x = 0, server i (from 0) holds
the value at x = i + 1. Each byte of a column is shared by its own polynomial, so n secrets of equal length, joined,
are one column and are shared in one go. Shares carry no checksum: the key commitments tell whether what was combined
is right (A. Shamir, "How to share a secret", CACM 22, 1979).

Multiplication is a 256-byte table and `bytes.translate`, addition is XOR of big integers. Table look-ups are not
constant-time: whoever can watch the caches of a machine while it splits or combines is on that machine, and there the
keys themselves are in memory.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache

from consentum.errors import MalformedError

MAX_SHARES = 255


def split(column: bytes, threshold: int, count: int) -> list[bytes]:
    """`count` shares, each as long as `column`; any `threshold` restore it, fewer say nothing about it.

    Share i of the list belongs to x = i + 1. Raises MalformedError unless 2 <= threshold <= count <= 255 (with a
    threshold of 1 each share would be the secret itself), or if the column is empty.
    """
    if not 2 <= threshold <= count <= MAX_SHARES:
        raise MalformedError("a threshold is at least 2, at most the number of shares, and that at most 255")
    if not column:
        raise MalformedError("there is nothing to share")
    size = len(column)
    constant = int.from_bytes(column, "little")
    # Uniform over all 256 values, also for the highest coefficient: a polynomial that is never of lower degree
    # would rule out one secret for every t - 1 shares.
    coefficients = [secrets.token_bytes(size) for _ in range(threshold - 1)]
    shares = []
    for x in range(1, count + 1):
        value, power = constant, x
        for coefficient in coefficients:
            value ^= int.from_bytes(coefficient.translate(_table(power)), "little")
            power = _table(x)[power]
        shares.append(value.to_bytes(size, "little"))
    return shares


def combine(shares: Mapping[int, bytes]) -> bytes:
    """The column whose shares, by x-coordinate, are given; all of them are used, so give exactly the threshold.

    With too few, or one false among them, the answer is noise, not an error: check the key commitments. Raises
    MalformedError for fewer than two shares, an x outside 1..255 or given twice, or lengths that differ.
    """
    points = list(shares.items())
    xs = [x for x, _ in points]
    if len(xs) < 2 or len(set(xs)) != len(xs):
        raise MalformedError("two shares at least, each with its own x")
    if not all(1 <= x <= MAX_SHARES for x in xs):
        raise MalformedError("x is from 1 to 255")
    size = len(points[0][1])
    if any(len(share) != size for _, share in points):
        raise MalformedError("shares of one column are equally long")
    value = 0
    for x, share in points:
        value ^= int.from_bytes(share.translate(_table(_weight(x, xs))), "little")
    return value.to_bytes(size, "little")


def _weight(x: int, xs: list[int]) -> int:
    """Lagrange's basis polynomial of `x` among `xs`, at 0: the product of other / (other - x)."""
    exponent = sum(_LOG[other] - _LOG[other ^ x] for other in xs if other != x)
    return _EXP[exponent % 255]


def _powers() -> tuple[bytes, bytes]:
    """Powers of the generator 3, and their logarithms (that of 0 is not used)."""
    exp, log, value = bytearray(255), bytearray(256), 1
    for exponent in range(255):
        exp[exponent], log[value] = value, exponent
        value ^= (value << 1) ^ (0x11B if value & 0x80 else 0)
    return bytes(exp), bytes(log)


_EXP, _LOG = _powers()


@cache
def _table(factor: int) -> bytes:
    """`factor`, which is not 0, times every element of the field."""
    return b"\0" + bytes(_EXP[(_LOG[factor] + _LOG[other]) % 255] for other in range(1, 256))
