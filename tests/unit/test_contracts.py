# SPDX-License-Identifier: Apache-2.0
"""The shipped artifacts are what the sources give, and the signed structs are the same in Solidity and Python."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.adapters.chain.artifacts import CONTRACTS
from consentum.adapters.chain.compile import compile_contracts, render
from consentum.crypto import typed

ROOT = Path(__file__).resolve().parents[2]
SOLC = ROOT / ".tools/bin/solc"
PACKAGES = ROOT / "tools/contracts/node_modules"
STRUCTS: dict[str, Any] = json.loads((ROOT / "contracts/types.json").read_text())["messages"]
_CONSTANT = re.compile(r'bytes32 constant (\w+)_TYPEHASH\s*=\s*keccak256\(\s*"([^"]+)"\s*\);')


@pytest.fixture(scope="module")
def compiled() -> dict[str, dict[str, Any]]:
    missing = [str(path.relative_to(ROOT)) for path in (SOLC, PACKAGES) if not path.exists()]
    if missing:
        pytest.fail(f"not installed: {', '.join(missing)}; run ./scripts/setup.py dev", pytrace=False)
    return compile_contracts(ROOT / "contracts", PACKAGES, SOLC)


def test_every_contract_has_an_artifact_and_there_is_no_other() -> None:
    assert {path.name for path in (ROOT / "contracts/artifacts").iterdir()} == {f"{name}.json" for name in CONTRACTS}


@pytest.mark.parametrize("name", CONTRACTS)
def test_the_committed_artifact_is_what_the_sources_give(compiled: dict[str, dict[str, Any]], name: str) -> None:
    committed = (ROOT / "contracts/artifacts" / f"{name}.json").read_bytes()
    same = render(compiled[name]).encode() == committed  # not compared in the assert: a diff would be pages of hex
    assert same, f"{name}.json is not what contracts/src gives; run: consentum contracts build"


@pytest.mark.parametrize("name", CONTRACTS)
def test_an_artifact_fits_onto_a_chain(compiled: dict[str, dict[str, Any]], name: str) -> None:
    size = (len(compiled[name]["bytecode"]) - 2) // 2
    assert 0 < size <= 2 * 24_576  # EIP-3860


def test_rendering_is_json_that_gives_the_artifact_back(compiled: dict[str, dict[str, Any]]) -> None:
    assert all(json.loads(render(artifact)) == artifact for artifact in compiled.values())


def encode_type(name: str) -> str:
    """EIP-712's encodeType, from types.json alone: a struct, then all it refers to, sorted."""
    referred, waiting = set[str](), [name]
    while waiting:
        for field in STRUCTS[waiting.pop()]["fields"]:
            kind = field["type"].split("[")[0]
            if kind in STRUCTS and kind not in referred:
                referred.add(kind)
                waiting.append(kind)
    return "".join(_own_type(struct) for struct in [name, *sorted(referred)])


def _own_type(name: str) -> str:
    fields = (f"{field['type']} {field['name']}" for field in STRUCTS[name]["fields"])
    return f"{name}({','.join(fields)})"


def constants() -> dict[str, str]:
    """Constant name to the text it is the hash of, from TypeHashes.sol."""
    source = (ROOT / "contracts/src/libraries/TypeHashes.sol").read_text()
    found = dict(_CONSTANT.findall(source))
    assert len(found) == source.count("bytes32 constant"), "a constant is written in another way"
    return found


def constant_of(struct: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", struct).upper()


def test_there_is_one_constant_per_struct() -> None:
    assert sorted(constants()) == sorted(constant_of(struct) for struct in STRUCTS)


@pytest.mark.parametrize("struct", STRUCTS)
def test_a_struct_has_one_type_hash_in_the_file_in_solidity_and_in_python(struct: str) -> None:
    text = encode_type(struct)
    assert constants()[constant_of(struct)] == text
    assert typed.encode_type(struct) == text
    assert typed.type_hash(struct) == keccak(text.encode())


def test_no_two_structs_share_a_type_hash() -> None:
    assert len({typed.type_hash(struct) for struct in STRUCTS}) == len(STRUCTS)
