# SPDX-License-Identifier: Apache-2.0
"""Sealing and opening one large record in files, beside `age`, raw AES-256-GCM and Tink on the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import tink
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, tink_pb2
from tink.streaming_aead import streaming_aead_key_templates

from consentum.crypto import envelope
from scripts.benchmarks.measure import Run, Suite, best

MIB = 1 << 20
HEADER = envelope.Header("scan.dcm", "application/dicom")
REPEATS = 5
AGE_KEYS = frozenset({"age_seal_mb_s", "age_open_mb_s", "ratio_seal_to_age", "ratio_open_to_age"})
MEMORY_KEYS = frozenset({"seal_memory_peak_mib", "open_memory_peak_mib"})

_NAMES = ("seal", "open", "raw_aes_gcm_seal", "raw_aes_gcm_open", "tink_seal", "tink_open")
KEYS = (
    {f"{name}_mb_s": "MB/s" for name in (*_NAMES, "age_seal", "age_open")}
    | {"seal_memory_peak_mib": "MiB", "open_memory_peak_mib": "MiB", "overhead_bytes_per_mib": "bytes"}
    | {f"ratio_{way}_to_{peer}": "ratio" for peer in ("raw", "tink", "age") for way in ("seal", "open")}
)

# In a process of its own, because a peak never falls again.
_MEMORY = """
import re, sys
from consentum.crypto import envelope
way, key, source, sink = sys.argv[1], bytes.fromhex(sys.argv[2]), open(sys.argv[3], "rb"), open(sys.argv[4], "wb")
if way == "seal":
    envelope.seal_stream(key, envelope.Header("scan.dcm", "application/dicom"), source, sink)
else:
    envelope.open_stream(key, source, sink)
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def _ours(key: bytes, plain: Path, sealed: Path, opened: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    def seal() -> None:
        with plain.open("rb") as source, sealed.open("wb") as sink:
            envelope.seal_stream(key, HEADER, source, sink)

    def open_() -> None:
        with sealed.open("rb") as source, opened.open("wb") as sink:
            envelope.open_stream(key, source, sink)

    return seal, open_


def _raw(run: Run, key: bytes, plain: bytes) -> dict[str, float]:
    """The ceiling: the cipher alone, in memory that is already there. No file, no segments, nothing authentic before
    the end; what we lose to it is reading, writing and cutting."""
    cipher, nonce = AESGCM(key), os.urandom(12)
    sealed, opened = bytearray(len(plain) + 16), bytearray(len(plain))
    many, size = run.many(REPEATS, 1), len(plain) / 1e6
    run.story.doing("AES-256-GCM alone")
    return {
        "raw_aes_gcm_seal_mb_s": size / best(many, lambda: cipher.encrypt_into(nonce, plain, None, sealed)),
        "raw_aes_gcm_open_mb_s": size / best(many, lambda: cipher.decrypt_into(nonce, sealed, None, opened)),
    }


def _tink(key: bytes) -> streaming_aead.StreamingAead:
    template = streaming_aead_key_templates.AES256_GCM_HKDF_1MB
    params = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKeyFormat.FromString(template.value).params
    value = aes_gcm_hkdf_streaming_pb2.AesGcmHkdfStreamingKey(params=params, key_value=key).SerializeToString()
    kind = tink_pb2.KeyData.SYMMETRIC
    data = tink_pb2.KeyData(type_url=template.type_url, value=value, key_material_type=kind)
    entry = tink_pb2.Keyset.Key(key_data=data, status=tink_pb2.ENABLED, key_id=1, output_prefix_type=tink_pb2.RAW)
    keyset = tink_pb2.Keyset(primary_key_id=1, key=[entry]).SerializeToString()
    handle = cleartext_keyset_handle.read(tink.BinaryKeysetReader(keyset))
    return handle.primitive(streaming_aead.StreamingAead)


def _tinks(key: bytes, plain: Path, sealed: Path, opened: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    streaming_aead.register()
    primitive = _tink(key)

    def seal() -> None:
        with plain.open("rb") as source, primitive.new_encrypting_stream(sealed.open("wb"), b"") as sink:
            shutil.copyfileobj(source, sink, MIB)

    def open_() -> None:
        with primitive.new_decrypting_stream(sealed.open("rb"), b"") as source, opened.open("wb") as sink:
            shutil.copyfileobj(source, sink, MIB)

    return seal, open_


def _age(folder: Path, plain: Path, sealed: Path, opened: Path) -> tuple[Callable[[], object], Callable[[], object]]:
    identity = folder / "age.key"
    made = subprocess.run(["age-keygen", "-o", str(identity)], capture_output=True, text=True, check=True)
    found = re.search(r"age1\w+", made.stderr)
    assert found is not None
    run = partial(subprocess.run, check=True, capture_output=True)
    return (
        lambda: run(["age", "-r", found[0], "-o", str(sealed), str(plain)]),
        lambda: run(["age", "-d", "-i", str(identity), "-o", str(opened), str(sealed)]),
    )


def _memory(way: str, key: bytes, source: Path, sink: Path) -> float:
    command = [sys.executable, "-c", _MEMORY, way, key.hex(), str(source), str(sink)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(answer) / 1_024


def measure(run: Run) -> dict[str, float]:
    size = run.many(64, 4) * MIB
    key, folder = os.urandom(32), run.folder
    plain, sealed, opened = folder / "plain", folder / "sealed", folder / "opened"
    plain.write_bytes(os.urandom(size))
    found: dict[str, float] = {}

    def pair(prefix: str, ways: tuple[Callable[[], object], Callable[[], object]]) -> None:
        for name, way in zip(("seal", "open"), ways, strict=True):
            run.story.doing(f"{prefix or 'ours_'}{name}")
            found[f"{prefix}{name}_mb_s"] = size / 1e6 / best(run.many(REPEATS, 1), way)
        if opened.read_bytes() != plain.read_bytes():
            raise RuntimeError("what was opened is not what was sealed")

    files = (plain, sealed, opened)
    pair("", _ours(key, *files))
    found["overhead_bytes_per_mib"] = (sealed.stat().st_size - size) / (size / MIB)
    if Path("/proc/self/status").exists():
        found["seal_memory_peak_mib"] = _memory("seal", key, plain, sealed)
        found["open_memory_peak_mib"] = _memory("open", key, sealed, opened)
    found |= _raw(run, key, plain.read_bytes())
    pair("tink_", _tinks(key, *files))
    if _have_age(run):
        pair("age_", _age(folder, *files))
    for path in files:
        path.unlink()
    return found | _ratios(found)


def _have_age(run: Run) -> bool:
    """Debian's package where we may install it; else its keys are left out, and that is said."""
    if shutil.which("age") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        run.story.doing("Debian's package age")
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "age"], capture_output=True, check=False)
    if shutil.which("age") is None:
        run.story.say("age is not on this machine: its keys are left out")
        return False
    return True


def _ratios(found: dict[str, float]) -> dict[str, float]:
    """Ours over theirs: above 1 we are faster."""
    peers = {"raw": "raw_aes_gcm", "tink": "tink", "age": "age"}
    return {
        f"ratio_{way}_to_{short}": found[f"{way}_mb_s"] / found[f"{peer}_{way}_mb_s"]
        for short, peer in peers.items()
        for way in ("seal", "open")
        if f"{peer}_{way}_mb_s" in found
    }


SUITE = Suite("envelope", "Sealing and opening one record of 64 MiB", KEYS, measure, AGE_KEYS | MEMORY_KEYS)
