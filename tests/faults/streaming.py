# SPDX-License-Identifier: Apache-2.0
"""A gateway and its clients as processes of their own, reduced to large contents: to be killed, and to have their
memory measured. `python -m tests.faults.streaming WHAT …`; every line of output is JSON."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.ipfs.spool_folder import SpoolFolder
from consentum.adapters.peers import blocks, uploads
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.session import Session
from consentum.adapters.store.new_file import new_file
from consentum.adapters.store.uploads import UploadFolder
from consentum.crypto import envelope
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.cid import Cid
from consentum.flow.client.opening import Opened
from consentum.flow.gateway.gateway import Sponsorship
from consentum.flow.login import LoginDesk

DOMAIN = Domain(31337, "0x" + "aa" * 20)
HOSPITAL = WalletKey(hashlib.sha256(b"hospital").digest())
KEY = hashlib.sha256(b"data key").digest()
HEADER = envelope.Header("volume.dcm", "application/dicom")


class Trusting:
    """A ledger that knows of nothing wrong: whoever signs in is who she says."""

    def view(self) -> Any:
        return SimpleNamespace(latest=None)

    def signed_by(self, _: object, claims: list[object]) -> list[bool]:
        return [True] * len(claims)


class Volume:
    """`size` bytes that are the same each time and nowhere stored."""

    def __init__(self, size: int) -> None:
        self._left, self._piece = size, 0

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else self._left, self._left, 1 << 20)
        self._left, self._piece = self._left - size, self._piece + 1
        seed = hashlib.sha256(b"volume %d" % (self._piece % 7)).digest()
        return seed * (size // 32) + bytes(size % 32)


def peak() -> int:
    """The most memory this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def telling() -> Callable[[int], None]:
    done = 0

    def advance(many: int) -> None:
        nonlocal done
        done += many
        say(done=done)

    return advance


class Counting(Session):
    """What travels: bytes that were sent, blocks that were fetched."""

    sent = fetched = 0

    def patch_bytes(self, path: str, body: Iterable[bytes], length: int, headers: Mapping[str, str]) -> Any:
        self.sent += length
        return super().patch_bytes(path, body, length, headers)

    def fetch(self, path: str, accept: str, limit: int) -> bytes:
        self.fetched += 1
        return super().fetch(path, accept, limit)


def gateway(folder: Path, port: int) -> None:
    """Serves until killed."""
    import uvicorn
    from fastapi import FastAPI

    from consentum.services.gateway import content
    from consentum.services.http import add_login, new_app

    ledger: Any = Trusting()
    store = EmbeddedStore(folder / "blocks.db")
    process: Any = SimpleNamespace(
        gateway=SimpleNamespace(ledger=ledger, sponsorship=Sponsorship(frozenset({HOSPITAL.address.lower()}))),
        content=store,
        uploads=UploadFolder(folder / "uploads", store),
        settings=SimpleNamespace(max_body_bytes=16 << 20),
    )
    app: FastAPI = new_app("streaming", 16 << 20)
    add_login(app, LoginDesk(ledger, DOMAIN, f"http://127.0.0.1:{port}", time.time))
    content.add_routes(app, process)

    @app.get("/peak")
    def peak_() -> dict[str, int]:
        return {"peak": peak()}

    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False)


def seal(folder: Path, size: int) -> None:
    """A volume into the spool."""
    before, began = peak(), time.monotonic()
    volume = cast("BinaryIO", Volume(size))
    cid = SpoolFolder(folder / "spool").fill(lambda sink: envelope.seal_stream(KEY, HEADER, volume, sink))
    say(cid=str(cid), seconds=time.monotonic() - began, grown=peak() - before)


def upload(folder: Path, url: str, cid: Cid) -> None:
    uploads.MAX_FAILURES = 200
    client = Counting(url, (HOSPITAL, DOMAIN), patience=60)
    before, began = peak(), time.monotonic()
    with SpoolFolder(folder / "spool").open(cid) as source:
        uploads.send(client, cid, source, telling())
    say(sent=client.sent, seconds=time.monotonic() - began, grown=peak() - before)


def download(folder: Path, url: str, cid: Cid) -> None:
    """Decrypted into a new file."""
    blocks.MAX_TRIES = 2
    client = Counting(url, (HOSPITAL, DOMAIN))
    before, began, advance = peak(), time.monotonic(), telling()
    (folder / "out").unlink(missing_ok=True)
    try:
        with (
            Opened(KEY, GatewayContent(client, folder / "cache.db").open(cid)) as opened,
            new_file(folder / "out") as file,
        ):
            for chunk in opened.chunks():
                file.write(chunk)
                advance(len(chunk))
    finally:
        say(fetched=client.fetched, seconds=time.monotonic() - began, grown=peak() - before)


def middle(folder: Path, url: str, cid: Cid) -> None:
    """One MiB in the middle: how many blocks it costs."""
    client = Counting(url, (HOSPITAL, DOMAIN))
    began = time.monotonic()
    with Opened(KEY, GatewayContent(client, None).open(cid)) as opened:
        part = opened.read_at(opened.size // 2, 1 << 20)
    say(fetched=client.fetched, seconds=time.monotonic() - began, length=len(part))


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    if what == "gateway":
        gateway(Path(where), int(rest[0]))
    elif what == "seal":
        seal(Path(where), int(rest[0]))
    else:
        {"upload": upload, "download": download, "middle": middle}[what](Path(where), rest[0], Cid.parse(rest[1]))
