# SPDX-License-Identifier: Apache-2.0
"""The compiled contracts that ship with the package: ABI, bytecode and the hash of the sources they came from."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from consentum.crypto.typed import contracts_path
from consentum.errors import SettingsError

CONTRACTS = ("DidRegistry", "ConsentRegistry", "StudyRegistry", "ReleasePolicy", "KeyServerRegistry", "AuditAnchor")


def artifacts_path() -> Path:
    """The folder of the artifacts, one JSON file per contract."""
    return contracts_path() / "artifacts"


@lru_cache(maxsize=16)
def artifact(name: str) -> dict[str, Any]:
    """{contract, sourceHash, compiler, abi, bytecode}. SettingsError if it was never built."""
    path = artifacts_path() / f"{name}.json"
    if not path.is_file():
        raise SettingsError(f"{name} is not built; run: consentum contracts build")
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded
