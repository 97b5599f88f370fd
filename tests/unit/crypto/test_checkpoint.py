# SPDX-License-Identifier: Apache-2.0
"""Signed checkpoints: a real one of Go's checksum database, the reference key of Go's note package, and tampering."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from consentum.crypto import checkpoint as cp
from consentum.errors import CorruptError, MalformedError

# A checkpoint that sum.golang.org published, and its verifier key (golang.org, cmd/go/internal/modfetch/key.go).
GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_NOTE = (
    "go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n"
    "— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=\n"
)
# The same log, cosigned by a witness in the style of the note package.
COSIGNED = (
    "go.sum database tree\n15067302\ngJyioq6dwR9n+NjEWORfYmH+ubeYm3kH42BBQ0bTpYI=\n\n"
    "— sum.golang.org Az3grp1rvWOs5NKlr/xR4GLN/CDyzzakmt1o61uSxYKpK1SerqOP2ClbX/peKUZjYnyomH5Xz7GZG3TpB7OeKn4E2ww=\n"
    "— test.example.com qTGhC/xIPQ0AXKHK6Y+9ypRfuvMZWPjRXM8NiOg5M1WREn07VQXyuIXM3NRNav3ieVFLUqDRK77PWDmL6w8w84UqeAw=\n"
)
# The signer of golang.org/x/mod/sumdb/note's tests.
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"

NAME = "log.example.org/server-1"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = KEY.public_key().public_bytes_raw()
CHECKPOINT = cp.Checkpoint("example.org/journal one", 42, hashlib.sha256(b"root").digest())
NOTE = cp.sign(CHECKPOINT, NAME, KEY)


def public_part(key: str) -> tuple[str, bytes]:
    """Name and raw public key of a verifier key in Go's form."""
    name, _, encoded = key.split("+", 2)
    return name, base64.b64decode(encoded)[1:]


def signed(text: str, key: Ed25519PrivateKey = KEY, name: str = NAME) -> str:
    """Any text as a note that is rightly signed, to reach the checks behind the signature."""
    public = key.public_key().public_bytes_raw()
    identity = hashlib.sha256(name.encode() + b"\n\x01" + public).digest()[:4]
    line = base64.b64encode(identity + key.sign(text.encode())).decode()
    return f"{text}\n— {name} {line}\n"


def refused(note: str, name: str = NAME, public_key: bytes = PUBLIC) -> None:
    with pytest.raises(CorruptError):
        cp.open_note(note, name, public_key)


def test_a_checkpoint_of_gos_checksum_database_opens() -> None:
    opened = cp.open_note(GO_NOTE, *public_part(GO_KEY))
    root = base64.b64decode("mb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=")
    assert opened == cp.Checkpoint("go.sum database tree", 6476701, root)


def test_a_cosigned_checkpoint_opens_under_the_logs_own_key() -> None:
    assert cp.open_note(COSIGNED, *public_part(GO_KEY)).size == 15067302


def test_key_ids_and_signatures_are_those_of_the_reference_key() -> None:
    seed = base64.b64decode(PETER_SECRET.split("+", 4)[4])[1:]
    note = cp.sign(CHECKPOINT, "PeterNeumann", Ed25519PrivateKey.from_private_bytes(seed))
    assert base64.b64decode(note.split()[-1])[:4].hex() == PETER_KEY.split("+")[1]
    assert cp.open_note(note, *public_part(PETER_KEY)) == CHECKPOINT


def test_a_note_has_the_exact_form_of_the_specification() -> None:
    text = f"example.org/journal one\n42\n{base64.b64encode(CHECKPOINT.root).decode()}\n"
    assert signed(text) == NOTE


def test_signing_twice_gives_the_same_text() -> None:
    assert cp.sign(CHECKPOINT, NAME, KEY) == NOTE


@given(st.integers(0, cp.MAX_SIZE), st.binary(min_size=32, max_size=32))
def test_what_was_signed_opens_as_it_was(size: int, root: bytes) -> None:
    checkpoint = cp.Checkpoint("größe — one", size, root)
    assert cp.open_note(cp.sign(checkpoint, NAME, KEY), NAME, PUBLIC) == checkpoint


def test_every_single_changed_character_is_refused() -> None:
    for i, character in enumerate(NOTE):
        refused(NOTE[:i] + chr(ord(character) ^ 1) + NOTE[i + 1 :])
        refused(NOTE[:i] + NOTE[i + 1 :])
        refused(NOTE[:i] + "\n" + NOTE[i:])


def test_every_beginning_of_a_note_is_refused() -> None:
    for i in range(len(NOTE)):
        refused(NOTE[:i])


@pytest.mark.parametrize("extra", ["\n", " ", "x", "\n\n", "— x\n", "— x y\n", "— a b AAAA\n", "— a\0b AAAAAAAA\n"])
def test_anything_after_a_note_that_is_no_signature_is_refused(extra: str) -> None:
    refused(NOTE + extra)


def test_another_key_or_name_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    refused(NOTE, public_key=other.public_key().public_bytes_raw())
    refused(NOTE, name="log.example.org/server-2")
    refused(cp.sign(CHECKPOINT, NAME, other))
    refused(cp.sign(CHECKPOINT, "log.example.org/server-2", KEY))


def test_a_signature_for_another_checkpoint_is_refused() -> None:
    other = cp.sign(cp.Checkpoint(CHECKPOINT.origin, 43, CHECKPOINT.root), NAME, KEY)
    refused(NOTE.partition("\n\n")[0] + "\n\n" + other.partition("\n\n")[2])


def test_a_second_signature_by_the_same_key_is_refused() -> None:
    refused(NOTE + NOTE.partition("\n\n")[2])


def test_a_note_without_signatures_or_with_too_many_is_refused() -> None:
    body = NOTE.partition("\n\n")[0]
    refused(body + "\n\n")
    witness = cp.sign(CHECKPOINT, "witness", Ed25519PrivateKey.generate()).partition("\n\n")[2]
    assert cp.open_note(NOTE + witness * 99, NAME, PUBLIC) == CHECKPOINT
    refused(NOTE + witness * 100)


def test_a_note_of_any_length_is_not_even_read() -> None:
    refused(signed("x" * cp.MAX_NOTE + "\n1\n" + base64.b64encode(bytes(32)).decode() + "\n"))


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"o\n01\n{ROOT}\n",
        f"o\n+1\n{ROOT}\n",
        f"o\n-1\n{ROOT}\n",
        f"o\n 1\n{ROOT}\n",
        f"o\n1_0\n{ROOT}\n",
        f"o\n\u0661\n{ROOT}\n",
        f"o\n\n{ROOT}\n",
        f"o\n{1 << 63}\n{ROOT}\n",
        f"o\n{10**30}\n{ROOT}\n",
        f"\n1\n{ROOT}\n",
        f"o\n1\n{ROOT}\nextension\n",
        f"o\n1\n{ROOT}\n\nmore\n",
        f"o\r\n1\n{ROOT}\n",
        "o\n1\n",
        "o\n1\n\n",
        f"o\n1\n{ROOT[:-1]}\n",
        f"o\n1\n{ROOT[:-2]}B=\n",
        f"o\n1\n{ROOT} \n",
        f"o\n1\n{base64.b64encode(bytes(31)).decode()}\n",
        f"o\n1\n{base64.b64encode(bytes(33)).decode()}\n",
        f"o\n1\n{base64.urlsafe_b64encode(b'?' * 32).decode().replace('/', '_')}-\n",
        "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n",
    ],
)
def test_a_rightly_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    refused(signed(text))


def test_a_text_that_cannot_be_encoded_is_refused() -> None:
    refused(NOTE.replace("journal", "\ud800"))


@pytest.mark.parametrize(
    "checkpoint",
    [
        cp.Checkpoint("", 1, bytes(32)),
        cp.Checkpoint("two\nlines", 1, bytes(32)),
        cp.Checkpoint("tab\there", 1, bytes(32)),
        cp.Checkpoint("\udc80", 1, bytes(32)),
        cp.Checkpoint("o", -1, bytes(32)),
        cp.Checkpoint("o", 1 << 63, bytes(32)),
        cp.Checkpoint("o", 1, bytes(31)),
    ],
)
def test_a_checkpoint_that_would_not_read_back_is_not_signed(checkpoint: cp.Checkpoint) -> None:
    with pytest.raises(MalformedError):
        cp.sign(checkpoint, NAME, KEY)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x00b", "\ud800"])
def test_a_name_that_no_key_can_have_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        cp.sign(CHECKPOINT, name, KEY)
    with pytest.raises(MalformedError):
        cp.open_note(NOTE, name, PUBLIC)


@pytest.mark.parametrize("public_key", [b"", bytes(31), PUBLIC + b"\0"])
def test_a_public_key_of_another_length_is_refused(public_key: bytes) -> None:
    with pytest.raises(MalformedError):
        cp.open_note(NOTE, NAME, public_key)
