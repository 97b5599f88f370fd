# SPDX-License-Identifier: Apache-2.0
"""A pinning service in memory, and the API's rules, by which every request to it and every answer of it is judged.

The rules are written down here from the published description of the IPFS Pinning Service API 1.0.0, object by object
and parameter by parameter: https://ipfs.github.io/pinning-services-api-spec/.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
import jsonschema

TOKEN = "a-token-that-must-not-be-seen"
STATUSES = ["queued", "pinning", "pinned", "failed"]
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
PIN = {
    "type": "object",
    "required": ["cid"],
    "properties": {
        "cid": {"type": "string"},
        "name": {"type": "string", "maxLength": 255},
        "origins": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 20},
        "meta": TEXTS,
    },
}
PIN_STATUS = {
    "type": "object",
    "required": ["requestid", "status", "created", "pin", "delegates"],
    "properties": {
        "requestid": {"type": "string"},
        "status": {"enum": STATUSES},
        "created": TIME,
        "pin": PIN,
        "delegates": {
            "type": "array",
            "items": {"type": "string"},
            "uniqueItems": True,
            "minItems": 1,
            "maxItems": 20,
        },
        "info": TEXTS,
    },
}
RESULTS = {
    "type": "object",
    "required": ["count", "results"],
    "properties": {
        "count": {"type": "integer", "minimum": 0},
        "results": {"type": "array", "items": PIN_STATUS, "uniqueItems": True, "maxItems": 1000},
    },
}
FAILURE = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["reason"],
            "properties": {"reason": {"type": "string"}, "details": {"type": "string"}},
        }
    },
}
QUERY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "cid": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 1, "maxItems": 10},
        "name": {"type": "array", "items": {"type": "string", "maxLength": 255}, "maxItems": 1},
        "match": {"type": "array", "items": {"enum": ["exact", "iexact", "partial", "ipartial"]}, "maxItems": 1},
        "status": {"type": "array", "items": {"enum": STATUSES}, "uniqueItems": True, "minItems": 1},
        "before": {"type": "array", "items": TIME, "maxItems": 1},
        "after": {"type": "array", "items": TIME, "maxItems": 1},
        "limit": {"type": "array", "items": {"pattern": r"^([1-9]\d{0,2}|1000)$"}, "maxItems": 1},
        "meta": {"type": "array", "items": {"type": "string"}, "maxItems": 1},
    },
}
ANSWERS = {("GET", "/pins"): (200, RESULTS), ("POST", "/pins"): (202, PIN_STATUS), ("DELETE", "/pins/"): (202, None)}


@dataclass(slots=True)
class FakePinning:
    """A service. `status` is what new pins have; `failures` are answered before anything else, first come first."""

    status: str = "queued"
    pins: list[dict[str, Any]] = field(default_factory=list)
    failures: list[httpx.Response] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    page: int = 1000
    meddle: Callable[[Any], Any] | None = None
    """Changes an answer after it was judged."""
    _made: int = 0

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.judged)

    def judged(self, request: httpx.Request) -> httpx.Response:
        """Answers; AssertionError or ValidationError if request or answer is not the API's."""
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert TOKEN not in str(request.url)
        path = request.url.raw_path.decode().partition("?")[0]
        kind = (request.method, "/pins/" if path.startswith("/pins/") else path)
        self.requests.append(" ".join(kind))
        status, schema = ANSWERS[kind]
        jsonschema.validate(asked(request), QUERY if kind == ("GET", "/pins") else {"maxProperties": 0})
        if request.method == "POST":
            assert request.headers["Content-Type"] == "application/json"
            jsonschema.validate(json.loads(request.content), PIN)
        else:
            assert request.content == b""
        answer = self.failures.pop(0) if self.failures else self._answer(request, unquote(path.removeprefix("/pins/")))
        if not answer.is_success:
            jsonschema.validate(answer.json(), FAILURE)
        elif schema is not None:
            assert answer.status_code == status
            jsonschema.validate(answer.json(), schema)
            if self.meddle is not None:
                return httpx.Response(status, json=self.meddle(answer.json()))
        return answer

    def set_all(self, status: str) -> None:
        for pin in self.pins:
            pin["status"] = status

    def _answer(self, request: httpx.Request, identity: str) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, json=self._add(json.loads(request.content)))
        if request.method == "GET":
            return httpx.Response(200, json=self._list(asked(request)))
        left = [pin for pin in self.pins if pin["requestid"] != identity]
        if len(left) == len(self.pins):
            return failure(404, "NOT_FOUND")
        self.pins = left
        return httpx.Response(202)

    def _add(self, pin: dict[str, Any]) -> dict[str, Any]:
        self._made += 1
        made = {
            "requestid": f"request/{self._made}?of=them",
            "status": self.status,
            "created": f"2026-11-24T12:{self._made // 60:02}:{self._made % 60:02}Z",
            "pin": pin,
            "delegates": ["/dnsaddr/pinning.example"],
        }
        self.pins.append(made)
        return made

    def _list(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = [
            pin
            for pin in reversed(self.pins)
            if pin["pin"]["cid"] in query.get("cid", [pin["pin"]["cid"]])
            and pin["status"] in query.get("status", ["pinned"])
            and pin["created"] < query.get("before", ["9999"])[0]
        ]
        return {"count": len(found), "results": found[: min(int(query.get("limit", ["10"])[0]), self.page)]}


def asked(request: httpx.Request) -> dict[str, list[str]]:
    """The query. A list is one parameter with commas ("style: form, explode: false"); said twice is not the API's."""
    found = parse_qs(request.url.query.decode())
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0].split(",") if name in ("cid", "status") else values for name, values in found.items()}


def failure(status: int, reason: str, details: str = "words of the service", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"reason": reason, "details": details}}, headers=headers)
