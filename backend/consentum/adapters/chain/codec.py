# SPDX-License-Identifier: Apache-2.0
"""Call data from the shipped ABIs, and by hand for the one call that is hot."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from consentum.adapters.chain.artifacts import artifact
from consentum.crypto import typed
from consentum.domain.messages import Job
from consentum.errors import UnavailableError
from consentum.ports.chain import Claim, Item, Question


def _kind(parameter: dict[str, Any]) -> str:
    kind = str(parameter["type"])
    if kind.startswith("tuple"):
        return f"({','.join(_kind(part) for part in parameter['components'])}){kind[5:]}"
    return kind


@lru_cache(maxsize=128)
def _function(contract: str, name: str) -> tuple[bytes, tuple[str, ...], tuple[str, ...]]:
    found = next(f for f in artifact(contract)["abi"] if f["type"] == "function" and f["name"] == name)
    inputs = tuple(_kind(p) for p in found["inputs"])
    outputs = tuple(_kind(p) for p in found["outputs"])
    return keccak(f"{name}({','.join(inputs)})".encode())[:4], inputs, outputs


def encode_call(contract: str, name: str, *args: Any) -> str:
    """0x call data of a function by name."""
    selector, inputs, _ = _function(contract, name)
    return "0x" + (selector + encode(inputs, args)).hex()


def decode_result(contract: str, name: str, result: object) -> tuple[Any, ...]:
    """The return values; UnavailableError if the node's answer is not of that shape."""
    _, _, outputs = _function(contract, name)
    try:
        return tuple(decode(outputs, raw_bytes(result)))
    except Exception:  # noqa: BLE001 - eth_abi's own errors have no common root; all mean the same here
        raise UnavailableError("the node's answer has another shape") from None


def raw_bytes(result: object) -> bytes:
    """0x text to bytes; UnavailableError if it is not that."""
    if not isinstance(result, str) or not result.startswith("0x"):
        raise UnavailableError("the node's answer is not hex")
    try:
        return bytes.fromhex(result[2:])
    except ValueError:
        raise UnavailableError("the node's answer is not hex") from None


@lru_cache(maxsize=128)
def revert_names() -> dict[str, str]:
    """Selector of each custom error of every contract to its name."""
    from consentum.adapters.chain.artifacts import CONTRACTS  # noqa: PLC0415 - keeps the table beside its use

    table = {}
    for contract in CONTRACTS:
        for item in artifact(contract)["abi"]:
            if item["type"] == "error":
                signature = f"{item['name']}({','.join(_kind(p) for p in item['inputs'])})"
                table["0x" + keccak(signature.encode())[:4].hex()] = str(item["name"])
    return table


def _uint(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _tail(data: bytes) -> bytes:
    return _uint(len(data)) + data + bytes(-len(data) % 32)


def _items(items: Sequence[Item]) -> bytes:
    return _uint(len(items)) + b"".join(typed.words(i.consent) + _uint(i.categories) for i in items)


def pack_check(question: Question, items: Sequence[Item]) -> str:
    """ReleasePolicy.check: items have fixed size, so a thousand are one join (web3.py manages 5,000 items/s, this
    some hundred thousand)."""
    selector, _, _ = _function("ReleasePolicy", "check")
    job_signature, release_signature = _tail(question.job_signature), _tail(question.release_signature)
    head = 13 * 32
    second = head + len(job_signature)
    third = second + len(release_signature)
    body = (
        typed.words(question.job)
        + _uint(head)
        + question.release_digest
        + _uint(second)
        + _uint(third)
        + job_signature
        + release_signature
        + _items(items)
    )
    return "0x" + (selector + body).hex()


def pack_review(job: Job, items: Sequence[Item]) -> str:
    """ReleasePolicy.review, packed the same way."""
    selector, _, _ = _function("ReleasePolicy", "review")
    return "0x" + (selector + typed.words(job) + _uint(10 * 32) + _items(items)).hex()


def unpack_reasons(result: object, count: int) -> list[int]:
    """uint8[] of exactly `count`, or UnavailableError: a node's answer is never trusted in part."""
    raw = raw_bytes(result)
    if len(raw) != 64 + 32 * count or raw[:64] != _uint(32) + _uint(count):
        raise UnavailableError("the node's answer has another length")
    words = [raw[64 + 32 * i : 96 + 32 * i] for i in range(count)]
    if any(word[:31] != bytes(31) for word in words):
        raise UnavailableError("the node's answer is not uint8[]")
    return [word[31] for word in words]


def pack_claim(claim: Claim) -> str:
    """DidRegistry.isSignedBy."""
    selector, _, _ = _function("DidRegistry", "isSignedBy")
    identity = bytes(12) + typed.address_bytes(claim.identity)
    return "0x" + (selector + identity + _uint(claim.roles) + claim.digest + _uint(128) + _tail(claim.signature)).hex()
