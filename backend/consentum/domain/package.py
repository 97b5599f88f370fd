# SPDX-License-Identifier: Apache-2.0
"""A job's code as it is signed: files, entry point, wanted categories, declared outputs. Its digest is in the Job."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from consentum.domain.journal import canonical
from consentum.errors import MalformedError

MAX_FILES = 256
MAX_CODE_BYTES = 4 * 1024 * 1024
OUTPUT_KINDS = ("json",)
ON_CONSENT_CHANGE = ("raise", "drop")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
OUTPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class JobPackage:
    """files: relative path to content; entry: "module:function"; outputs: name to kind; on_consent_change: what to do
    where consent ends while the job runs. MalformedError if it could reach outside its folder, is too large, or
    declares something that is no output."""

    files: Mapping[str, bytes]
    entry: str
    categories: int
    outputs: Mapping[str, str]
    on_consent_change: str = "raise"

    def __post_init__(self) -> None:
        if not 1 <= len(self.files) <= MAX_FILES or sum(map(len, self.files.values())) > MAX_CODE_BYTES:
            raise MalformedError("too many files, or too large", field="files")
        for path in self.files:
            if len(path) > 255 or _PATH.fullmatch(path) is None:
                raise MalformedError("a path is relative, plain, and stays inside", field="files")
        if any(f"{path}/" == other[: len(path) + 1] for path in self.files for other in self.files):
            raise MalformedError("a file is also a folder", field="files")
        if _ENTRY.fullmatch(self.entry) is None:
            raise MalformedError("the entry is module:function", field="entry")
        if not 0 < self.categories < 1 << 63:
            raise MalformedError("name at least one category", field="categories")
        if not self.outputs or any(
            OUTPUT_NAME.fullmatch(n) is None or k not in OUTPUT_KINDS for n, k in self.outputs.items()
        ):
            raise MalformedError(f"outputs are names with a kind of {OUTPUT_KINDS}", field="outputs")
        if self.on_consent_change not in ON_CONSENT_CHANGE:
            raise MalformedError("when a consent changes, raise or drop", field="onConsentChange")

    @property
    def digest(self) -> bytes:
        """SHA-256 over the canonical JSON of everything above, files by their own SHA-256."""
        return hashlib.sha256(
            b"consentum/package/1\n"
            + canonical(
                {
                    "files": {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()},
                    "entry": self.entry,
                    "categories": self.categories,
                    "outputs": dict(self.outputs),
                    "onConsentChange": self.on_consent_change,
                }
            )
        ).digest()
