# SPDX-License-Identifier: Apache-2.0
"""The embedded store's file: kept between runs, private, and nothing else in its place."""

from __future__ import annotations

import sqlite3
from io import BytesIO
from pathlib import Path

import pytest

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.errors import CorruptError, UnavailableError
from tests.fakes.content import whole

DATA = bytes(range(256)) * 4097


def test_an_embedded_store_keeps_its_files_when_it_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "content.db"
    first = EmbeddedStore(path)
    root = first.put(BytesIO(DATA))
    first.close()
    second = EmbeddedStore(path)
    assert whole(second, root) == DATA
    assert path.stat().st_mode & 0o077 == 0
    second.close()


def test_another_file_another_version_and_no_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "letter").write_bytes(b"This is a letter, not a database. " * 100)
    with pytest.raises(CorruptError):
        EmbeddedStore(tmp_path / "letter")
    db = sqlite3.connect(tmp_path / "newer")
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(CorruptError, match="version"):
        EmbeddedStore(tmp_path / "newer")
    with pytest.raises(UnavailableError):
        EmbeddedStore(tmp_path / "absent" / "content.db")
