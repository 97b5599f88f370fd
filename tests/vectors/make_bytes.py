# SPDX-License-Identifier: Apache-2.0
"""Writes bytes.json: every byte string of Consentum that is signed, hashed or bound, but is no EIP-712 struct.

Run only to add; a changed line means that records, receipts or journals made before no longer verify.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consentum.crypto import envelope, merkle, sealing, signing
from consentum.domain.cid import Cid
from consentum.domain.journal import RECEIPT_CONTEXT, RETRACT_CONTEXT, Entry, bitmap, canonical
from consentum.domain.records import Record

FILE = Path(__file__).with_name("bytes.json")
SEED = bytes(range(32))
ENTRY = Entry(
    salt="0x" + "01" * 32,
    decided_at=1_800_000_000,
    server="0x" + "02" * 20,
    release="0x" + "03" * 32,
    job="0x" + "04" * 32,
    record="0x" + "05" * 32,
    subject="0x" + "06" * 20,
    study="0x" + "07" * 32,
    requester="0x" + "08" * 20,
    runner="0x" + "09" * 20,
    purpose=4,
    access=2,
    epsilon_milli=0,
    reason=0,
    finalized="7:0x" + "0a" * 32,
    latest="9:0x" + "0b" * 32,
)
RECEIPT: dict[str, Any] = {"v": 1, "server": "0x" + "02" * 20, "index": 1, "counts": {"ALLOWED": 1}, "leaves": [[0, 1]]}
RETRACTED = {
    "v": 1,
    "server": "0x" + "02" * 20,
    "custodian": "0x" + "11" * 20,
    "record": "0x" + "05" * 32,
    "successor": "0x" + "00" * 32,
}


def build() -> dict[str, str]:
    """Name to hex."""
    cid = Cid.of(0x55, b"sealed record")
    record = Record("0x" + "11" * 20, "0x" + "22" * 20, 8, cid, b"\x33" * 32, b"\x44" * 32, b"\x55" * 32)
    checkpoint_key = Ed25519PrivateKey.from_private_bytes(SEED)
    made = {
        "record id": record.id,
        "key commitment": envelope.key_commitment(SEED),
        "deposit info": sealing.deposit_info(b"\x44" * 32, b"\x02" * 20, 1, b"\x66" * 32, 1),
        "answer info": sealing.answer_info(b"\x77" * 32, b"\x02" * 20, 1),
        "sealing public key, SHA-256": hashlib.sha256(sealing.SealingKey(SEED).public).digest(),
        "journal entry": ENTRY.to_bytes(),
        "journal leaf": merkle.leaf_hash(ENTRY.to_bytes()),
        "records root": merkle.root_of([record.id, b"\x01" * 32, b"\x02" * 32]),
        "receipt, signed bytes": RECEIPT_CONTEXT + canonical(RECEIPT),
        "receipt, signature": checkpoint_key.sign(RECEIPT_CONTEXT + canonical(RECEIPT)),
        "retraction receipt, signed bytes": RETRACT_CONTEXT + canonical(RETRACTED),
        "bitmap of 0 1 0 0 5 0 0 0 0": bitmap([0, 1, 0, 0, 5, 0, 0, 0, 0]),
        "passkey address": bytes.fromhex(signing.SoftPasskey("localhost", secret=7).address[2:]),
    }
    return {name: value.hex() for name, value in made.items()}


if __name__ == "__main__":
    frozen = json.loads(FILE.read_text()) if FILE.exists() else {}
    sealed = frozen.get("sealed message") or sealing.seal(b"share", sealing.SealingKey(SEED).public, b"context").hex()
    FILE.write_text(json.dumps({**build(), "sealed message": sealed}, indent=1) + "\n")
