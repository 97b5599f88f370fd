# SPDX-License-Identifier: Apache-2.0
"""Invites: the one-time code a custodian gives a patient, as text she can type, and what binds her enrolment to it.

The text is `consentum-invite:` and base32 (RFC 4648, no padding) in groups of five: version (1 byte) ‖ code (16) ‖
custodian (20) ‖ expires (5, UTC seconds) ‖ gateway's URL (UTF-8) ‖ the first 4 bytes of the SHA-256 of all before.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

from consentum.errors import InviteError

SCHEME = "consentum-invite:"
CODE_BYTES = 16
MAX_GATEWAY_BYTES = 200
MAX_TEXT = 1_000
MAX_VALID_DAYS = 365
_VERSION = b"\1"
_CHECK_BYTES = 4
_FIXED = 1 + CODE_BYTES + 20 + 5
_GROUP = 5
# Base32 has none of these digits: a hand that writes one means the letter it looks like.
_LOOKALIKES = str.maketrans("018", "OIB")


@dataclass(frozen=True, slots=True)
class Invite:
    """A custodian's invitation. code is secret until it is used; custodian is lower-case; expires in UTC seconds."""

    code: bytes = field(repr=False)
    custodian: str
    gateway: str
    expires: int

    def to_text(self) -> str:
        """The URI, in capitals and digits only, so that a QR code of it is small."""
        raw = (
            _VERSION
            + self.code
            + bytes.fromhex(self.custodian[2:])
            + self.expires.to_bytes(5, "big")
            + self.gateway.encode()
        )
        letters = base64.b32encode(raw + _check(raw)).decode().rstrip("=")
        groups = [letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP)]
        return SCHEME.upper() + "-".join(groups)


def parse_invite(text: str) -> Invite:
    """The invite in a text, whatever its case, spaces and dashes. InviteError(INVITE_MISTYPED) if a letter is wrong,
    missing or too many, or the text is no invite at all."""
    compact = "".join(text.split()).upper() if len(text) <= MAX_TEXT else ""
    if not compact.startswith(SCHEME.upper()):
        raise InviteError("INVITE_MISTYPED", f"an invite begins with {SCHEME}")
    letters = compact[len(SCHEME) :].replace("-", "").translate(_LOOKALIKES)
    try:
        raw = base64.b32decode(letters + "=" * (-len(letters) % 8))
    except ValueError:
        raise InviteError("INVITE_MISTYPED", "a letter of the invite is missing or wrong") from None
    body, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(body) < _FIXED or check != _check(body):
        raise InviteError("INVITE_MISTYPED", "a letter of the invite is missing or wrong")
    return _invite(body)


def _invite(body: bytes) -> Invite:
    code, rest = body[1 : 1 + CODE_BYTES], body[1 + CODE_BYTES :]
    try:
        gateway = rest[25:].decode()
        known = body[:1] == _VERSION and urlsplit(gateway).scheme in ("http", "https")
    except ValueError:
        known = False
    if not known or len(rest) - 25 > MAX_GATEWAY_BYTES:
        raise InviteError("INVITE_FOREIGN", "this invite is of a kind this version does not know")
    return Invite(code, "0x" + rest[:20].hex(), gateway, int.from_bytes(rest[20:25], "big"))


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(b"consentum/invite-check/1\0" + raw).digest()[:_CHECK_BYTES]


def patient_ref(code: bytes, custodian: str, subject: str) -> bytes:
    """Enrol.patientRef under a code: whoever sees it, the gateway included, can enrol no other subject under it."""
    who = bytes.fromhex(custodian[2:]) + bytes.fromhex(subject[2:])
    return keccak(b"consentum/invite/v1" + code + who)


def proof_of(code: bytes) -> bytes:
    """What whoever has the code shows the gateway: it says that there is a code, not which."""
    return hashlib.sha256(b"consentum/invite-proof/1\0" + code).digest()


def ticket_of(proof: bytes, custodian: str) -> bytes:
    """What the custodian leaves with the gateway when it invites: it knows a proof by it and cannot make one."""
    return hashlib.sha256(b"consentum/ticket/1\0" + bytes.fromhex(custodian[2:]) + proof).digest()
