# SPDX-License-Identifier: Apache-2.0
"""A record: one encrypted object about one subject, known by an id nobody can squat or test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from eth_utils.crypto import keccak

from consentum.domain.cid import Cid

# A content above this is never held whole: it is sealed, sent, fetched and opened as a stream. In bytes.
LARGE_BYTES: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Record:
    """What a custodian deposits, without the content and without the key.

    categories is the mask of one or more category bits. salt (32 bytes) is known to custodian, subject and servers
    only, so that a runner cannot test an id against addresses.
    """

    custodian: str
    subject: str
    categories: int
    cid: Cid
    key_commitment: bytes
    committee: bytes
    salt: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        """keccak256 over every field, fixed widths, in the order of the class."""
        return keccak(
            b"consentum/record/1"
            + bytes.fromhex(self.custodian[2:])
            + bytes.fromhex(self.subject[2:])
            + self.categories.to_bytes(8, "big")
            + self.cid.raw
            + self.key_commitment
            + self.committee
            + self.salt
        )
