# SPDX-License-Identifier: Apache-2.0
"""What the contracts hold at one block, in plain dictionaries, and who made a signature: verified, not believed.

Addresses are lower-case text. ERC-1271 wallets do not exist here: their signatures are nobody's.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field

from coincurve import PublicKey
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import P256_ORDER
from consentum.domain.registry_messages import Terms
from consentum.ports.chain import Anchor, Committee, Roles, ServerKeys, Standing

SECP256K1_HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
DELEGATE_TYPES = {
    Roles.CONSENT: b"consent",
    Roles.GUARDIAN: b"guardian",
    Roles.RECOVERY: b"recovery",
    Roles.DEPOSIT: b"deposit",
    Roles.ASSERTION: b"assertion",
}


@dataclass(slots=True)
class Study:
    """One version of a study; approved until a time, 0 while it is only proposed, -1 once closed."""

    lead: str
    board: bytes
    terms: Terms
    forms: frozenset[bytes]
    until: int = 0
    members: set[str] = field(default_factory=set)


@dataclass(slots=True)
class State:
    """Everything at one block. delegates and runners map to the second their time ends."""

    owners: dict[str, str] = field(default_factory=dict)
    delegates: dict[tuple[str, bytes, str], int] = field(default_factory=dict)
    times: dict[tuple[str, bytes], tuple[int, int]] = field(default_factory=dict)
    persons: dict[str, tuple[int, int]] = field(default_factory=dict)
    studies: dict[bytes, Study] = field(default_factory=dict)
    runners: dict[tuple[bytes, str], int] = field(default_factory=dict)
    boards: dict[bytes, tuple[str, ...]] = field(default_factory=dict)
    board_forms: set[tuple[bytes, bytes]] = field(default_factory=set)
    committees: dict[bytes, Committee] = field(default_factory=dict)
    servers: dict[str, ServerKeys] = field(default_factory=dict)
    anchors: dict[str, Anchor] = field(default_factory=dict)

    def may_act(self, identity: str, roles: int, actor: str, now: int) -> bool:
        """The controller, or a delegate of one of the roles whose time has not ended."""
        if not actor or not int(actor, 16):
            return False
        identity, actor = plain(identity), plain(actor)
        if actor == self.owners.get(identity, identity):
            return True
        kinds = [kind for role, kind in DELEGATE_TYPES.items() if role & roles]
        return any(self.delegates.get((identity, kind, actor), 0) > now for kind in kinds)

    def standing(self, subject: str, commitment: bytes) -> Standing:
        subject = plain(subject)
        return Standing(*self.times.get((subject, commitment), (0, 0)), *self.persons.get(subject, (0, 0)))

    def is_open(self, study: bytes, now: int) -> bool:
        return study in self.studies and now <= self.studies[study].until

    def is_member(self, study: bytes, who: str) -> bool:
        found = self.studies.get(study)
        return found is not None and (plain(who) == found.lead or plain(who) in found.members)

    def is_accredited(self, board: bytes, runner: str, now: int) -> bool:
        return self.runners.get((board, plain(runner)), 0) > now

    def is_form_approved(self, study: bytes, form: bytes, scope_is_board: bool) -> bool:
        found = self.studies[study]
        return (found.board, form) in self.board_forms if scope_is_board else form in found.forms


def plain(address: str) -> str:
    """The one text of an address: the chain sees 20 bytes, however they were spelled."""
    return "0x" + typed.address_bytes(address).hex()


def signer_of(digest: bytes, signature: bytes) -> str:
    """The address that made a signature, lower-case; "" for what is no signature."""
    if not signature:
        return ""
    kind, body = signature[0], signature[1:]
    if kind == 0:
        return _wallet(digest, body)
    return _passkey(digest, body) if kind == 1 else ""


def _wallet(digest: bytes, body: bytes) -> str:
    if len(body) != 64:
        return ""
    s = bytes([body[32] & 0x7F]) + body[33:]
    if int.from_bytes(s, "big") > SECP256K1_HALF:
        return ""
    try:
        key = PublicKey.from_signature_and_message(body[:32] + s + bytes([body[32] >> 7]), digest, hasher=None)
    except Exception:  # noqa: BLE001 - whatever the library dislikes about it
        return ""
    return "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex()


def _passkey(digest: bytes, body: bytes) -> str:
    """WebAuthn's limited verification, as Signers.sol has it."""
    end = 130 + int.from_bytes(body[128:130], "big")
    authenticator, client = body[130:end], body[end:]
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=")
    start = b'{"type":"webauthn.get","challenge":"' + challenge + b'"'
    if len(authenticator) < 37 or end > len(body) or authenticator[32] & 5 != 5 or not client.startswith(start):
        return ""
    x, y, r, s = (int.from_bytes(body[i : i + 32], "big") for i in range(0, 128, 32))
    if s > P256_ORDER // 2:
        return ""
    try:
        key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        signed = authenticator + hashlib.sha256(client).digest()
        key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    except (ValueError, InvalidSignature):
        return ""
    return "0x" + keccak(b"webauthn" + authenticator[:32] + body[:64])[-20:].hex()
