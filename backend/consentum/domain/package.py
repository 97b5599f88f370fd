# SPDX-License-Identifier: Apache-2.0
"""A job's code as it is signed: files, entry point, wanted categories, declared outputs. Its digest is in the Job."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consentum.domain.journal import canonical
from consentum.domain.parsing import as_integer, as_object
from consentum.errors import MalformedError

MAX_FILES = 256
MAX_CODE_BYTES = 4 * 1024 * 1024
OUTPUT_KINDS = ("json",)
RAISE, DROP = "raise", "drop"
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
OUTPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class JobPackage:
    """files: relative path to content; entry: "module:function"; outputs: name to kind; on_consent_change: what
    happens where a consent ends while the job runs, "raise" (ConsentChanged, in the job) or "drop" (the record is left
    out from then on). MalformedError if it could reach outside its folder, is too large, or declares what is none."""

    files: Mapping[str, bytes]
    entry: str
    categories: int
    outputs: Mapping[str, str]
    on_consent_change: str = RAISE

    KEYS = ("files", "entry", "categories", "outputs")

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
        if self.on_consent_change not in (RAISE, DROP):
            raise MalformedError("onConsentChange is raise or drop", field="onConsentChange")

    @property
    def digest(self) -> bytes:
        """SHA-256 over the canonical JSON of everything above, files by their own SHA-256. What is left to its default
        is left out, so that packages of before it existed are what they were."""
        said: dict[str, Any] = {
            "files": {path: hashlib.sha256(content).hexdigest() for path, content in self.files.items()},
            "entry": self.entry,
            "categories": self.categories,
            "outputs": dict(self.outputs),
        }
        if self.on_consent_change != RAISE:
            said["onConsentChange"] = self.on_consent_change
        return hashlib.sha256(b"consentum/package/1\n" + canonical(said)).digest()

    @classmethod
    def parse(cls, data: object) -> JobPackage:
        """{files: {path: base64}, entry, categories, outputs} and, if it is not the default, onConsentChange."""
        chosen = isinstance(data, Mapping) and "onConsentChange" in data
        body = as_object(data, "package", *cls.KEYS, *(["onConsentChange"] if chosen else []))
        files, outputs = body["files"], body["outputs"]
        if not isinstance(files, dict) or not isinstance(outputs, dict) or not isinstance(body["entry"], str):
            raise MalformedError("files and outputs are objects, entry is text", field="package")
        try:
            decoded = {path: base64.b64decode(content, validate=True) for path, content in files.items()}
        except (binascii.Error, TypeError, ValueError):
            raise MalformedError("a file is not base64", field="files") from None
        categories = as_integer(body["categories"], "categories", 1 << 63)
        return cls(decoded, body["entry"], categories, outputs, body.get("onConsentChange", RAISE))

    def to_json(self) -> dict[str, Any]:
        """What parse takes."""
        files = {path: base64.b64encode(content).decode() for path, content in self.files.items()}
        said = {"files": files, "entry": self.entry, "categories": self.categories, "outputs": dict(self.outputs)}
        return said if self.on_consent_change == RAISE else {**said, "onConsentChange": self.on_consent_change}
