# SPDX-License-Identifier: Apache-2.0
"""Shamir over columns: against a table-free implementation, a published vector, and the meaning of secrecy."""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentum.crypto import sharing
from consentum.errors import MalformedError


def times(a: int, b: int) -> int:
    """Multiplication in GF(2^8) bit by bit (FIPS 197 section 4.2), sharing nothing with the code under test."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product


def inverse(a: int) -> int:
    return next(b for b in range(1, 256) if times(a, b) == 1)


def interpolate_at_zero(points: Mapping[int, int]) -> int:
    value = 0
    for x, y in points.items():
        for other in points:
            if other != x:
                y = times(y, times(other, inverse(other ^ x)))  # noqa: PLW2901
        value ^= y
    return value


def evaluate(coefficients: list[int], x: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = times(value, x) ^ coefficient
    return value


def by_x(shares: list[bytes], xs: tuple[int, ...]) -> dict[int, bytes]:
    return {x: shares[x - 1] for x in xs}


@pytest.mark.parametrize(("threshold", "count"), [(2, 2), (2, 3), (3, 5), (4, 7), (6, 6)])
def test_every_choice_of_threshold_shares_restores_the_column(threshold: int, count: int) -> None:
    column = secrets.token_bytes(32 * 50)
    shares = sharing.split(column, threshold, count)
    assert len(shares) == count
    for xs in itertools.combinations(range(1, count + 1), threshold):
        assert sharing.combine(by_x(shares, xs)) == column


def test_more_than_threshold_shares_restore_the_column_too() -> None:
    column = secrets.token_bytes(64)
    shares = sharing.split(column, 3, 9)
    assert sharing.combine(by_x(shares, tuple(range(1, 10)))) == column


def test_the_widest_committee_there_can_be_restores_the_column() -> None:
    column = secrets.token_bytes(32)
    shares = sharing.split(column, 255, 255)
    assert sharing.combine(by_x(shares, tuple(range(1, 256)))) == column


@given(st.binary(min_size=1, max_size=200), st.integers(2, 6), st.data())
def test_any_column_comes_back_from_any_threshold_shares(column: bytes, threshold: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(threshold, 12))
    shares = sharing.split(column, threshold, count)
    xs = data.draw(st.permutations(range(1, count + 1)))[:threshold]
    assert sharing.combine(by_x(shares, tuple(xs))) == column


@given(st.dictionaries(st.integers(1, 255), st.binary(min_size=3, max_size=3), min_size=2, max_size=6))
def test_combining_is_lagrange_interpolation_at_zero(shares: dict[int, bytes]) -> None:
    expected = bytes(interpolate_at_zero({x: share[i] for x, share in shares.items()}) for i in range(3))
    assert sharing.combine(shares) == expected


@pytest.mark.parametrize("threshold", [2, 3, 5])
def test_splitting_evaluates_one_polynomial_for_each_byte(monkeypatch: pytest.MonkeyPatch, threshold: int) -> None:
    column = bytes(range(256))
    rows = [secrets.token_bytes(256) for _ in range(threshold - 1)]
    pending = iter(rows)
    monkeypatch.setattr(secrets, "token_bytes", lambda size: next(pending))
    shares = sharing.split(column, threshold, 8)
    for x, share in enumerate(shares, start=1):
        assert share == bytes(evaluate([column[i], *(row[i] for row in rows)], x) for i in range(256))


# Blockchain Commons' bc-shamir, test_split_secret_3_5 and _2_7. It shares in the same field, with x from 0 and the
# secret at 255; adding 255 to every x (an XOR) moves the secret to 0 and leaves the interpolation as it is.
PUBLISHED = [
    (
        "0ff784df000c4380a5ed683f7e6e3dcf",
        3,
        (
            "00112233445566778899aabbccddeeff",
            "d43099fe444807c46921a4f33a2a798b",
            "d9ad4e3bec2e1a7485698823abf05d36",
            "0d8cf5f6ec337bc764d1866b5d07ca42",
            "1aa7fe3199bc5092ef3816b074cabdf2",
        ),
    ),
    (
        "204188bfa6b440a1bdfd6753ff55a8241e07af5c5be943db917e3efabc184b1a",
        2,
        (
            "2dcd14c2252dc8489af3985030e74d5a48e8eff1478ab86e65b43869bf39d556",
            "a1dfdd798388aada635b9974472b4fc59a32ae520c42c9f6a0af70149b882487",
            "2ee99daf727c0c7773b89a18de64497ff7476dacd1015a45f482a893f7402cef",
            "a2fb5414d4d96ee58a109b3ca9a84be0259d2c0f9ac92bdd3199e0eed3f1dd3e",
        ),
    ),
]


@pytest.mark.parametrize(("secret", "threshold", "shares"), PUBLISHED)
def test_another_projects_published_shares_combine_to_its_secret(
    secret: str, threshold: int, shares: tuple[str, ...]
) -> None:
    points = {255 ^ x: bytes.fromhex(share) for x, share in enumerate(shares)}
    for xs in itertools.combinations(points, threshold):
        assert sharing.combine({x: points[x] for x in xs}).hex() == secret


@pytest.mark.parametrize("secret", [0, 1, 0x5A, 255])
def test_one_share_of_two_takes_every_value_equally_often_whatever_the_secret(
    monkeypatch: pytest.MonkeyPatch, secret: int
) -> None:
    monkeypatch.setattr(secrets, "token_bytes", lambda size: bytes(range(256)))
    for share in sharing.split(bytes([secret]) * 256, 2, 255):
        assert sorted(share) == list(range(256))


@pytest.mark.parametrize("secret", [0, 0xA5])
def test_two_shares_of_three_take_every_pair_equally_often_whatever_the_secret(
    monkeypatch: pytest.MonkeyPatch, secret: int
) -> None:
    rows = iter((bytes(range(256)) * 256, bytes(i // 256 for i in range(65536))))
    monkeypatch.setattr(secrets, "token_bytes", lambda size: next(rows))
    shares = sharing.split(bytes([secret]) * 65536, 3, 5)
    for one, other in itertools.combinations(shares, 2):
        assert len(set(zip(one, other, strict=True))) == 65536


def chi_square(values: Counter[object], bins: int, total: int) -> float:
    expected = total / bins
    return sum((count - expected) ** 2 for count in values.values()) / expected + (bins - len(values)) * expected


@pytest.mark.parametrize("secret", [0, 255])
def test_what_one_server_really_gets_looks_uniform(secret: int) -> None:
    total = 1 << 18
    for share in sharing.split(bytes([secret]) * total, 2, 3):
        # 255 degrees of freedom: 22.6 is one standard deviation, eight of them never happen.
        assert abs(chi_square(Counter(share), 256, total) - 255) < 8 * 22.6


def test_what_two_servers_of_three_really_get_looks_uniform_together() -> None:
    total = 1 << 19
    first, second, _ = sharing.split(bytes(total), 3, 3)
    pairs: Counter[object] = Counter(zip(first, second, strict=True))
    assert abs(chi_square(pairs, 65536, total) - 65535) < 8 * 362


def test_splitting_twice_gives_other_shares() -> None:
    column = bytes(320)
    assert sharing.split(column, 2, 3) != sharing.split(column, 2, 3)


def test_the_highest_coefficient_may_be_zero() -> None:
    column = bytes(1 << 14)
    assert 0 in sharing.split(column, 2, 2)[0]


def test_a_false_share_changes_the_answer_and_raises_nothing() -> None:
    column = secrets.token_bytes(32)
    shares = sharing.split(column, 2, 3)
    assert sharing.combine({1: shares[0], 2: bytes(32)}) != column
    assert sharing.combine({1: shares[0], 3: shares[1]}) != column


def test_too_few_shares_combine_to_something_else() -> None:
    column = secrets.token_bytes(32)
    shares = sharing.split(column, 3, 3)
    assert sharing.combine({1: shares[0], 2: shares[1]}) != column


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (1, 3), (1, 1), (-1, 3), (4, 3), (2, 256), (2, 0), (2, -5)])
def test_a_threshold_that_protects_nothing_or_cannot_be_met_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(MalformedError):
        sharing.split(bytes(32), threshold, count)


def test_an_empty_column_is_refused() -> None:
    with pytest.raises(MalformedError):
        sharing.split(b"", 2, 3)


@pytest.mark.parametrize("x", [0, -1, 256, 1 << 40])
def test_an_x_outside_the_field_or_at_the_secret_is_refused(x: int) -> None:
    with pytest.raises(MalformedError):
        sharing.combine({x: bytes(32), 1: bytes(32)})


@pytest.mark.parametrize("lengths", [(32, 31), (32, 0), (32, 64)])
def test_shares_of_different_length_are_refused(lengths: tuple[int, int]) -> None:
    with pytest.raises(MalformedError):
        sharing.combine({1: bytes(lengths[0]), 2: bytes(lengths[1])})


@pytest.mark.parametrize("shares", [{}, {1: bytes(32)}])
def test_fewer_than_two_shares_are_refused(shares: dict[int, bytes]) -> None:
    with pytest.raises(MalformedError):
        sharing.combine(shares)


def test_an_x_given_twice_is_refused() -> None:
    class Twice(dict[int, bytes]):
        def items(self) -> list[tuple[int, bytes]]:  # type: ignore[override]
            return [(1, bytes(32)), (1, bytes(32))]

        def __iter__(self) -> Iterator[int]:
            return iter((1, 1))

    with pytest.raises(MalformedError):
        sharing.combine(Twice())
