# SPDX-License-Identifier: Apache-2.0
"""Signed checkpoints of a journal: C2SP tlog-checkpoint in a signed note with Ed25519.

    origin \\n size \\n base64(root) \\n \\n — name base64(key id ‖ signature) \\n

What is signed is the text up to and with the newline before the blank line. The key id is the first 4 bytes of
SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key). Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consentum.errors import CorruptError, MalformedError

MAX_NOTE: Final = 1 << 16
MAX_SIGNATURES: Final = 100  # as in the reference implementation: a note cannot make us verify for ever
MAX_SIZE: Final = (1 << 63) - 1  # a signed 64-bit integer in the tools that read these notes

_ED25519 = b"\x01"
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's name, how many leaves it has, and their root (32 bytes)."""

    origin: str
    size: int
    root: bytes


def sign(checkpoint: Checkpoint, name: str, private_key: Ed25519PrivateKey) -> str:
    """The checkpoint as a signed note by the key called `name`; equal input gives equal text (RFC 8032).

    Raises MalformedError for an origin or name that would not read back as it is, a size outside 0..2^63-1, or a root
    that is not 32 bytes.
    """
    text = _text(checkpoint)
    identity = _key_id(name, private_key.public_key().public_bytes_raw())
    signature = private_key.sign(text.encode())
    return f"{text}\n— {name} {_base64(identity + signature)}\n"


def open_note(text: str, name: str, public_key: bytes) -> Checkpoint:
    """The checkpoint in a note that the key called `name` signed.

    Signatures by others, such as witnesses, may stand beside it and are passed over; extension lines are refused,
    our logs write none. Raises CorruptError for any other form, a signature that fails, or none by this key;
    MalformedError if `name` or `public_key` (32 bytes) cannot be a key's.
    """
    identity = _key_id(name, public_key)
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError:
        raise MalformedError("not an Ed25519 public key", field="public_key") from None
    # Checked on the text as a whole, so that no line break but \n can hide in it.
    if len(text) > MAX_NOTE or _CONTROL.search(text.replace("\n", "")):
        raise CorruptError("not a signed note")
    body, blank, signatures = text.rpartition("\n\n")
    if not blank:
        raise CorruptError("not a signed note")
    signed = body + "\n"
    signature = _signature_by(name, identity, signatures)
    try:
        key.verify(signature, signed.encode())
    except (InvalidSignature, UnicodeEncodeError):
        raise CorruptError("the checkpoint's signature fails") from None
    return _parse(signed)


def _signature_by(name: str, identity: bytes, signatures: str) -> bytes:
    """The 64 bytes that the key called `name` signed with, out of a note's signature lines."""
    lines = signatures.split("\n")
    if lines.pop() != "" or not 0 < len(lines) <= MAX_SIGNATURES:
        raise CorruptError("not a signed note")
    found = []
    for line in lines:
        match = _SIGNATURE.fullmatch(line)
        if match is None:
            raise CorruptError("not a signature line")
        blob = _unbase64(match[2])
        if len(blob) < 5:
            raise CorruptError("not a signature line")
        if match[1] == name and blob[:4] == identity:
            found.append(blob[4:])
    if len(found) != 1:
        raise CorruptError("the checkpoint is not signed, once, by this key")
    return found[0]


def _text(checkpoint: Checkpoint) -> str:
    origin, size, root = checkpoint.origin, checkpoint.size, checkpoint.root
    if not origin or _CONTROL.search(origin) or not _is_unicode(origin):
        raise MalformedError("an origin is one line of text", field="origin")
    if not 0 <= size <= MAX_SIZE:
        raise MalformedError("a size is from 0 to 2^63-1", field="size")
    if len(root) != 32:
        raise MalformedError("a root is 32 bytes", field="root")
    return f"{origin}\n{size}\n{_base64(root)}\n"


def _parse(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or not _SIZE.fullmatch(lines[1]):
        raise CorruptError("not a checkpoint")
    checkpoint = Checkpoint(lines[0], int(lines[1]), _unbase64(lines[2]))
    try:
        _text(checkpoint)
    except MalformedError:
        raise CorruptError("not a checkpoint") from None
    return checkpoint


def _key_id(name: str, public_key: bytes) -> bytes:
    if not re.fullmatch(r"[^\s+]+", name) or _CONTROL.search(name) or not _is_unicode(name):
        raise MalformedError("a key's name has no spaces and no plus", field="name")
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:4]


def _is_unicode(text: str) -> bool:
    """Whether it has an encoding: a lone surrogate has none."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    """Standard Base64 with padding, in its one canonical form, or CorruptError."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CorruptError("not Base64") from None
    if _base64(data) != text:
        raise CorruptError("not Base64 in its one form")
    return data
