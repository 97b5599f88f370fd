# SPDX-License-Identifier: Apache-2.0
"""The envelope as a stream: reading anywhere in it, files that give little at a time, memory that stays small."""

from __future__ import annotations

import tracemalloc
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consentum.crypto import envelope as env
from consentum.errors import CorruptError, MalformedError
from tests.unit.crypto.envelopes import FIRST, FRONT, HEADER, KEY, MIB, NEXT, SEALED, SHARED, pattern, tink_opens


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_reading_anywhere_gives_what_is_there(data: st.DataObject) -> None:
    near = st.sampled_from([0, FIRST, FIRST + NEXT, len(SHARED)]).flatmap(lambda at: st.integers(at - 40, at + 40))
    reader = env.EnvelopeReader(KEY, BytesIO(SEALED), len(SEALED))
    assert (reader.header, reader.size) == (HEADER, len(SHARED))
    for _ in range(4):
        offset = max(data.draw(near | st.integers(0, len(SHARED) + 100)), 0)
        length = data.draw(st.integers(0, 100) | st.just(3 * MIB) | st.just(NEXT))
        assert reader.read_at(offset, length) == SHARED[offset : offset + length]


@pytest.mark.parametrize("size", [-1, 0, 1, 40, 56, len(SEALED) - 1, len(SEALED) + 1, 1 << 60])
def test_a_reader_told_another_size_is_refused(size: int) -> None:
    with pytest.raises(CorruptError):
        env.EnvelopeReader(KEY, BytesIO(SEALED), size)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_reading_before_the_beginning_or_backwards_is_refused(offset: int, length: int) -> None:
    reader = env.EnvelopeReader(KEY, BytesIO(SEALED), len(SEALED))
    with pytest.raises(MalformedError):
        reader.read_at(offset, length)


def test_a_reader_refuses_a_segment_that_changed_after_it_began_and_serves_the_others(three: bytes) -> None:
    source = BytesIO(three)
    reader = env.EnvelopeReader(KEY, source, len(three))
    source.seek(MIB + 100)
    source.write(b"\0\0\0\0")
    with pytest.raises(CorruptError):
        reader.read_at(FIRST + 5, 10)
    assert reader.read_at(0, 10) == pattern(10)


class Counting(BytesIO):
    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_read_decrypts_only_the_segments_it_touches() -> None:
    source = Counting(env.seal(KEY, HEADER, bytes(8 * MIB)))
    reader = env.EnvelopeReader(KEY, source, len(source.getvalue()))
    source.taken = 0
    reader.read_at(4 * MIB, 10)
    reader.read_at(4 * MIB + 10, 10)
    assert source.taken == MIB


class Trickle(RawIOBase):
    """A raw file that takes and gives less than it is asked for, as pipes do."""

    def __init__(self, data: bytes = b"") -> None:
        self.file = BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(min(size, 65537))

    def write(self, data: Any) -> int:
        return self.file.write(data[:70001])


def test_files_that_give_and_take_little_at_a_time_lose_nothing() -> None:
    sealed, opened = Trickle(), Trickle()
    env.seal_stream(KEY, HEADER, cast(BinaryIO, Trickle(SHARED)), cast(BinaryIO, sealed))
    assert tink_opens(sealed.file.getvalue()) == FRONT + SHARED
    source = cast(BinaryIO, Trickle(sealed.file.getvalue()))
    assert env.open_stream(KEY, source, cast(BinaryIO, opened)) == HEADER
    assert opened.file.getvalue() == SHARED


def test_a_sink_that_takes_nothing_is_an_error_and_not_an_endless_loop() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            return 0

    with pytest.raises(BlockingIOError):
        env.seal_stream(KEY, HEADER, BytesIO(b"x"), Full())


def test_memory_stays_at_a_few_segments_however_long_the_record(tmp_path: Path) -> None:
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    with plain.open("wb") as file:
        file.truncate(48 * MIB)
    tracemalloc.start()
    try:
        with plain.open("rb") as source, sealed.open("wb") as sink:
            env.seal_stream(KEY, HEADER, source, sink)
        with sealed.open("rb") as source, opened.open("wb") as sink:
            env.open_stream(KEY, source, sink)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert opened.stat().st_size == 48 * MIB
