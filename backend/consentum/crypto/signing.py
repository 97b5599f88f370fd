# SPDX-License-Identifier: Apache-2.0
"""Software keys, and signatures as bytes: type byte, then 0 ECDSA (EIP-2098), 1 passkey (WebAuthn), 2 ERC-1271.

Only makes signatures. The one verifier is DidRegistry.isSignedBy, on chain.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Protocol

from coincurve import PrivateKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Signer(Protocol):
    """Whoever can sign a digest as one address."""

    @property
    def address(self) -> str: ...

    def sign(self, digest: bytes) -> bytes: ...


class WalletKey:
    """A secp256k1 key, as wallets hold them. Signatures: 0 ‖ r ‖ yParityAndS (65 bytes)."""

    def __init__(self, secret: bytes | None = None) -> None:
        self._key = PrivateKey(secret)
        self._address = to_checksum_address(keccak(self._key.public_key.format(compressed=False)[1:])[-20:])

    @property
    def address(self) -> str:
        return self._address

    @property
    def secret(self) -> bytes:
        return bytes(self._key.secret)

    def sign(self, digest: bytes) -> bytes:
        """The digest's signature; coincurve gives low s."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        compact = bytearray(signature[:64])
        compact[32] |= signature[64] << 7
        return b"\0" + bytes(compact)


def passkey_address(rp_id: str, x: bytes, y: bytes) -> str:
    """The identity of a passkey: bound to the relying party for ever."""
    return to_checksum_address(keccak(b"webauthn" + hashlib.sha256(rp_id.encode()).digest() + x + y)[-20:])


def passkey_signature(public: bytes, der: bytes, authenticator_data: bytes, client_data: bytes) -> bytes:
    """Packs what an authenticator returned. public is x ‖ y (64 bytes), der the P-256 signature; high s is turned
    into its low twin, because authenticators return either and the contract takes one."""
    r, s = decode_dss_signature(der)
    s = min(s, P256_ORDER - s)
    fixed = public + r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return b"\1" + fixed + len(authenticator_data).to_bytes(2, "big") + authenticator_data + client_data


class SoftPasskey:
    """A P-256 key that signs as an authenticator would for `rp_id`, user present and verified."""

    def __init__(self, rp_id: str, secret: int | None = None, origin: str | None = None) -> None:
        curve = ec.SECP256R1()
        self._key = ec.generate_private_key(curve) if secret is None else ec.derive_private_key(secret, curve)
        numbers = self._key.public_key().public_numbers()
        self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.rp_id, self.origin = rp_id, origin or f"https://{rp_id}"
        self._address = passkey_address(rp_id, self.public[:32], self.public[32:])

    @property
    def address(self) -> str:
        return self._address

    @property
    def secret_pem(self) -> bytes:
        """The private key, PKCS#8, unencrypted."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, digest: bytes) -> bytes:
        """WebAuthn assertion over the digest as challenge (WebAuthn Level 2, 5.8.1.1 and 6.1)."""
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        client = {"type": "webauthn.get", "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        client_data = json.dumps(client, separators=(",", ":")).encode()
        authenticator_data = hashlib.sha256(self.rp_id.encode()).digest() + b"\x05" + bytes(4)
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        der = self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
        return passkey_signature(self.public, der, authenticator_data, client_data)


def contract_signature(wallet: str, inner: bytes) -> bytes:
    """An ERC-1271 signature by a contract wallet."""
    return b"\2" + bytes.fromhex(wallet.removeprefix("0x")) + inner
