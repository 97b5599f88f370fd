# SPDX-License-Identifier: Apache-2.0
"""What is written to several stores is read once, and by each of them as often as it likes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from consentum.adapters.ipfs.spool import Pieces, Spool, as_file
from consentum.errors import UnavailableError

DATA = os.urandom(3_000_000)


@pytest.mark.parametrize("kind", ["file", "memory", "pipe"])
def test_every_reader_has_its_own_place_and_can_begin_again(tmp_path: Path, kind: str) -> None:
    (tmp_path / "in").write_bytes(DATA)
    folder = tmp_path / "spool"
    folder.mkdir()
    on_disk = (tmp_path / "in").open("rb")
    source = {"file": on_disk, "memory": io.BytesIO(DATA), "pipe": io.BufferedReader(Pipe(DATA))}[kind]
    with Spool(source, folder) as spool:
        assert (spool.size, source.read(1)) == (len(DATA), b"")
        on_disk.close()
        first, second = spool.open(), spool.open(1_000)
        assert (first.read(7), second.read(7)) == (DATA[:7], DATA[1_000:1_007])
        assert first.read() == DATA[7:]
        first.seek(0)
        assert first.read() == DATA
        assert first.seek(-5, os.SEEK_END) == len(DATA) - 5
        assert (first.read(), first.read()) == (DATA[-5:], b"")
        assert list(folder.iterdir()) == []


class Pipe(io.RawIOBase):
    """Gives a little at a time, and cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        piece, self._data = self._data[: min(len(buffer), 999)], self._data[min(len(buffer), 999) :]
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_disk_that_takes_no_more_is_a_store_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("consentum.adapters.ipfs.spool.TemporaryFile", lambda **_: Full())
    with pytest.raises(UnavailableError, match="No space"):
        Spool(io.BytesIO(DATA), tmp_path)


def test_pieces_are_made_anew_when_they_are_rewound() -> None:
    reader = as_file(Pieces(lambda: iter([b"ab", b"", b"cde"])))
    assert reader.read(3) == b"abc"
    reader.seek(0)
    assert (reader.tell(), reader.read(), reader.read()) == (0, b"abcde", b"")
    with pytest.raises(io.UnsupportedOperation):
        Pieces(lambda: iter([b"ab"])).seek(1)
