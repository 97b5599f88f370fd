# SPDX-License-Identifier: Apache-2.0
"""Content identifiers: the name of a block is the hash of its bytes.

One form only: CIDv1, codec raw or dag-pb, SHA-256, as base32. A second spelling of the same content would be a second
name for one record, and an identity CID would be "verified" whatever it carries, so neither can be built.
Source: https://github.com/multiformats/cid, https://github.com/multiformats/multibase (base32, RFC 4648 lower case).
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Self

from consentum.errors import CorruptError, MalformedError

RAW: Final = 0x55
DAG_PB: Final = 0x70
CID_LENGTH: Final = 36
_TEXT_LENGTH: Final = 59
_VERSION = 1
_SHA256_32 = b"\x12\x20"


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """A CIDv1 in its binary form: version 1, codec, 0x12 0x20, digest; 36 bytes. Ordered by those bytes.

    Raises MalformedError on anything else: CIDv0, identity or other hashes, other codecs, varints of more bytes than
    they need.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != CID_LENGTH:
            raise MalformedError(f"a CID here is {CID_LENGTH} bytes", field="cid")
        # Every field fits one byte, so this comparison also refuses non-minimal varints.
        if self.raw[0] != _VERSION or self.raw[1] not in {RAW, DAG_PB} or self.raw[2:4] != _SHA256_32:
            raise MalformedError("only CIDv1 with codec raw or dag-pb and SHA-256", field="cid")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """The CID whose binary form is exactly `raw` (36 bytes); MalformedError otherwise."""
        return cls(bytes(raw))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The CID whose text is `text`: 'b' and 58 characters of base32 in lower case; MalformedError otherwise."""
        if len(text) != _TEXT_LENGTH or not text.startswith("b") or not text.isascii():
            raise MalformedError("a CID here is 59 characters of base32, from 'b'", field="cid")
        try:
            cid = cls(b32decode(text[1:].upper() + "======"))
        except Base32Error:
            raise MalformedError("a CID holds a character that is not base32", field="cid") from None
        # Upper case, and the two spare bits of the last character, would give one CID many texts.
        if str(cid) != text:
            raise MalformedError("not the canonical text of a CID", field="cid")
        return cid

    @classmethod
    def of(cls, codec: int, block: bytes) -> Self:
        """The CID of `block` under `codec` (RAW or DAG_PB); MalformedError for another codec."""
        if codec not in {RAW, DAG_PB}:
            raise MalformedError("only the codecs raw and dag-pb", field="cid")
        return cls(bytes((_VERSION, codec)) + _SHA256_32 + sha256(block).digest())

    @property
    def codec(self) -> int:
        """RAW (0x55) or DAG_PB (0x70)."""
        return self.raw[1]

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the block, 32 bytes."""
        return self.raw[4:]

    def verify(self, block: bytes) -> None:
        """Return if `block` is the one this CID names; CorruptError, naming the CID, if it is not."""
        if sha256(block).digest() != self.digest:
            raise CorruptError(f"block {self} does not match its CID")

    def __str__(self) -> str:
        return "b" + b32encode(self.raw).decode().rstrip("=").lower()
