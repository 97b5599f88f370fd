# SPDX-License-Identifier: Apache-2.0
"""A node of IPFS that can be told how to misbehave: as much of Kubo's RPC as the adapter calls, in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, urlsplit

from consentum.adapters.ipfs import car, unixfs
from consentum.domain.cid import Cid
from consentum.errors import ConsentumError

Answer = tuple[int, bytes]


def _json(*items: object, status: int = 200) -> Answer:
    return status, b"".join(json.dumps(item).encode() + b"\n" for item in items)


def _refusal(message: str) -> Answer:
    return _json({"Message": message, "Code": 0, "Type": "error"}, status=500)


class BadKubo:
    """Set `mode` to one of: flipped, other block, truncated, endless, drip, hang, html, 500, 429, forgets, unpinned,
    loses a leaf, miscounts, pin error, other root, early, down; "ok" does as it should. Applies to the commands in
    `about` (all if empty), and ends by itself after `times` such answers."""

    def __init__(self) -> None:
        self.mode, self.about, self.times = "ok", "", 1 << 30
        self.blocks: dict[Cid, bytes] = {}
        self.pins: set[Cid] = set()
        self.asked: list[str] = []
        self.released = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with suppress(OSError, ValueError):
                    node._serve(self)

            def handle(self) -> None:
                with suppress(OSError):
                    super().handle()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        command, query = parts.path.removeprefix("/api/v0/"), parse_qs(parts.query)
        self.asked.append(command)
        bad = self.mode if command.startswith(self.about) and self.times > 0 else "ok"
        if bad != "ok":
            self.times -= 1
        if bad == "early":
            handler.close_connection = True
            self._send(handler, *_refusal("not today"))
            return
        body = _body(handler)
        if bad in _BEFORE:
            _BEFORE[bad](self, handler)
            return
        status, answer = self._answer(
            command, [Cid.parse(arg) for arg in query.get("arg", []) if len(arg) == 59], body, bad
        )
        if bad == "truncated":
            handler.close_connection = True
            self._send(handler, status, answer[: len(answer) // 2], len(answer))
            return
        self._send(handler, status, answer)

    def _answer(self, command: str, cids: list[Cid], body: bytes, bad: str) -> Answer:
        kept = {str(cid): {"Type": "recursive"} for cid in cids if cid in self.pins and bad != "unpinned"}
        match command:
            case "version":
                answer = _json({"Version": "0.43.1"})
            case "dag/import":
                answer = self._take(body, bad)
            case "pin/ls":
                answer = _json({"Keys": kept}) if kept else _refusal("path is not pinned")
            case "pin/rm":
                self.pins -= set(cids)
                answer = _json({"Pins": [str(cid) for cid in cids]})
            case "block/get":
                answer = self._get(cids[0], bad)
            case "block/stat":
                answer = _json({"Key": str(cids[0])}) if cids[0] in self.blocks else _refusal("ipld: not found")
            case "dag/stat":
                answer = self._count(cids, bad)
            case "block/rm":
                for cid in cids:
                    self.blocks.pop(cid, None)
                answer = _json(*({"Hash": str(cid)} for cid in cids))
            case _:
                answer = _refusal("no such command")
        return answer

    def _take(self, body: bytes, bad: str) -> Answer:
        boundary = body[: body.index(b"\r\n")]
        if not body.endswith(boundary + b"--\r\n"):
            return _refusal("unexpected EOF")
        lines = []
        for part in body.split(boundary)[1:-1]:
            source = BytesIO(part.partition(b"\r\n\r\n")[2][:-2])
            roots: list[Cid] = []
            try:
                roots = car.read_header(source)
            except ConsentumError:
                source.seek(len(car.no_roots()))
            came = [] if bad == "forgets" else list(car.read_blocks(source))
            for cid, block in came[bad == "loses a leaf" :]:
                self.blocks.setdefault(cid, block)
            if bad != "pin error":
                self.pins |= set(roots)
            named = [Cid.of(0x55, b"another")] if bad == "other root" else roots
            error = "block is not here" if bad == "pin error" else ""
            lines += [{"Root": {"Cid": {"/": str(root)}, "PinErrorMsg": error}} for root in named if roots]
        return _json(*lines)

    def _count(self, roots: list[Cid], bad: str) -> Answer:
        try:
            found = len(list(unixfs.under(self.blocks.__getitem__, roots)))
            return _json({} if bad == "miscounts" else {"UniqueBlocks": found})
        except KeyError:
            return _refusal("ipld: not found")

    def _get(self, cid: Cid, bad: str) -> Answer:
        if cid not in self.blocks:
            return _refusal(f"block was not found locally (offline): ipld: could not find {cid}")
        block = self.blocks[cid]
        if bad == "flipped":
            block = block[:-1] + bytes([block[-1] ^ 1])
        return 200, b"another" if bad == "other block" else block

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, length: int | None = None) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        if status == 429:
            handler.send_header("Retry-After", "0")
        handler.end_headers()
        handler.wfile.write(body)

    def _hang(self, handler: BaseHTTPRequestHandler) -> None:
        self.released.wait(60)
        handler.close_connection = True

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 200, b"{", 1 << 20)
        while not self.released.wait(0.1):
            handler.wfile.write(b" ")

    def _endless(self, handler: BaseHTTPRequestHandler) -> None:
        self._send(handler, 200, b"{", 1 << 40)
        while not self.released.is_set():
            handler.wfile.write(bytes(1 << 20))

    def _down(self, handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True


_BEFORE: dict[str, Callable[[BadKubo, BaseHTTPRequestHandler], Any]] = {
    "hang": BadKubo._hang,
    "drip": BadKubo._drip,
    "endless": BadKubo._endless,
    "down": BadKubo._down,
    "html": lambda node, handler: node._send(handler, 200, b"<html>"),
    "500": lambda node, handler: node._send(handler, 500, b"<html>"),
    "429": lambda node, handler: node._send(handler, 429, b""),
}


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    pieces = []
    while length := int(handler.rfile.readline(), 16):
        pieces.append(handler.rfile.read(length))
        handler.rfile.readline()
    handler.rfile.readline()
    return b"".join(pieces)
