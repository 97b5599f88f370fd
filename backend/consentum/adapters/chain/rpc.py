# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC over one kept-alive connection per thread: the hot path, where web3.py's contract calls are too slow.

Every failure of the node becomes UnavailableError; nothing a node answers is trusted beyond its shape.
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from consentum.errors import SettingsError, UnavailableError

BATCH = 100


class RpcError(UnavailableError):
    """The node answered with an error. Its own words are apart, in `node_message`: they may repeat what it was sent.
    `data` is the revert data if there was any."""

    code = "RPC"

    def __init__(self, number: int, node_message: str = "", data: str = "") -> None:
        super().__init__(f"the node answered with error {number}")
        self.node_message, self.data = node_message, data


class Rpc:
    """A JSON-RPC endpoint. timeout is in seconds, for each request."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("the RPC URL is not http(s)", field="rpc")
        self.url, self._parts, self._timeout = url, parts, timeout
        self._local = threading.local()
        self._ids = itertools.count(1)

    def call(self, method: str, *params: Any) -> Any:
        """The result of one request."""
        return _result(self._post({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}))

    def batch(self, requests: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results in order; the first error is raised."""
        results: list[Any] = []
        for start in range(0, len(requests), BATCH):
            ids = [next(self._ids) for _ in requests[start : start + BATCH]]
            body = [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
                for i, (method, params) in zip(ids, requests[start : start + BATCH], strict=True)
            ]
            answers = self._post(body)
            if not isinstance(answers, list):
                raise UnavailableError("the node does not answer batches")
            by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
            results += [_result(by_id.get(i)) for i in ids]
        return results

    def _post(self, body: Any) -> Any:
        payload = json.dumps(body, separators=(",", ":")).encode()
        for attempt in (1, 2):
            fresh = getattr(self._local, "connection", None) is None
            try:
                return self._once(payload)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self._local.connection = None
                # A kept-alive connection may have been closed by the node meanwhile: once more, on a new one.
                if fresh or attempt == 2 or isinstance(error, TimeoutError):
                    raise UnavailableError(f"the node does not answer ({type(error).__name__})") from None
        raise AssertionError("unreachable")

    def _once(self, payload: bytes) -> Any:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
            connection = kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout)
            self._local.connection = connection
        connection.request("POST", self._parts.path or "/", payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        raw = response.read()
        if response.status != 200:
            raise ValueError(response.status)
        return json.loads(raw)


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise UnavailableError("the node's answer is not JSON-RPC")
    if "error" in answer:
        error = answer["error"] if isinstance(answer["error"], dict) else {}
        data = error.get("data")
        if isinstance(data, dict):  # Ganache
            data = data.get("result")
        number = error.get("code")
        raise RpcError(
            number if isinstance(number, int) else 0,
            str(error.get("message", ""))[:200],
            data if isinstance(data, str) else "",
        )
    return answer.get("result")
