# SPDX-License-Identifier: Apache-2.0
"""The peers' own published contracts (byte code from their npm packages): EAS 1.9.0 and ERC-1056 1.3.0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_abi.packed import encode_packed
from eth_utils.crypto import keccak

from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import address_bytes
from scripts.benchmarks.chain import Chain
from scripts.benchmarks.measure import ROOT

MODULES = ROOT / "tools" / "benchmarks" / "node_modules"
EAS = "@ethereum-attestation-service/eas-contracts/artifacts/contracts"
DID = "ethr-did-registry/artifacts/contracts/EthereumDIDRegistry.sol/EthereumDIDRegistry.json"
NOBODY, NOTHING = "0x" + "00" * 20, bytes(32)
DAY_SECONDS = 86_400

KEYS = (
    *("eas_attest", "eas_revoke", "eas_attest_batch_item", "eas_revoke_batch_item"),
    *("erc1056_change_owner", "erc1056_add_delegate", "erc1056_add_delegate_signed", "erc1056_revoke_delegate"),
)

_ATTESTATION = "(address,uint64,bool,bytes32,bytes,uint256)"
_REVOCATION = "(bytes32,uint256)"


def _bytecode(path: str) -> str:
    return str(json.loads(Path(MODULES / path).read_text("utf-8"))["bytecode"])


def _call(name: str, kinds: list[str], *args: Any) -> str:
    return "0x" + (keccak(f"{name}({','.join(kinds)})".encode())[:4] + encode(kinds, args)).hex()


def _attestation(data: bytes) -> tuple[Any, ...]:
    """Revocable, of a fresh person, holding as much as our commitment and its scope: 64 bytes."""
    return (WalletKey().address, 0, True, NOTHING, data, 0)


def eas(chain: Chain, batch: int) -> dict[str, float]:
    """Attesting and revoking, one and `batch` at once (gas per item), by the attester herself, unsigned."""
    registry = chain.create(_bytecode(f"{EAS}/SchemaRegistry.sol/SchemaRegistry.json"))
    service = chain.create(_bytecode(f"{EAS}/EAS.sol/EAS.json"), ("address", registry))
    text = "bytes32 commitment,bytes32 scope"
    chain.transact(_call("register", ["string", "address", "bool"], text, NOBODY, True), registry)
    schema = keccak(encode_packed(["string", "address", "bool"], [text, NOBODY, True]))
    data = b"\7" * 64
    one, many = [f"(bytes32,{_ATTESTATION})"], [f"(bytes32,{_ATTESTATION}[])[]"]
    back, all_back = [f"(bytes32,{_REVOCATION})"], [f"(bytes32,{_REVOCATION}[])[]"]
    chain.transact(_call("attest", one, (schema, _attestation(data))), service)  # the service's own first is dearer
    attested = chain.transact(_call("attest", one, (schema, _attestation(data))), service)
    uid = bytes.fromhex(attested.logs[0]["data"][2:])
    revoked = chain.transact(_call("revoke", back, (schema, (uid, 0))), service)
    items = [_attestation(data) for _ in range(batch)]
    together = chain.transact(_call("multiAttest", many, [(schema, items)]), service)
    uids = [(bytes.fromhex(entry["data"][2:]), 0) for entry in together.logs]
    withdrawn = chain.transact(_call("multiRevoke", all_back, [(schema, uids)]), service)
    return {
        "eas_attest": attested.gas,
        "eas_revoke": revoked.gas,
        "eas_attest_batch_item": together.gas / batch,
        "eas_revoke_batch_item": withdrawn.gas / batch,
    }


def erc1056(chain: Chain) -> dict[str, float]:
    """The registry ours takes its events from, used by the identity itself and relayed."""
    registry = chain.create(_bytecode(DID))
    name, friend, own = b"consent".ljust(32, b"\0"), WalletKey().address, chain.account
    kinds = ["address", "bytes32", "address"]
    added = chain.transact(_call("addDelegate", [*kinds, "uint256"], own, name, friend, DAY_SECONDS), registry)
    relayed = chain.transact(_relayed(registry, name, friend), registry)
    revoked = chain.transact(_call("revokeDelegate", kinds, own, name, friend), registry)
    changed = chain.transact(_call("changeOwner", ["address", "address"], own, friend), registry)
    return {
        "erc1056_change_owner": changed.gas,
        "erc1056_add_delegate": added.gas,
        "erc1056_add_delegate_signed": relayed.gas,
        "erc1056_revoke_delegate": revoked.gas,
    }


def _relayed(registry: str, name: bytes, friend: str) -> str:
    """addDelegateSigned, by a fresh identity, nonce 0."""
    key = WalletKey()
    place, identity = address_bytes(registry), address_bytes(key.address)
    inside = name + address_bytes(friend) + DAY_SECONDS.to_bytes(32, "big")
    digest = keccak(b"\x19\x00" + place + bytes(32) + identity + b"addDelegate" + inside)
    signature = key.sign(digest)
    r, s = signature[1:33], bytes([signature[33] & 0x7F]) + signature[34:]
    kinds = ["address", "uint8", "bytes32", "bytes32", "bytes32", "address", "uint256"]
    arguments = (key.address, 27 + (signature[33] >> 7), r, s, name, friend, DAY_SECONDS)
    return _call("addDelegateSigned", kinds, *arguments)
