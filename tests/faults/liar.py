# SPDX-License-Identifier: Apache-2.0
"""A worse node than Proxy: it reads the questions, refuses connections, and stands still."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from tests.faults.proxy import Answer, Proxy

Lie = Callable[[str, list[Any], Any], Any]
"""Method, parameters and the true result to the answered one."""


def words(*values: int) -> str:
    return "0x" + b"".join(value.to_bytes(32, "big") for value in values).hex()


def about(contract: str, answer: Callable[[str], Any]) -> Lie:
    """Lies about eth_calls to one contract alone."""

    def lie(method: str, params: list[Any], result: Any) -> Any:
        asked = method == "eth_call" and params[0]["to"].lower() == contract.lower()
        return answer(result) if asked else result

    return lie


class Liar(Proxy):
    """Set `lie` and then `mode` to "lie"; "ok" passes everything on."""

    def __init__(self, target: str) -> None:
        self.lie: Lie = lambda _method, _params, result: result
        super().__init__(target)

    @contextmanager
    def telling(self, mode: str, lie: Lie | None = None) -> Iterator[None]:
        """Misbehaves inside the block, is well again after it."""
        self.lie = lie or self.lie
        self.mode = mode
        try:
            yield
        finally:
            self.mode = "ok"
            self.released.set()
            self.released.clear()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens: new connections are refused, open ones are dropped."""
        address, handler = self._server.server_address, self._server.RequestHandlerClass
        self.mode = "down"
        self._server.shutdown()
        self._server.server_close()
        try:
            yield
        finally:
            self._server = ThreadingHTTPServer(address, handler)  # type: ignore[arg-type]
            self._server.daemon_threads = True
            threading.Thread(target=self._server.serve_forever, daemon=True).start()
            self.mode = "ok"

    def _edit(self, request: Any, answer: Any, mode: str) -> Any:
        if mode != "lie" or isinstance(request, list):
            return super()._edit(request, answer, mode)
        return {**answer, "result": self.lie(request["method"], request["params"], answer.get("result"))}


def standing_still(seconds_older: int = 0) -> Lie:
    """Answers for ever the blocks it is asked for first, dated back if wanted."""
    blocks: dict[str, Answer] = {}

    def lie(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getBlockByNumber" or not isinstance(result, dict):
            return result
        block = blocks.setdefault(params[0], result)
        return {**block, "timestamp": hex(int(block["timestamp"], 16) - seconds_older)}

    return lie
