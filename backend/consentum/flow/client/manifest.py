# SPDX-License-Identifier: Apache-2.0
"""A custodian's manifest: a CSV that says of each file whose it is and what it holds; checked whole before anything.

Columns: file (relative to the folder), number (the hospital's), category (several joined by +), and optionally type
(a media type; else guessed from the name).
"""

from __future__ import annotations

import csv
import hashlib
import io
import mimetypes
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from consentum.domain.terms import Category, bits_of
from consentum.errors import MalformedError, ManifestError

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_LINES = 1_000_000
CHUNK_BYTES = 1 << 20
# Sealed it must not be above 1 TiB, the largest file of a content store: 16 of 1 MiB are the envelope's.
MAX_RECORD_BYTES = (1 << 40) - (1 << 25)
_REQUIRED = {"file", "number", "category"}
_TYPES = {".dcm": "application/dicom", ".csv": "text/csv", ".json": "application/json"}
Problem = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line that can be deposited; digest is the SHA-256 of the content now."""

    line: int
    name: str
    path: Path
    number: str = field(repr=False)
    categories: int
    media_type: str
    size: int
    digest: bytes


def read_manifest(manifest: Path, folder: Path, enrolled: Collection[str]) -> list[Entry]:
    """Every line as an entry. ManifestError with all problems, by line: MISSING_FILE, OUTSIDE_FOLDER, TOO_LARGE,
    UNKNOWN_CATEGORY, NOT_ENROLLED, DUPLICATE, MALFORMED. Numbers are not repeated in its text."""
    problems: list[Problem] = []
    entries: list[Entry] = []
    names: dict[Path, int] = {}
    contents: dict[tuple[bytes, str, int], int] = {}
    root = folder.resolve()
    for line, row in _lines(manifest):
        found = _entry(line, row, root, enrolled, problems)
        if found is None:
            continue
        earlier = names.setdefault(found.path, line)
        if earlier == line:
            earlier = contents.setdefault((found.digest, found.number, found.categories), line)
        if earlier != line:
            problems.append((line, "DUPLICATE", f"the same as line {earlier}"))
        entries.append(found)
    if problems:
        raise ManifestError(problems)
    if not entries:
        raise ManifestError([(1, "MALFORMED", "the manifest names no file")])
    return entries


def _lines(manifest: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        if manifest.stat().st_size > MAX_MANIFEST_BYTES:
            raise ManifestError([(1, "TOO_LARGE", f"a manifest has at most {MAX_MANIFEST_BYTES} bytes")])
        text = manifest.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ManifestError([(1, "MALFORMED", "the manifest cannot be read as UTF-8")]) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        extra = set(header) - _REQUIRED - {"type"}
        if not set(header) >= _REQUIRED or extra or len(set(header)) != len(header):
            raise ManifestError([(1, "MALFORMED", "the columns are file, number, category and, if you like, type")])
        rows: list[tuple[int, dict[str, str]]] = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            # A line with too many or too few cells has no name for itself, which _entry reports.
            named = dict(zip(header, (c.strip() for c in cells), strict=True)) if len(cells) == len(header) else {}
            rows.append((reader.line_num, named))
            if len(rows) > MAX_LINES:
                raise ManifestError([(reader.line_num, "TOO_LARGE", f"a manifest has at most {MAX_LINES} lines")])
    except csv.Error:
        raise ManifestError([(reader.line_num, "MALFORMED", "not CSV")]) from None
    return rows


def read_file(path: Path, number: str, categories: int) -> Entry:
    """One file without a manifest. ManifestError if it cannot be deposited."""
    try:
        found, size, digest = _file(path.name, path.resolve().parent)
    except _Wrong as wrong:
        raise ManifestError([(1, *wrong.args)]) from None
    return Entry(1, found.name, found, number, categories, _guess(found), size, digest)


class Hashing:
    """A file that is read once, and its SHA-256 as far as it was read. MalformedError where it cannot be read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash, self.size = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        try:
            data = self._file.read(size)
        except OSError:
            raise MalformedError("the file cannot be read", field="file") from None
        self._hash.update(data)
        self.size += len(data)
        return data

    def digest(self) -> bytes:
        return self._hash.digest()


class _Wrong(Exception):
    """One problem of one line."""


def _entry(
    line: int, row: dict[str, str], folder: Path, enrolled: Collection[str], problems: list[Problem]
) -> Entry | None:
    """The line as an entry, or None and what is wrong with it in `problems`."""
    if not row or not row["file"] or not row["number"]:
        problems.append((line, "MALFORMED", "file, number and category are needed, one cell each"))
        return None
    before = len(problems)
    if row["number"] not in enrolled:
        problems.append((line, "NOT_ENROLLED", "no patient has enrolled under this number"))
    categories = 0
    try:
        categories = bits_of(Category, row["category"].split("+"))
    except KeyError:
        known = ", ".join(category.name.lower() for category in Category if category.name)
        problems.append((line, "UNKNOWN_CATEGORY", f"the categories are {known}"))
    try:
        path, size, digest = _file(row["file"], folder)
    except _Wrong as wrong:
        problems.append((line, *wrong.args))
    if len(problems) > before:
        return None
    media_type = row.get("type") or _guess(path)
    return Entry(line, str(path.relative_to(folder)), path, row["number"], categories, media_type, size, digest)


def _file(name: str, folder: Path) -> tuple[Path, int, bytes]:
    """The file's real path, its size and digest. _Wrong says why not."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            raise _Wrong("OUTSIDE_FOLDER", "the file is not inside the folder")
        if not path.is_file():
            raise _Wrong("MISSING_FILE", "there is no such file")
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise _Wrong("TOO_LARGE", f"a record has at most {MAX_RECORD_BYTES} bytes")
        with path.open("rb") as file:
            source = Hashing(file)
            while source.read(CHUNK_BYTES):
                pass
        return path, source.size, source.digest()
    except (OSError, ValueError, MalformedError):
        raise _Wrong("MISSING_FILE", "the file cannot be read") from None


def _guess(path: Path) -> str:
    return _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
