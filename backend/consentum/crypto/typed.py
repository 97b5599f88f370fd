# SPDX-License-Identifier: Apache-2.0
"""EIP-712 digests, equal to the contracts', from the one source of the structs: contracts/types.json.

`words` gives the ABI words of a message, so the same bytes serve as call data and as what is hashed. Strict both
ways: a value that does not fit its field, an unknown or a missing field is a MalformedError that names the field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from eth_utils.crypto import keccak

from consentum.domain import messages, registry_messages
from consentum.domain.messages import Message
from consentum.errors import MalformedError

M = TypeVar("M", bound=Message)

# Every signed struct by its name.
MESSAGES: dict[str, type[Message]] = {
    name: kind
    for module in (messages, registry_messages)
    for name, kind in vars(module).items()
    if isinstance(kind, type) and issubclass(kind, Message) and kind is not Message
}

# One spelling for each value: bytes.fromhex alone would skip white space, and two spellings are two keys in a table.
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


def contracts_path() -> Path:
    """The folder that holds types.json and artifacts/: inside the wheel, else the repository's contracts/."""
    packed = Path(str(files("consentum"))) / "_contracts"
    return packed if packed.is_dir() else Path(__file__).resolve().parents[3] / "contracts"


@lru_cache(maxsize=1)
def _source() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((contracts_path() / "types.json").read_text("utf-8"))
    return loaded


def fields_of(name: str) -> list[tuple[str, str]]:
    """(field, solidity type) of a struct, in signing order."""
    return [(f["name"], f["type"]) for f in _source()["messages"][name]["fields"]]


def contract_of(name: str) -> str:
    """The contract whose domain a struct is signed under."""
    return str(_source()["messages"][name]["contract"])


@dataclass(frozen=True, slots=True)
class Domain:
    """An EIP-712 domain: one deployed contract on one chain."""

    chain_id: int
    contract: str

    @property
    def separator(self) -> bytes:
        return _separator(self.chain_id, self.contract)


@lru_cache(maxsize=64)
def _separator(chain_id: int, contract: str) -> bytes:
    meta = _source()["domain"]
    parts = (keccak(_DOMAIN_TYPE), keccak(meta["name"].encode()), keccak(meta["version"].encode()))
    return keccak(b"".join(parts) + chain_id.to_bytes(32, "big") + _word("contract", "address", contract))


@lru_cache(maxsize=64)
def encode_type(name: str) -> str:
    """The EIP-712 encodeType of a struct, referenced structs appended."""
    members = fields_of(name)
    own = f"{name}({','.join(f'{kind} {field}' for field, kind in members)})"
    return own + "".join(encode_type(kind) for kind in sorted({k for _, k in members if k in MESSAGES}))


@lru_cache(maxsize=64)
def type_hash(name: str) -> bytes:
    """keccak256 of the encodeType; equals the constant in TypeHashes.sol."""
    return keccak(encode_type(name).encode())


def words(message: Message) -> bytes:
    """The message's fields as 32-byte words (EIP-712 encodeData without the type hash; dynamic values hashed)."""
    return b"".join(_word(field, kind, getattr(message, field)) for field, kind in fields_of(type(message).__name__))


def struct_hash(message: Message) -> bytes:
    """EIP-712 hashStruct. Of a Consent it is the commitment, of a Propose the study's id."""
    return keccak(type_hash(type(message).__name__) + words(message))


def digest(domain: Domain, message: Message) -> bytes:
    """The 32 bytes that are signed."""
    return digest_of_hash(domain, struct_hash(message))


def digest_of_hash(domain: Domain, hashed: bytes) -> bytes:
    """The digest of a struct hash whose message is not known."""
    return keccak(b"\x19\x01" + domain.separator + hashed)


def _word(field: str, kind: str, value: Any) -> bytes:
    try:
        return _encode(field, kind, value)
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise MalformedError(f"{field} is not a {kind}", field=field) from None


def _encode(field: str, kind: str, value: Any) -> bytes:  # noqa: PLR0911 - one line per kind of value
    if kind.endswith("[]"):
        return keccak(b"".join(_word(field, kind[:-2], item) for item in value))
    if kind in MESSAGES:
        return struct_hash(value)
    if kind == "address":
        return b"\0" * 12 + address_bytes(value)
    if kind == "bool":
        return int(_exactly(value, bool)).to_bytes(32, "big")
    if kind.startswith("uint"):
        number = _exactly(value, int)
        return number.to_bytes(int(kind[4:]) // 8, "big").rjust(32, b"\0")
    if kind == "bytes32" and len(_exactly(value, bytes)) == 32:
        return bytes(value)
    if kind == "bytes":
        return keccak(_exactly(value, bytes))
    if kind == "string":
        return keccak(_exactly(value, str).encode())
    raise ValueError(kind)


T = TypeVar("T")


def _exactly(value: object, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError
    return value


def address_bytes(text: str) -> bytes:
    """The 20 bytes of a 0x address. MalformedError if it is not one."""
    if type(text) is not str or _ADDRESS.fullmatch(text) is None:
        raise MalformedError("not an address", field="address")
    return bytes.fromhex(text[2:])


def to_json(message: Message) -> dict[str, Any]:
    """Plain JSON: integers as they are, bytes as 0x text."""
    return {field: _to_plain(getattr(message, field)) for field, _ in fields_of(type(message).__name__)}


def _to_plain(value: Any) -> Any:
    if isinstance(value, Message):
        return to_json(value)
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def from_json(kind: type[M], data: object) -> M:
    """Parses untrusted JSON into a message. Unknown, missing and ill-typed fields are MalformedErrors."""
    members = fields_of(kind.__name__)
    if not isinstance(data, Mapping):
        raise MalformedError(f"{kind.__name__} is not an object", field=kind.__name__)
    for extra in data.keys() - {field for field, _ in members}:
        raise MalformedError("unknown field", field=str(extra)[:64])
    for field, _ in members:
        if field not in data:
            raise MalformedError("missing field", field=field)
    message = kind(**{field: _from_plain(field, solidity, data[field]) for field, solidity in members})
    words(message)
    return message


def _from_plain(field: str, kind: str, value: Any) -> Any:
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise MalformedError("not a list", field=field)
        return tuple(_from_plain(field, kind[:-2], item) for item in value)
    if kind in MESSAGES:
        return from_json(MESSAGES[kind], value)
    if kind == "address":
        if not isinstance(value, str) or _ADDRESS.fullmatch(value) is None:
            raise MalformedError(f"{field} is not an address", field=field)
        return value.lower()
    if kind.startswith("bytes"):
        if not isinstance(value, str) or _HEX.fullmatch(value) is None:
            raise MalformedError(f"{field} is not 0x text", field=field)
        return bytes.fromhex(value[2:])
    return value


def wallet_view(domain: Domain, message: Message) -> dict[str, Any]:
    """What eth_signTypedData_v4 takes: the same struct, readable in a wallet."""
    name = type(message).__name__
    used = [name, *sorted({k for _, k in fields_of(name) if k in MESSAGES})]
    meta = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]
    types = {struct: [{"name": f, "type": k} for f, k in fields_of(struct)] for struct in used}
    types["EIP712Domain"] = [{"name": f, "type": k} for f, k in meta]
    where = {**_source()["domain"], "chainId": domain.chain_id, "verifyingContract": domain.contract}
    return {"types": types, "primaryType": name, "domain": where, "message": to_json(message)}
