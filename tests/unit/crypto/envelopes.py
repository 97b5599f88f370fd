# SPDX-License-Identifier: Apache-2.0
"""Envelopes for tests: Tink's own beside ours, and what every damaged one must come to."""

from __future__ import annotations

from io import BytesIO
from typing import Any, cast

import pytest
import tink
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2 as proto
from tink.proto import tink_pb2
from tink.streaming_aead import streaming_aead_key_templates

from consentum.crypto import envelope as env
from consentum.errors import CorruptError

MIB = 1 << 20
KEY = bytes(range(32))
HEADER = env.Header("brain scan.dcm", "application/dicom")
FRONT = b'\x00\x00\x00\x34{"name":"brain scan.dcm","type":"application/dicom"}'
FIRST = MIB - 40 - 16 - len(FRONT)  # content bytes in segment 0
NEXT = MIB - 16

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


SHARED = pattern(FIRST + NEXT + 5000)
SEALED = env.seal(KEY, HEADER, SHARED)
