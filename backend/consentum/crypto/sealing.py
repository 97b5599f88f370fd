# SPDX-License-Identifier: Apache-2.0
"""Sealed messages: HPKE (RFC 9180) with the hybrid KEM ML-KEM-768 + X25519 (X-Wing, 0x647a), HKDF-SHA256, AES-256-GCM.

One HPKE message per request, never one per share. The library's HPKE has no associated data, so everything a message
belongs to is bound in `info`, each part with its length: a message moved to another committee, server, index, batch or
request does not open.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from consentum.errors import CorruptError, MalformedError

SECRET_BYTES = 32
PUBLIC_BYTES = 1184 + 32
OVERHEAD_BYTES = 1120 + 16

DEPOSIT_CONTEXT = b"consentum/deposit/1"
ANSWER_CONTEXT = b"consentum/answer/1"
OUTPUTS_CONTEXT = b"consentum/outputs/1"

_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class SealingKey:
    """A private key, from its 32-byte X-Wing seed; anything else is a MalformedError."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.seed = secrets.token_bytes(SECRET_BYTES) if seed is None else seed
        if len(self.seed) != SECRET_BYTES:
            raise MalformedError("a sealing key's seed has 32 bytes")
        # draft-connolly-cfrg-xwing-kem: SHAKE-256 of the seed gives d ‖ z of ML-KEM and the X25519 scalar.
        expanded = hashlib.shake_256(self.seed).digest(96)
        lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
        self._private = hpke.MLKEM768X25519PrivateKey(lattice, curve)
        self.public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes(
            Encoding.Raw, PublicFormat.Raw
        )

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext; CorruptError if it was sealed to another key, for another context, or altered."""
        try:
            return _SUITE.decrypt(sealed, self._private, info)
        except (InvalidTag, ValueError):
            raise CorruptError("a sealed message does not open") from None


def seal(plaintext: bytes, public: bytes, info: bytes) -> bytes:
    """enc (1,120 bytes) ‖ ciphertext. public is 1,216 bytes, ML-KEM-768 ‖ X25519; MalformedError if it is no key."""
    return _SUITE.encrypt(plaintext, load_public(public), info)


def load_public(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    """MalformedError if it is no key."""
    if len(public) != PUBLIC_BYTES:
        raise MalformedError("a sealing key has 1,216 bytes", field="publicKey")
    try:
        lattice = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184])
        return hpke.MLKEM768X25519PublicKey(lattice, x25519.X25519PublicKey.from_public_bytes(public[1184:]))
    except ValueError:
        raise MalformedError("not a sealing key", field="publicKey") from None


def context(*parts: bytes) -> bytes:
    """An unambiguous `info`: each part after its 4-byte length."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def deposit_info(committee: bytes, server: bytes, index: int, records_root: bytes, epoch: int) -> bytes:
    """What a custodian's message to one server is bound to (D3). server is 20 bytes."""
    return context(DEPOSIT_CONTEXT, committee, server, index.to_bytes(1, "big"), records_root, epoch.to_bytes(4, "big"))


def answer_info(release_digest: bytes, server: bytes, index: int) -> bytes:
    """What a server's answer is bound to (R6)."""
    return context(ANSWER_CONTEXT, release_digest, server, index.to_bytes(1, "big"))


def outputs_info(job: bytes, runner: bytes) -> bytes:
    """What a job's outputs are bound to on their way to its requester; runner is 20 bytes."""
    return context(OUTPUTS_CONTEXT, job, runner)
