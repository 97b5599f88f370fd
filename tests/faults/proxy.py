# SPDX-License-Identifier: Apache-2.0
"""A node between a key server and Anvil that can be told how to misbehave."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = dict[str, Any]


def _block(change: Callable[[Answer], None]) -> Callable[[str, Any], Any]:
    def edit(method: str, result: Any) -> Any:
        if method == "eth_getBlockByNumber" and isinstance(result, dict):
            change(result)
        return result

    return edit


def _later(seconds: int) -> Callable[[Answer], None]:
    def change(block: Answer) -> None:
        block["timestamp"] = hex(int(block["timestamp"], 16) + seconds)

    return change


def _lower(block: Answer) -> None:
    block["number"] = hex(max(0, int(block["number"], 16) - 3))


def _call(change: Callable[[str], Any]) -> Callable[[str, Any], Any]:
    return lambda method, result: change(result) if method == "eth_call" else result


EDITS: dict[str, Callable[[str, Any], Any]] = {
    # What a server with a clock that is two minutes off sees: its own clock is the one it believes.
    "two minutes behind": _block(_later(-120)),
    "two minutes ahead": _block(_later(120)),
    "far ahead": _block(_later(1_000)),
    "backwards": _block(_lower),
    "no finalized block": lambda method, result: None if method == "eth_getBlockByNumber" else result,
    "other chain": lambda method, result: "0x1" if method == "eth_chainId" else result,
    "short results": _call(lambda result: result[: len(result) // 2]),
    "long results": _call(lambda result: result + "00" * 32),
    "zero results": _call(lambda result: "0x" + "0" * (len(result) - 2)),
    "results that are no hex": _call(lambda _: "0xzz"),
    "null results": _call(lambda _: None),
}


class Proxy:
    """Set `mode` to a key of EDITS, or to down, hang, 500, truncated, error, or flapping: of each seven requests three
    in a row are lost, more than a second try mends. "ok" passes everything on."""

    def __init__(self, target: str) -> None:
        self.mode, self._target = "ok", urlsplit(target)
        self._asked = itertools.count()
        self.released = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy._serve(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        mode = self.mode
        if mode == "down":
            handler.close_connection = True
            return
        if mode == "hang":
            self.released.wait(60)
            handler.close_connection = True
            return
        if mode == "500" or (mode == "flapping" and next(self._asked) % 7 < 3):
            self._send(handler, 500, b"{}")
            return
        answer = self._ask(body)
        if mode == "truncated":
            answer = answer[: len(answer) // 2]
        elif mode not in ("ok", "flapping"):
            answer = json.dumps(self._edit(json.loads(body), json.loads(answer), mode)).encode()
        self._send(handler, 200, answer)

    def _ask(self, body: bytes) -> bytes:
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=20)
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = connection.getresponse().read()
        connection.close()
        return answer

    def _edit(self, request: Any, answer: Any, mode: str) -> Any:
        if isinstance(request, list):
            return [self._edit(r, a, mode) for r, a in zip(request, answer, strict=True)]
        if mode == "error":
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": "secret words"}}
        return {**answer, "result": EDITS[mode](request["method"], answer.get("result"))}

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
