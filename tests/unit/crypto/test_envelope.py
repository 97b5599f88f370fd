# SPDX-License-Identifier: Apache-2.0
"""The envelope against Tink's own library, both ways, and against everything one could do to a ciphertext."""

from __future__ import annotations

import hashlib
import json
import os
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tink.streaming_aead import streaming_aead_key_templates

from consentum.crypto import envelope as env
from consentum.errors import CorruptError, MalformedError
from tests.unit.crypto.envelopes import (
    FIRST,
    FRONT,
    HEADER,
    KEY,
    MIB,
    NEXT,
    SEALED,
    pattern,
    read_all,
    refused,
    tink_opens,
    tink_seals,
)

SIZES = [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT - 1, FIRST + NEXT, FIRST + NEXT + 1, 4 * MIB + 12345]
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "envelope.json").read_text())


@pytest.mark.parametrize("size", SIZES)
def test_tink_opens_what_we_seal_and_we_open_what_tink_seals(size: int) -> None:
    content = pattern(size)
    ours, theirs = env.seal(KEY, HEADER, content), tink_seals(FRONT + content)
    assert tink_opens(ours) == FRONT + content
    assert len(ours) == len(theirs)
    for sealed in (ours, theirs):
        assert env.open_(KEY, sealed) == (HEADER, content)
        assert read_all(KEY, sealed) == content


@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=500))
def test_any_name_type_and_content_come_back(name: str, content_type: str, content: bytes) -> None:
    try:
        sealed = env.seal(KEY, env.Header(name, content_type), content)
    except MalformedError:
        assert any("\ud800" <= character <= "\udfff" for character in name + content_type)
        return
    assert env.open_(KEY, sealed) == (env.Header(name, content_type), content)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(SEALED) - 1), st.integers(0, 7))
def test_a_flipped_bit_anywhere_is_refused(at: int, bit: int) -> None:
    refused(SEALED[:at] + bytes([SEALED[at] ^ 1 << bit]) + SEALED[at + 1 :])


def test_a_small_envelope_cut_or_flipped_at_any_byte_is_refused() -> None:
    sealed = env.seal(KEY, HEADER, b"small")
    for at in range(len(sealed)):
        refused(sealed[:at])
        refused(sealed[:at] + bytes([sealed[at] ^ 0x10]) + sealed[at + 1 :])


def test_an_envelope_cut_at_or_near_a_segments_end_is_refused(three: bytes) -> None:
    for end in (MIB, 2 * MIB, 3 * MIB):
        for by in (-17, -16, -1, 0, 1, 15, 16, 17):
            if end + by < len(three):
                refused(three[: end + by])


def test_segments_moved_repeated_or_missing_are_refused(three: bytes) -> None:
    a, b, c = (three[i * MIB : (i + 1) * MIB] for i in range(3))
    for wrong in (a + c + b, b + a + c, a + b + b, a + b + c + c, b + c, a + c):
        refused(wrong)


def test_segments_of_another_envelope_under_the_same_key_are_refused(three: bytes) -> None:
    other = env.seal(KEY, HEADER, pattern(FIRST + 2 * NEXT))
    refused(three[:MIB] + other[MIB : 2 * MIB] + three[2 * MIB :])
    refused(other[:40] + three[40:])


@pytest.mark.parametrize("extra", [b"\0", bytes(16), bytes(17), bytes(MIB)])
def test_an_envelope_that_goes_on_is_refused(three: bytes, extra: bytes) -> None:
    refused(three + extra)
    refused(env.seal(KEY, HEADER, b"small") + extra)


def test_an_empty_segment_after_a_full_one_is_refused() -> None:
    cipher = env._SegmentCipher(KEY, bytes(32), bytes(7))
    first = bytes(cipher.seal(0, False, FRONT + bytes(FIRST)))
    refused(b"\x28" + bytes(39) + first + bytes(cipher.seal(1, True, b"")))


def test_another_key_is_refused(three: bytes) -> None:
    refused(three, bytes(32))


def test_another_associated_data_or_segment_size_is_refused() -> None:
    refused(tink_seals(FRONT + b"content", b"consentum/envelope/2"))
    refused(tink_seals(FRONT + b"content", b""))
    refused(tink_seals(FRONT + bytes(10000), template=streaming_aead_key_templates.AES256_GCM_HKDF_4KB))


WRONG_JSON = (
    rb'{}|[]|1234|null|{"name":"a"}|{"name":1,"type":"b"}|{"name":null,"type":"b"}|{"type":"b","name":"a"}'
    rb'|{"name":"a", "type":"b"}|{"name":"a","type":"b","x":"c"}|{"name":"a","name":"a","type":"b"}'
    rb'|{"name":"\u0061","type":"b"}|{"name":"\ud800","type":"b"}'
).split(b"|")


@pytest.mark.parametrize("text", [*WRONG_JSON, b"", b"\xff\xff", b"[" * 4096, b"1" * 4096])
def test_an_authentic_header_that_is_not_in_its_one_form_is_refused(text: bytes) -> None:
    refused(tink_seals(len(text).to_bytes(4, "big") + text))


@pytest.mark.parametrize("plain", [b"", b"\0\0\0", b"\0\0\x10\x01" + b" " * 5000, b"\xff\xff\xff\xff{}", FRONT[:-1]])
def test_an_authentic_header_of_a_wrong_length_is_refused(plain: bytes) -> None:
    refused(tink_seals(plain))


def test_the_longest_header_there_may_be_comes_back_and_one_more_byte_is_refused() -> None:
    longest = env.Header("n" * (env.MAX_HEADER - len('{"name":"","type":""}')), "")
    assert env.open_(KEY, env.seal(KEY, longest, b"x")) == (longest, b"x")
    with pytest.raises(MalformedError):
        env.seal(KEY, env.Header(longest.name, "t"), b"x")


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    for use in (
        lambda: env.seal(key, HEADER, b""),
        lambda: env.open_(key, SEALED),
        lambda: env.EnvelopeReader(key, BytesIO(SEALED), len(SEALED)),
        lambda: env.key_commitment(key),
    ):
        with pytest.raises(MalformedError):
            use()


def test_sealing_twice_gives_other_bytes() -> None:
    assert env.seal(KEY, HEADER, b"same") != env.seal(KEY, HEADER, b"same")
    assert env.new_key() != env.new_key()
    assert len(env.new_key()) == 32


def test_the_ciphertext_shows_neither_name_nor_type() -> None:
    sealed = env.seal(KEY, HEADER, b"")
    assert b"scan" not in sealed
    assert b"dicom" not in sealed


def test_a_commitment_is_the_hash_the_design_names() -> None:
    assert env.key_commitment(KEY) == hashlib.sha256(b"consentum/key/v1" + KEY).digest()
    assert env.key_commitment(bytes.fromhex(VECTORS["key"])).hex() == VECTORS["keyCommitment"]


def test_the_golden_envelope_opens() -> None:
    key, golden = bytes.fromhex(VECTORS["key"]), VECTORS["small"]
    header, content = env.open_(key, bytes.fromhex(golden["ciphertext"]))
    assert (header.name, header.content_type, content.hex()) == (golden["name"], golden["type"], golden["content"])
    damaged = bytearray.fromhex(golden["ciphertext"])
    damaged[-1] ^= 1
    with pytest.raises(CorruptError):
        env.open_(key, bytes(damaged))


@pytest.mark.parametrize("case", ["small", "large"])
def test_sealing_gives_the_golden_bytes_when_its_randomness_is_fixed(
    monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    golden = VECTORS[case]
    content = bytes.fromhex(golden["content"]) if "content" in golden else pattern(golden["patternLength"])
    drawn = iter((bytes.fromhex(golden["salt"]), bytes.fromhex(golden["noncePrefix"])))
    monkeypatch.setattr(os, "urandom", lambda size: next(drawn))
    sealed = env.seal(bytes.fromhex(VECTORS["key"]), env.Header(golden["name"], golden["type"]), content)
    assert hashlib.sha256(sealed).hexdigest() == golden["ciphertextSha256"]
    if "ciphertext" in golden:
        assert sealed.hex() == golden["ciphertext"]
