# SPDX-License-Identifier: Apache-2.0
"""Compiles contracts/src through py-solc-x into contracts/artifacts (for developers; running needs no compiler)."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from consentum.adapters.chain.artifacts import CONTRACTS
from consentum.errors import SettingsError

SETTINGS: dict[str, Any] = {
    "evmVersion": "shanghai",
    "optimizer": {"enabled": True, "runs": 10_000},
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "remappings": ["solady/=solady/src/"],
    "outputSelection": {"*": {"*": ["abi", "evm.bytecode.object"]}},
}
_IMPORT = re.compile(r'^\s*import\s[^"\']*["\']([^"\']+)["\']', re.MULTILINE)


def source_texts(contracts: Path, packages: Path) -> dict[str, str]:
    """Every source the contracts reach, by the name solc knows it under. packages is a node_modules folder."""
    names = [
        f"contracts/src/{path.relative_to(contracts / 'src')}" for path in sorted((contracts / "src").rglob("*.sol"))
    ]
    found: dict[str, str] = {}
    while names:
        name = names.pop()
        if name in found:
            continue
        path = contracts.parent / name if name.startswith("contracts/") else packages / name
        if not path.is_file():
            raise SettingsError(f"{name} is not installed")
        found[name] = path.read_text("utf-8")
        for target in _IMPORT.findall(found[name]):
            names.append(_resolve(name, target))
    return dict(sorted(found.items()))


def _resolve(importer: str, target: str) -> str:
    if target.startswith("."):
        return os.path.normpath(os.path.join(os.path.dirname(importer), target))
    return target.replace("solady/", "solady/src/", 1) if target.startswith("solady/") else target


def compile_contracts(contracts: Path, packages: Path, solc: Path) -> dict[str, dict[str, Any]]:
    """Artifacts by contract name. Deterministic: no path, date or host is in them. SettingsError if solc objects."""
    import solcx  # noqa: PLC0415 - only developers have it
    import solcx.exceptions  # noqa: PLC0415 - as above

    sources = source_texts(contracts, packages)
    question = {
        "language": "Solidity",
        "sources": {n: {"content": t} for n, t in sources.items()},
        "settings": SETTINGS,
    }
    try:
        output = solcx.compile_standard(question, solc_binary=str(solc))
    except solcx.exceptions.SolcError as error:
        raise SettingsError(f"solc: {str(error)[:2000]}") from None
    source_hash = hashlib.sha256(json.dumps([sources, SETTINGS], sort_keys=True).encode()).hexdigest()
    made = {}
    for name in CONTRACTS:
        built = output["contracts"][f"contracts/src/{name}.sol"][name]
        made[name] = {
            "contract": name,
            "sourceHash": source_hash,
            "compiler": "0.8.37",
            "abi": built["abi"],
            "bytecode": "0x" + built["evm"]["bytecode"]["object"],
        }
    return made


def render(artifact: dict[str, Any]) -> str:
    """The bytes of an artifact file; short lines for the ABI, so that changes can be read."""
    abi = ",\n  ".join(json.dumps(item, sort_keys=True) for item in artifact["abi"])
    rest = {k: v for k, v in artifact.items() if k != "abi"}
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in rest.items()]
    return "{\n" + ",\n".join([*lines, f' "abi": [\n  {abi}\n ]']) + "\n}\n"
