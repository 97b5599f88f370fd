# SPDX-License-Identifier: Apache-2.0
"""The envelope against Tink's own library, both ways, and against everything one could do to a ciphertext."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import tink
from hypothesis import given, settings
from hypothesis import strategies as st
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2 as proto
from tink.proto import tink_pb2
from tink.streaming_aead import streaming_aead_key_templates

from consentum.crypto import envelope as env
from consentum.errors import CorruptError, MalformedError

MIB = 1 << 20
KEY = bytes(range(32))
HEADER = env.Header("brain scan.dcm", "application/dicom")
FRONT = b'\x00\x00\x00\x34{"name":"brain scan.dcm","type":"application/dicom"}'
FIRST = MIB - 40 - 16 - len(FRONT)  # content bytes in segment 0
NEXT = MIB - 16
SIZES = [0, 1, 1000, FIRST - 1, FIRST, FIRST + 1, FIRST + NEXT - 1, FIRST + NEXT, FIRST + NEXT + 1, 4 * MIB + 12345]
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "envelope.json").read_text())

streaming_aead.register()


def pattern(size: int) -> bytes:
    """Content in which no two places look alike."""
    return (b"".join(i.to_bytes(4, "big") for i in range(size // 4 + 1)))[:size]


def tinks(key: bytes, template: Any = streaming_aead_key_templates.AES256_GCM_HKDF_1MB) -> Any:
    """Tink's primitive under `key`, with the parameters of Tink's own template."""
    params = proto.AesGcmHkdfStreamingKeyFormat.FromString(template.value).params
    value = proto.AesGcmHkdfStreamingKey(params=params, key_value=key).SerializeToString()
    data = tink_pb2.KeyData(type_url=template.type_url, value=value, key_material_type=tink_pb2.KeyData.SYMMETRIC)
    entry = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[entry]).SerializeToString()
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset))
    return handle.primitive(streaming_aead.StreamingAead)


class KeptOpen(BytesIO):
    """Tink closes what it writes to; the bytes are still wanted."""

    def close(self) -> None:
        self.kept = self.getvalue()
        super().close()


def tink_seals(plain: bytes, associated: bytes = env.ASSOCIATED_DATA, **other: Any) -> bytes:
    sink = KeptOpen()
    with tinks(KEY, **other).new_encrypting_stream(sink, associated) as stream:
        stream.write(plain)
    return sink.kept


def tink_opens(sealed: bytes) -> bytes:
    with tinks(KEY).new_decrypting_stream(BytesIO(sealed), env.ASSOCIATED_DATA) as stream:
        return cast(bytes, stream.read())


def read_all(key: bytes, sealed: bytes) -> bytes:
    reader = env.EnvelopeReader(key, BytesIO(sealed), len(sealed))
    return reader.read_at(0, reader.size)


def refused(sealed: bytes, key: bytes = KEY) -> None:
    """Whoever opens it, in memory or by the reader, gets nothing."""
    with pytest.raises(CorruptError):
        env.open_(key, sealed)
    with pytest.raises(CorruptError):
        read_all(key, sealed)


@pytest.fixture(scope="module")
def three() -> bytes:
    """An envelope of three full segments."""
    return env.seal(KEY, HEADER, pattern(FIRST + 2 * NEXT))


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


SHARED = pattern(FIRST + NEXT + 5000)
SEALED = env.seal(KEY, HEADER, SHARED)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_reading_anywhere_gives_what_is_there(data: st.DataObject) -> None:
    near = st.sampled_from([0, FIRST, FIRST + NEXT, len(SHARED)]).flatmap(lambda at: st.integers(at - 40, at + 40))
    reader = env.EnvelopeReader(KEY, BytesIO(SEALED), len(SEALED))
    assert (reader.header, reader.size) == (HEADER, len(SHARED))
    for _ in range(4):
        offset = max(data.draw(near | st.integers(0, len(SHARED) + 100)), 0)
        length = data.draw(st.integers(0, 100) | st.just(3 * MIB) | st.just(NEXT))
        assert reader.read_at(offset, length) == SHARED[offset : offset + length]


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


@pytest.mark.parametrize("size", [-1, 0, 1, 40, 56, len(SEALED) - 1, len(SEALED) + 1, 1 << 60])
def test_a_reader_told_another_size_is_refused(size: int) -> None:
    with pytest.raises(CorruptError):
        env.EnvelopeReader(KEY, BytesIO(SEALED), size)


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1)])
def test_reading_before_the_beginning_or_backwards_is_refused(offset: int, length: int) -> None:
    reader = env.EnvelopeReader(KEY, BytesIO(SEALED), len(SEALED))
    with pytest.raises(MalformedError):
        reader.read_at(offset, length)


def test_a_reader_refuses_a_segment_that_changed_after_it_began_and_serves_the_others(three: bytes) -> None:
    source = BytesIO(three)
    reader = env.EnvelopeReader(KEY, source, len(three))
    source.seek(MIB + 100)
    source.write(b"\0\0\0\0")
    with pytest.raises(CorruptError):
        reader.read_at(FIRST + 5, 10)
    assert reader.read_at(0, 10) == pattern(10)


class Counting(BytesIO):
    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data)
        return data


def test_a_read_decrypts_only_the_segments_it_touches() -> None:
    source = Counting(env.seal(KEY, HEADER, bytes(8 * MIB)))
    reader = env.EnvelopeReader(KEY, source, len(source.getvalue()))
    source.taken = 0
    reader.read_at(4 * MIB, 10)
    reader.read_at(4 * MIB + 10, 10)
    assert source.taken == MIB


class Trickle(RawIOBase):
    """A raw file that takes and gives less than it is asked for, as pipes do."""

    def __init__(self, data: bytes = b"") -> None:
        self.file = BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self.file.read(min(size, 65537))

    def write(self, data: Any) -> int:
        return self.file.write(data[:70001])


def test_files_that_give_and_take_little_at_a_time_lose_nothing() -> None:
    sealed, opened = Trickle(), Trickle()
    env.seal_stream(KEY, HEADER, cast(BinaryIO, Trickle(SHARED)), cast(BinaryIO, sealed))
    assert tink_opens(sealed.file.getvalue()) == FRONT + SHARED
    source = cast(BinaryIO, Trickle(sealed.file.getvalue()))
    assert env.open_stream(KEY, source, cast(BinaryIO, opened)) == HEADER
    assert opened.file.getvalue() == SHARED


def test_a_sink_that_takes_nothing_is_an_error_and_not_an_endless_loop() -> None:
    class Full(BytesIO):
        def write(self, data: Any) -> int:
            return 0

    with pytest.raises(BlockingIOError):
        env.seal_stream(KEY, HEADER, BytesIO(b"x"), Full())


def test_memory_stays_at_a_few_segments_however_long_the_record(tmp_path: Path) -> None:
    plain, sealed, opened = tmp_path / "plain", tmp_path / "sealed", tmp_path / "opened"
    with plain.open("wb") as file:
        file.truncate(48 * MIB)
    tracemalloc.start()
    try:
        with plain.open("rb") as source, sealed.open("wb") as sink:
            env.seal_stream(KEY, HEADER, source, sink)
        with sealed.open("rb") as source, opened.open("wb") as sink:
            env.open_stream(KEY, source, sink)
        assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    finally:
        tracemalloc.stop()
    assert opened.stat().st_size == 48 * MIB


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
