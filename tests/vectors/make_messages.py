# SPDX-License-Identifier: Apache-2.0
"""Writes messages.json: every signed struct with fixed values, its words, hashes and two kinds of signature.

Read by Python and Solidity. Run only to add; a changed line means that signatures given before no longer verify.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from consentum.crypto import signing, typed
from consentum.domain.messages import Message

CHAIN_ID = 31337
REGISTRY = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
STATIC = [name for name in typed.MESSAGES if name not in ("Terms", "Propose", "Amend", "ChangeBoard")]


def sample(name: str) -> Message:
    """A message whose fields all differ, and say where they stand."""
    values: dict[str, Any] = {}
    for position, (field, kind) in enumerate(typed.fields_of(name), start=1):
        values[field] = {
            "address": "0x" + f"{position:02x}" * 20,
            "bytes32": bytes([position]) * 32,
            "bool": True,
            "string": "http://localhost:8000",
        }.get(kind, position * 3 % 256)
    return typed.MESSAGES[name](**values)


def build() -> dict[str, Any]:
    messages = []
    for name in STATIC:
        message = sample(name)
        assert [f.name for f in fields(message)] == [f for f, _ in typed.fields_of(name)]  # type: ignore[arg-type]
        domain = typed.Domain(CHAIN_ID, REGISTRY)
        messages.append(
            {
                "type": name,
                "typeHash": "0x" + typed.type_hash(name).hex(),
                "words": "0x" + typed.words(message).hex(),
                "structHash": "0x" + typed.struct_hash(message).hex(),
                "digest": "0x" + typed.digest(domain, message).hex(),
            }
        )
    return {"chainId": CHAIN_ID, "consentRegistry": REGISTRY, "messages": messages}


def signatures(digest: bytes) -> list[dict[str, str]]:
    wallet, passkey = signing.WalletKey(b"\x01" * 32), signing.SoftPasskey("localhost", secret=7)
    keys: list[tuple[str, signing.Signer]] = [("ecdsa", wallet), ("passkey", passkey)]
    return [
        {"kind": kind, "signer": k.address, "digest": "0x" + digest.hex(), "signature": "0x" + k.sign(digest).hex()}
        for kind, k in keys
    ]


if __name__ == "__main__":
    made = build()
    made["signatures"] = signatures(bytes.fromhex(made["messages"][0]["digest"][2:]))
    Path(__file__).with_name("messages.json").write_text(json.dumps(made, indent=1) + "\n")
