# SPDX-License-Identifier: Apache-2.0
"""The envelope one record travels in: Tink's streaming AEAD with AES256_GCM_HKDF_1MB, over AES-GCM from `cryptography`.

Layout (https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming, type 1 MiB, SHA-256):

    40 (1 byte) ‖ salt (32) ‖ nonce prefix (7) ‖ segment 0 ‖ segment 1 ‖ …

Every segment is AES-256-GCM under HKDF-SHA256(key, salt, info = associated data). Its nonce is prefix ‖ index
(4 bytes, big-endian) ‖ last (1 or 0), so a segment that is moved, missing, repeated or appended fails its tag. All
segments but the last end on a multiple of 1 MiB of ciphertext. The plaintext is length (4 bytes, big-endian) ‖ JSON
{"name", "type"} ‖ content: file name and content type are as secret as the content.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_SET, BytesIO
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consentum.domain.reading import read_up_to
from consentum.errors import CorruptError, MalformedError

ASSOCIATED_DATA: Final = b"consentum/envelope/1"
KEY_SIZE: Final = 32
SEGMENT_SIZE: Final = 1 << 20
MAX_HEADER: Final = 4096

_SALT_SIZE = 32
_PREFIX_SIZE = 7
_PREAMBLE_SIZE = 1 + _SALT_SIZE + _PREFIX_SIZE
_TAG_SIZE = 16
_FIRST_ROOM = SEGMENT_SIZE - _PREAMBLE_SIZE - _TAG_SIZE
_ROOM = SEGMENT_SIZE - _TAG_SIZE
_MAX_SEGMENTS = 1 << 32


@dataclass(frozen=True, slots=True)
class Header:
    """What the content is called and what it is (a media type): the depositor's word, never a path to write to."""

    name: str
    content_type: str


def new_key() -> bytes:
    """A fresh data key for one record: 32 bytes from the system's random source."""
    return os.urandom(KEY_SIZE)


def key_commitment(key: bytes) -> bytes:
    """SHA-256("consentum/key/v1" ‖ key), 32 bytes: tells a rightly combined key from a wrong one, and nothing else.

    Raises MalformedError if the key is not 32 bytes.
    """
    _check_key(key)
    return hashlib.sha256(b"consentum/key/v1" + key).digest()


def seal_stream(key: bytes, header: Header, source: BinaryIO, sink: BinaryIO) -> None:
    """Encrypt everything `source` still holds, behind `header`, into `sink`; memory stays at a few segments.

    Both are blocking binary files. Raises MalformedError for a key that is not 32 bytes, a header over 4,096 bytes of
    JSON or a source over 4 PiB; what was written to `sink` by then is no envelope.
    """
    _check_key(key)
    front = _encode_header(header)
    salt, prefix = os.urandom(_SALT_SIZE), os.urandom(_PREFIX_SIZE)
    cipher = _SegmentCipher(key, salt, prefix)
    _write(sink, memoryview(bytes((_PREAMBLE_SIZE,)) + salt + prefix))
    first = front + read_up_to(source, _FIRST_ROOM - len(front))
    for index, plain, last in _segments(first, _FIRST_ROOM, source, _ROOM):
        if index >= _MAX_SEGMENTS:
            raise MalformedError("content is too long for one envelope")
        _write(sink, cipher.seal(index, last, plain))


def open_stream(key: bytes, source: BinaryIO, sink: BinaryIO) -> Header:
    """Decrypt `source` to its end into `sink` (the content only); memory stays at a few segments.

    Each segment is authentic when it is written, but only the return says that none is missing: on an error the
    caller throws away what `sink` got. Raises CorruptError for anything that was cut, moved, extended, changed or
    sealed under another key, MalformedError for a key that is not 32 bytes.
    """
    cipher = _SegmentCipher.from_preamble(key, read_up_to(source, _PREAMBLE_SIZE))
    first = read_up_to(source, SEGMENT_SIZE - _PREAMBLE_SIZE)
    header: Header | None = None
    for index, sealed, last in _segments(first, SEGMENT_SIZE - _PREAMBLE_SIZE, source, SEGMENT_SIZE):
        plain = cipher.open(index, last, sealed)
        if header is None:
            header, start = _decode_header(plain)
            plain = plain[start:]
        _write(sink, plain)
    assert header is not None  # `_segments` yields at least one
    return header


def seal(key: bytes, header: Header, content: bytes) -> bytes:
    """`seal_stream` for content in memory; returns the whole envelope."""
    sink = BytesIO()
    seal_stream(key, header, BytesIO(content), sink)
    return sink.getvalue()


def open_(key: bytes, ciphertext: bytes) -> tuple[Header, bytes]:
    """`open_stream` for an envelope in memory; returns nothing unless all of it is authentic."""
    sink = BytesIO()
    header = open_stream(key, BytesIO(ciphertext), sink)
    return header, sink.getvalue()


class EnvelopeReader:
    """Random access to a sealed record: decrypts the segments that a read touches, and keeps one.

    The first and the last segment are opened at once, so that `header` and `size` are authentic: an envelope cut at a
    segment's end is refused here, not when somebody happens to read so far. Not for use by several threads.
    """

    def __init__(self, key: bytes, source: BinaryIO, size: int) -> None:
        """`source` is seekable and holds `size` bytes of ciphertext from position 0.

        Raises CorruptError, or MalformedError for a key that is not 32 bytes.
        """
        if size < 1:
            raise CorruptError("not an envelope")
        self._source = source
        self._sealed_size = size
        self._count = -(-size // SEGMENT_SIZE)
        self._kept: tuple[int, memoryview] | None = None
        source.seek(0, SEEK_SET)
        self._cipher = _SegmentCipher.from_preamble(key, read_up_to(source, _PREAMBLE_SIZE))
        last = self._segment(self._count - 1)
        self.header, self._start = _decode_header(self._segment(0))
        self.size = self._position(self._count - 1) + len(last) - self._start

    def read_at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of content from `offset`; fewer, or none, where the content ends.

        Raises MalformedError for a negative argument, CorruptError if a segment fails.
        """
        if offset < 0 or length < 0:
            raise MalformedError("offset and length cannot be negative")
        begin = self._start + min(offset, self.size)
        end = min(begin + length, self._start + self.size)
        parts = []
        while begin < end:
            at = self._position(index := _segment_of(begin))
            part = bytes(self._segment(index)[begin - at : end - at])  # a copy: the next segment takes the buffer
            parts.append(part)
            begin += len(part)
        return b"".join(parts)

    def segments(self, offset: int, length: int) -> range:
        """The segments that `read_at` of this would touch."""
        begin = self._start + min(offset, self.size)
        end = min(begin + length, self._start + self.size)
        return range(_segment_of(begin), _segment_of(end - 1) + 1) if end > begin else range(0)

    @staticmethod
    def _position(index: int) -> int:
        """Where segment `index` begins in the plaintext."""
        return 0 if index == 0 else _FIRST_ROOM + (index - 1) * _ROOM

    def _segment(self, index: int) -> memoryview:
        if self._kept is not None and self._kept[0] == index:
            return self._kept[1]
        begin = index * SEGMENT_SIZE if index else _PREAMBLE_SIZE
        end = min((index + 1) * SEGMENT_SIZE, self._sealed_size)
        self._source.seek(begin, SEEK_SET)
        if len(sealed := read_up_to(self._source, max(end - begin, 0))) != end - begin:
            raise CorruptError("the envelope is shorter than it should be")
        self._kept = None  # its buffer is about to be written over
        plain = self._cipher.open(index, index == self._count - 1, sealed)
        self._kept = (index, plain)
        return plain


class _SegmentCipher:
    """Seals and opens single segments; what it returns is valid until its next call, which writes over it."""

    def __init__(self, key: bytes, salt: bytes, prefix: bytes) -> None:
        derived = HKDF(SHA256(), KEY_SIZE, salt, ASSOCIATED_DATA).derive(key)
        self._aead = AESGCM(derived)
        self._prefix = prefix
        self._buffer = memoryview(b"")

    @classmethod
    def from_preamble(cls, key: bytes, preamble: bytes) -> _SegmentCipher:
        _check_key(key)
        if len(preamble) != _PREAMBLE_SIZE or preamble[0] != _PREAMBLE_SIZE:
            raise CorruptError("not an envelope")
        return cls(key, preamble[1 : 1 + _SALT_SIZE], preamble[1 + _SALT_SIZE :])

    def seal(self, index: int, last: bool, plain: bytes) -> memoryview:
        out = self._room(len(plain) + _TAG_SIZE)
        self._aead.encrypt_into(self._nonce(index, last), plain, None, out)
        return out

    def open(self, index: int, last: bool, sealed: bytes) -> memoryview:
        # No segment is empty: the first holds the header, and one after a full one would give a content two envelopes.
        if len(sealed) <= _TAG_SIZE or index >= _MAX_SEGMENTS:
            raise CorruptError("the envelope is shorter than it should be")
        out = self._room(len(sealed) - _TAG_SIZE)
        try:
            self._aead.decrypt_into(self._nonce(index, last), sealed, None, out)
        except InvalidTag:
            raise CorruptError("the envelope fails its authentication") from None
        return out

    def _nonce(self, index: int, last: bool) -> bytes:
        return self._prefix + index.to_bytes(4, "big") + bytes((last,))

    def _room(self, size: int) -> memoryview:
        if len(self._buffer) < size:
            self._buffer = memoryview(bytearray(size))
        return self._buffer[:size]


def _segment_of(position: int) -> int:
    """Which segment holds a byte of the plaintext, its header included."""
    return 0 if position < _FIRST_ROOM else 1 + (position - _FIRST_ROOM) // _ROOM


def _segments(first: bytes, first_room: int, source: BinaryIO, room: int) -> Iterator[tuple[int, bytes, bool]]:
    """(index, bytes, whether it is the last), reading one segment ahead, for only the source's end tells the last."""
    index, current = 0, first
    while True:
        full = len(current) == (room if index else first_room)
        following = read_up_to(source, room) if full else b""
        yield index, current, not following
        if not following:
            return
        index, current = index + 1, following


def _encode_header(header: Header) -> bytes:
    fields = {"name": header.name, "type": header.content_type}
    try:
        encoded = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()
    except UnicodeEncodeError:
        raise MalformedError("a name or type that is no Unicode text", field="header") from None
    if len(encoded) > MAX_HEADER:
        raise MalformedError("name and type are too long", field="header")
    return len(encoded).to_bytes(4, "big") + encoded


def _decode_header(plain: memoryview) -> tuple[Header, int]:
    """The header, and where the content begins. It always fits the first segment."""
    length = int.from_bytes(plain[:4], "big")
    if length > MAX_HEADER or len(plain) < 4 + length:
        raise CorruptError("the envelope's header is out of bounds")
    encoded = bytes(plain[: 4 + length])
    try:
        fields = json.loads(encoded[4:].decode())
    except (ValueError, RecursionError):
        raise CorruptError("the envelope's header cannot be read") from None
    is_object = isinstance(fields, dict) and {"name", "type"} == fields.keys()
    if not is_object or not all(isinstance(value, str) for value in fields.values()):
        raise CorruptError("the envelope's header cannot be read")
    header = Header(fields["name"], fields["type"])
    try:
        canonical = _encode_header(header)
    except MalformedError:
        raise CorruptError("the envelope's header cannot be read") from None
    if canonical != encoded:
        raise CorruptError("the envelope's header is not in its one form")
    return header, 4 + length


def _check_key(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise MalformedError("a data key is 32 bytes", field="key")


def _write(sink: BinaryIO, data: memoryview) -> None:
    """All of `data`: a raw file may take less at a time."""
    while data:
        written = sink.write(data)
        if not written:
            raise BlockingIOError("the sink takes no more")
        data = data[written:]
