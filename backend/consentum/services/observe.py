# SPDX-License-Identifier: Apache-2.0
"""What operators see of a service: metrics for Prometheus, one log line a request, an id for each.

Labels are route templates, methods, status codes and reason codes: never an id, an address or anything a caller chose.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from consentum.errors import ConsentumError
from consentum.ports.chain import Ledger
from consentum.services.logs import request_id

log = logging.getLogger("consentum.requests")
UNKNOWN_ROUTE = "(none)"
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
# Anybody may ask for metrics: what they cost is fetched this often at most.
GAUGE_SECONDS = 5.0
_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Metrics:
    """One application's numbers, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("consentum_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram("consentum_request_seconds", "Until answered.", ("route",), registry=self.registry)
        self.decisions = Counter(
            "consentum_decisions", "Records decided on, by reason.", ("reason",), registry=self.registry
        )

    def decided(self, counts: Mapping[str, int]) -> None:
        """Counts records by the name of their reason."""
        for reason, count in counts.items():
            self.decisions.labels(reason).inc(count)

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A number that is read when asked for, at most every GAUGE_SECONDS; what cannot be read is NaN."""
        Gauge(name, text, registry=self.registry).set_function(_Kept(read))


class _Kept:
    def __init__(self, read: Callable[[], float]) -> None:
        self._read, self._value, self._until = read, float("nan"), 0.0

    def __call__(self) -> float:
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + GAUGE_SECONDS
            try:
                self._value = float(self._read())
            except ConsentumError:
                self._value = float("nan")
        return self._value


class Observed:
    """ASGI: counts, times and logs each request, and gives it its id (the caller's if it has a harmless form)."""

    def __init__(self, app: Any, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = scope["consentum.request"] = _identity(scope)
        token, began, status = request_id.set(identity), time.perf_counter(), 500

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", identity.encode())]
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - began)
            request_id.reset(token)

    def _note(self, scope: Mapping[str, Any], status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        fields = {"method": method, "route": route, "status": status, "milliseconds": round(1_000 * seconds, 1)}
        log.info("answered", extra=fields)


def _identity(scope: Mapping[str, Any]) -> str:
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
    return given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex


def age_of(ledger: Ledger) -> float:
    """Seconds since the newest block, by this host's clock."""
    return time.time() - ledger.view().latest.timestamp


def add_metrics(app: FastAPI) -> Metrics:
    """GET /metrics, and the measuring of every request; services add numbers of their own to what this gives."""
    metrics = Metrics()
    app.state.metrics = metrics
    app.add_middleware(Observed, metrics=metrics)

    @app.get("/metrics", tags=["health"], response_class=Response)
    def read() -> Response:
        """In Prometheus' text format. No subject, id or address is in it."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return metrics
