# SPDX-License-Identifier: Apache-2.0
"""Files with health data in them: their owner's alone, and under their name only when they are whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from consentum.adapters.store.engine import storage_errors
from consentum.adapters.store.files import sync_folder
from consentum.errors import ConflictError, NotFoundError


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, mode 0600, which is at `path` when the block is left without an error, and else nowhere.
    ConflictError if there is a file already, NotFoundError if none can be made there, RefusedError(STORE_UNAVAILABLE)
    if the disk is full."""
    if path.exists():
        raise ConflictError("there is a file already", field="out")
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")
    try:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
    except OSError:
        raise NotFoundError("the file cannot be made there", field="out") from None
    try:
        with storage_errors(), file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _name(part, path)
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path) -> None:
    """Never over a file that came meanwhile, where the disk's format can promise that."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise ConflictError("there is a file already", field="out") from None
    except OSError:  # a memory stick that knows no second names
        part.rename(path)
    sync_folder(path.parent)
