# SPDX-License-Identifier: Apache-2.0
"""Sealing and opening one large record in files, beside `age`, raw AES-256-GCM and Tink on the same bytes."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tink
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tink import cleartext_keyset_handle, streaming_aead
from tink.proto import aes_gcm_hkdf_streaming_pb2, tink_pb2
from tink.streaming_aead import streaming_aead_key_templates

from consentum.crypto import envelope
from scripts.benchmarks.measure import Run, Suite, seconds_of

MIB = 1 << 20
HEADER = envelope.Header("scan.dcm", "application/dicom")
ROUNDS = 7
ROOM = 1 << 29
Pair = tuple[Callable[[], object], Callable[[], object]]
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


@dataclass(frozen=True, slots=True)
class Files:
    """The content, one contender's sealed file, and where it is opened to."""

    plain: Path
    sealed: Path
    opened: Path


def _ours(key: bytes, files: Files) -> Pair:
    def seal() -> None:
        with files.plain.open("rb") as source, files.sealed.open("wb") as sink:
            envelope.seal_stream(key, HEADER, source, sink)

    def open_() -> None:
        with files.sealed.open("rb") as source, files.opened.open("wb") as sink:
            envelope.open_stream(key, source, sink)

    return seal, open_


def _raw(key: bytes, plain: bytes, opened: bytearray) -> Pair:
    """The ceiling: the cipher alone, in memory that is already there. No file, no segments, nothing authentic before
    the end; what we lose to it is reading, writing and cutting."""
    cipher, nonce, sealed = AESGCM(key), os.urandom(12), bytearray(len(plain) + 16)
    return (
        lambda: cipher.encrypt_into(nonce, plain, None, sealed),
        lambda: cipher.decrypt_into(nonce, sealed, None, opened),
    )


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


def _tinks(key: bytes, files: Files) -> Pair:
    streaming_aead.register()
    primitive = _tink(key)

    def seal() -> None:
        with files.plain.open("rb") as source, primitive.new_encrypting_stream(files.sealed.open("wb"), b"") as sink:
            shutil.copyfileobj(source, sink, MIB)

    def open_() -> None:
        with primitive.new_decrypting_stream(files.sealed.open("rb"), b"") as source, files.opened.open("wb") as sink:
            shutil.copyfileobj(source, sink, MIB)

    return seal, open_


def age_keys(folder: Path) -> tuple[str, Path]:
    """A fresh recipient and the file with its identity."""
    identity = folder / "age.key"
    made = subprocess.run(["age-keygen", "-o", str(identity)], capture_output=True, text=True, check=True)
    found = re.search(r"age1\w+", made.stderr)
    assert found is not None
    return found[0], identity


def _age(folder: Path, files: Files) -> Pair:
    recipient, identity = age_keys(folder)
    run = partial(subprocess.run, check=True, capture_output=True)
    return (
        lambda: run(["age", "-r", recipient, "-o", str(files.sealed), str(files.plain)]),
        lambda: run(["age", "-d", "-i", str(identity), "-o", str(files.opened), str(files.sealed)]),
    )


def _memory(way: str, key: bytes, source: Path, sink: Path) -> float:
    command = [sys.executable, "-c", _MEMORY, way, key.hex(), str(source), str(sink)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(answer) / 1_024


def _contest(run: Run, contenders: dict[str, Pair], check: Callable[[str], None]) -> dict[str, float]:
    """The shortest seconds of each, in rounds of all: what disturbs the machine then disturbs everybody."""
    shortest: dict[str, float] = {}
    rounds = run.many(ROUNDS, 1)
    for number in range(1, rounds + 1):
        for name, ways in contenders.items():
            run.story.doing(f"round {number} of {rounds}: {name or 'ours'}")
            for way, action in zip(("seal", "open"), ways, strict=True):
                key = f"{name}{way}"
                shortest[key] = min(seconds_of(action), shortest.get(key, math.inf))
            if number == 1:
                check(name)
    return shortest


def _measure(run: Run, folder: Path) -> dict[str, float]:
    size, key = run.many(64, 4) * MIB, os.urandom(32)
    content, in_memory = os.urandom(size), bytearray(size)
    plain, opened = folder / "plain", folder / "opened"
    plain.write_bytes(content)
    ours = Files(plain, folder / "ours", opened)
    contenders = {
        "": _ours(key, ours),
        "raw_aes_gcm_": _raw(key, content, in_memory),
        "tink_": _tinks(key, Files(plain, folder / "tink", opened)),
    }
    if have_age(run):
        contenders["age_"] = _age(folder, Files(plain, folder / "age", opened))

    def check(name: str) -> None:
        if (in_memory if name == "raw_aes_gcm_" else opened.read_bytes()) != content:
            raise RuntimeError("what was opened is not what was sealed")

    shortest = _contest(run, contenders, check)
    found = {f"{name}_mb_s": size / 1e6 / seconds for name, seconds in shortest.items()}
    found["overhead_bytes_per_mib"] = (ours.sealed.stat().st_size - size) / (size / MIB)
    if Path("/proc/self/status").exists():
        found["seal_memory_peak_mib"] = _memory("seal", key, plain, ours.sealed)
        found["open_memory_peak_mib"] = _memory("open", key, ours.sealed, opened)
    return found | _ratios(found)


def measure(run: Run) -> dict[str, float]:
    """In memory-backed files where there is room for them: a disk's mood is not what is measured."""
    with tempfile.TemporaryDirectory(prefix="consentum-bench-", dir=_memory_backed() or run.folder) as name:
        return _measure(run, Path(name))


def _memory_backed() -> Path | None:
    shared = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
    usable = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOM
    return shared if usable else None


def have_age(run: Run) -> bool:
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
