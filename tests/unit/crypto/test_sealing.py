# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentum.crypto import sealing
from consentum.errors import CorruptError, MalformedError

KEY = sealing.SealingKey(b"\x01" * 32)
SERVER, ROOT, COMMITTEE = b"\x0a" * 20, b"\x0b" * 32, b"\x0c" * 32


def test_what_is_sealed_opens_with_key_and_context() -> None:
    sealed = sealing.seal(b"share", KEY.public, b"info")
    assert KEY.open(sealed, b"info") == b"share"
    assert len(sealed) == 5 + sealing.OVERHEAD_BYTES


def test_another_key_does_not_open() -> None:
    with pytest.raises(CorruptError):
        sealing.SealingKey().open(sealing.seal(b"share", KEY.public, b"info"), b"info")


def test_a_message_moved_to_another_place_does_not_open() -> None:
    here = sealing.deposit_info(COMMITTEE, SERVER, 1, ROOT, 1)
    elsewhere = [
        sealing.deposit_info(b"\x0d" * 32, SERVER, 1, ROOT, 1),
        sealing.deposit_info(COMMITTEE, b"\x0d" * 20, 1, ROOT, 1),
        sealing.deposit_info(COMMITTEE, SERVER, 2, ROOT, 1),
        sealing.deposit_info(COMMITTEE, SERVER, 1, b"\x0d" * 32, 1),
        sealing.deposit_info(COMMITTEE, SERVER, 1, ROOT, 2),
        sealing.answer_info(ROOT, SERVER, 1),
    ]
    sealed = sealing.seal(b"share", KEY.public, here)
    assert KEY.open(sealed, here) == b"share"
    for info in elsewhere:
        with pytest.raises(CorruptError):
            KEY.open(sealed, info)


def test_contexts_cannot_be_confused_by_moving_a_boundary() -> None:
    splits = [sealing.context(b"abcd"[:i], b"abcd"[i:]) for i in range(5)]
    assert all(a != b for a, b in itertools.combinations(splits, 2))


@given(st.integers(0, 1120 + 16 + 4), st.integers(0, 7))
def test_a_flipped_bit_does_not_open(position: int, bit: int) -> None:
    sealed = bytearray(sealing.seal(b"share", KEY.public, b"i"))
    sealed[position] ^= 1 << bit
    with pytest.raises(CorruptError):
        KEY.open(bytes(sealed), b"i")


@pytest.mark.parametrize("length", [0, 1, 1119, 1120, 1135])
def test_a_cut_message_does_not_open(length: int) -> None:
    with pytest.raises(CorruptError):
        KEY.open(sealing.seal(b"", KEY.public, b"i")[:length], b"i")


@pytest.mark.parametrize("public", [b"", b"\x01" * 1215, b"\xff" * 1216])
def test_something_that_is_no_key_is_refused(public: bytes) -> None:
    with pytest.raises(MalformedError):
        sealing.seal(b"share", public, b"i")


def test_the_public_key_of_a_seed_is_frozen() -> None:
    assert sealing.SealingKey(b"\x02" * 32).public == sealing.SealingKey(b"\x02" * 32).public
    with pytest.raises(MalformedError):
        sealing.SealingKey(b"\x02" * 31)
