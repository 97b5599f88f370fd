# SPDX-License-Identifier: Apache-2.0
"""What a key server writes down, and what it hands out as proof: journal entries and receipts, as frozen bytes.

Entries are canonical JSON with a random salt, so the log's hashes can be public while its entries are not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from consentum.errors import MalformedError, Reason

RECEIPT_CONTEXT = b"consentum/receipt/1\n"
DEPOSIT_CONTEXT = b"consentum/deposit-receipt/1\n"
RETRACT_CONTEXT = b"consentum/retraction-receipt/1\n"
NOTICE_CONTEXT = b"consentum/notice-receipt/1\n"
RETRACT_CONTEXT = b"consentum/retraction-receipt/1\n"


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one JSON text of a mapping: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One decision about one record. All hashes are 0x text; times UTC seconds; blocks "number:0xhash"."""

    salt: str
    decided_at: int
    server: str
    release: str
    job: str
    record: str
    subject: str
    study: str
    requester: str
    runner: str
    purpose: int
    access: int
    epsilon_milli: int
    reason: int
    finalized: str
    latest: str

    def to_bytes(self) -> bytes:
        return canonical({"v": 1, **asdict(self)})

    @classmethod
    def from_bytes(cls, raw: bytes) -> Entry:
        try:
            data = json.loads(raw)
            if data.pop("v") != 1:
                raise ValueError
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise MalformedError("not a journal entry") from None


def bitmap(reasons: Sequence[int]) -> bytes:
    """One bit per record in order, most significant first; 1 is released."""
    padded = list(reasons) + [1] * (-len(reasons) % 8)
    return bytes(
        sum((padded[start + bit] == Reason.ALLOWED) << (7 - bit) for bit in range(8))
        for start in range(0, len(padded), 8)
    )


def allowed_positions(bits: bytes, count: int) -> list[int]:
    """Positions whose bit is set. MalformedError for a bitmap of another length or with bits beyond `count`."""
    positions = [8 * byte + bit for byte in range(len(bits)) for bit in range(8) if bits[byte] >> (7 - bit) & 1]
    if len(bits) != (count + 7) // 8 or any(position >= count for position in positions):
        raise MalformedError("not a bitmap of the page", field="bitmap")
    return positions


def counts(reasons: Sequence[int]) -> dict[str, int]:
    """How many records got which reason, by name."""
    table: dict[str, int] = {}
    for reason in reasons:
        name = Reason(reason).name
        table[name] = table.get(name, 0) + 1
    return table
