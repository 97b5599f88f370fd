# SPDX-License-Identifier: Apache-2.0
"""Receipts: what a server signed, checked against the checkpoint key it wrote on chain."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from consentum.domain.journal import RECEIPT_CONTEXT, allowed_positions, canonical
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import CorruptError, MalformedError, Reason


def verify_signature(public: bytes, context: bytes, receipt: Mapping[str, Any], signature: bytes) -> None:
    """CorruptError unless the server of that checkpoint key signed the receipt."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, context + canonical(receipt))
    except (InvalidSignature, ValueError, TypeError):
        raise CorruptError("a receipt is not signed by its server", field="receipt") from None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A release receipt that was verified: what a server decided about a page, and where it wrote it down."""

    server: str
    index: int
    allowed: tuple[int, ...]
    counts: Mapping[str, int]
    leaves: tuple[int, ...]
    size: int
    finalized: str
    latest: str


@dataclass(frozen=True, slots=True)
class Expected:
    """What a receipt must be about."""

    server: str
    index: int
    checkpoint_key: bytes
    release_digest: bytes
    count: int


def verify(expected: Expected, receipt: Mapping[str, Any], signature: bytes, sealed: bytes) -> Receipt:
    """The receipt of one answer. CorruptError if it is about anything else, or contradicts itself: every record must
    have a leaf in the journal, or its key must not be used (P4)."""
    verify_signature(expected.checkpoint_key, RECEIPT_CONTEXT, receipt, signature)
    about = (receipt.get("server"), receipt.get("index"), receipt.get("release"), receipt.get("count"))
    if about != (expected.server.lower(), expected.index, hexed(expected.release_digest), expected.count):
        raise CorruptError("a receipt is about another release", field="receipt")
    if receipt.get("sealed") != hexed(hashlib.sha256(sealed).digest()):
        raise CorruptError("a sealed message is not the one its receipt names", field="sealed")
    try:
        allowed = allowed_positions(as_bytes(receipt["bitmap"], "bitmap"), expected.count)
        runs = [(first, many) for first, many in receipt["leaves"]]
        if any(type(number) is not int for run in runs for number in run):
            raise ValueError
        if sum(many for _, many in runs) != expected.count or any(many < 1 for _, many in runs):
            raise ValueError  # before a server can make us count to a trillion
        leaves = tuple(first + offset for first, many in runs for offset in range(many))
        counts = {Reason[name].name: int(many) for name, many in receipt["counts"].items()}
        if any(many < 0 for many in counts.values()):
            raise ValueError
        size = int(receipt["size"])
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, MalformedError):
        raise CorruptError("a receipt is not of the right form", field="receipt") from None
    journalled = len(set(leaves)) == len(leaves) == expected.count and all(0 <= leaf < size for leaf in leaves)
    if not journalled or sum(counts.values()) != expected.count or counts.get("ALLOWED", 0) != len(allowed):
        raise CorruptError("a receipt contradicts itself", field="receipt")
    blocks = (str(receipt.get("finalized")), str(receipt.get("latest")))
    return Receipt(expected.server.lower(), expected.index, tuple(allowed), counts, leaves, size, *blocks)


def total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Counts by reason, added up over pages."""
    table: dict[str, int] = {}
    for page in counts:
        for name, many in page.items():
            table[name] = table.get(name, 0) + many
    return table
