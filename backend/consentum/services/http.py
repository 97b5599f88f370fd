# SPDX-License-Identifier: Apache-2.0
"""What the three services share: problem documents (RFC 9457), a limit on bodies, sign-in, liveness."""

from __future__ import annotations

import json
import logging
import re
import sys
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from consentum import errors
from consentum.errors import ConsentumError, MalformedError, Reason
from consentum.flow.login import LoginDesk, bearer
from consentum.services import schemas
from consentum.services.observe import add_metrics

log = logging.getLogger("consentum")
RECURSION_LIMIT = 1_000

_STATUS: list[tuple[type[ConsentumError], int]] = [
    (errors.MalformedError, 400),
    (errors.CorruptError, 400),
    (errors.SignatureRefused, 403),
    (errors.NotSponsoredError, 403),
    (errors.NotFoundError, 404),
    (errors.ConflictError, 409),
    (errors.RefusedError, 503),
    (errors.UnavailableError, 503),
]
_FORBIDDEN = {
    *(Reason.JOB_SIGNATURE, Reason.RELEASE_SIGNATURE, Reason.DEADLINE_PASSED, Reason.RUNNER_NOT_ACCREDITED),
    Reason.REQUESTER_NOT_MEMBER,
}
_TOO_MANY = {Reason.LIMIT, Reason.BUDGET}


def status_of(error: ConsentumError) -> int:
    """The HTTP status of an expected failure."""
    if isinstance(error, errors.RefusedError):
        if error.reason in _FORBIDDEN:
            return 403
        if error.reason in _TOO_MANY:
            return 429
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def problem(status: int, code: str, detail: str, field: str | None = None) -> JSONResponse:
    """A problem document. detail never carries what the caller sent."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "title": code, "detail": detail, "code": code}
    if field is not None:
        body["field"] = field
    headers = {"Retry-After": "2"} if status == 503 else None
    return JSONResponse(body, status, headers, media_type="application/problem+json")


class BodyLimit:
    """ASGI: a body over the limit is refused while it arrives, whatever Content-Length says."""

    def __init__(self, app: Any, limit: int) -> None:
        self._app, self._limit = app, limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        chunks, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            more = message.get("more_body", False)
            if size > self._limit:
                response = problem(413, "TOO_LARGE", f"a body has at most {self._limit} bytes")
                await response(scope, receive, send)
                return
        body = iter([{"type": "http.request", "body": b"".join(chunks), "more_body": False}])

        async def replay() -> Any:
            return next(body, None) or await receive()

        await self._app(scope, replay, send)


async def json_body(request: Request) -> Any:
    """The body as JSON; MalformedError otherwise. Duplicate keys and NaN are refused: two parsers must not differ."""
    raw = await request.body()
    # A library raises the limit to 100,000, where deep JSON is no RecursionError but a crash of the process.
    sys.setrecursionlimit(RECURSION_LIMIT)
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_constant=_no_constant)
        if _SURROGATE.search(raw):
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text, and no answer could hold it
        return value
    except (ValueError, RecursionError):
        raise MalformedError("the body is not JSON", field="body") from None


Body = Annotated[Any, Depends(json_body)]


_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError
    return table


def _no_constant(_: str) -> None:
    raise ValueError


async def _expected(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ConsentumError)
    return problem(status_of(error), error.code, str(error), error.field)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    place = [str(part) for part in error.errors()[0]["loc"][1:]] or ["request"]
    return problem(400, "MALFORMED", "a parameter is not valid", place[-1][:64])


async def _routed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(error.status_code, "HTTP")
    return problem(error.status_code, code, "no such resource")


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    ticket = str(request.scope.get("consentum.request") or uuid.uuid4().hex)
    # The type and the place, never the message: it may hold what the caller sent.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    log.error("unexpected %s at %s, ticket %s, %s", type(error).__name__, where, ticket, request.method)
    answer = problem(500, "UNEXPECTED", f"something is wrong on our side, ticket {ticket}")
    answer.headers["X-Request-Id"] = ticket
    return answer


_HANDLERS: list[tuple[Any, Callable[[Request, Exception], Awaitable[JSONResponse]]]] = [
    (ConsentumError, _expected),
    (RequestValidationError, _invalid),
    (HTTPException, _routed),
    (Exception, _unexpected),
]


def new_app(title: str, limit: int) -> FastAPI:
    """An application that answers every failure with a problem document and logs none of its content."""
    app = FastAPI(title=title, version="1", docs_url=None, redoc_url=None)
    for kind, handler in _HANDLERS:
        app.add_exception_handler(kind, handler)
    app.add_middleware(BodyLimit, limit=limit)
    add_metrics(app)  # outermost: what is refused before it is routed counts too
    return app


def add_login(app: FastAPI, desk: LoginDesk) -> None:
    """POST /v1/logins/challenge, then POST /v1/logins; sessions are for SignedIn."""
    app.state.desk = desk
    router = APIRouter(prefix="/v1/logins", tags=["sign-in"])

    @router.post("/challenge")
    def challenge() -> dict[str, Any]:
        """A challenge for the Login struct."""
        return desk.challenge()

    @router.post("", openapi_extra=schemas.body(schemas.LOGIN))
    def login(body: Body) -> dict[str, Any]:
        """{login, signature} to {token, expires}."""
        return desk.open(body)

    app.include_router(router)


def _who(request: Request, authorization: Annotated[str | None, Header()] = None) -> str:
    desk = request.app.state.desk
    assert isinstance(desk, LoginDesk)
    return desk.who(bearer(authorization))


SignedIn = Annotated[str, Depends(_who)]
"""A parameter: the address of whoever signed in at this application's desk."""


def health_routes(why_not: Callable[[], dict[str, str]], warnings: Callable[[], dict[str, str]] = dict) -> APIRouter:
    """/live: the process answers. /ready: it would do its work now; else every reason why not, by part. warnings: what
    needs its operator's eye and does not make it unready."""
    router = APIRouter(tags=["health"])

    @router.get("/live")
    def live() -> dict[str, str]:
        return {"status": "live"}

    @router.get("/ready", response_model=None)
    def ready() -> dict[str, Any] | JSONResponse:
        reasons, found = why_not(), warnings()
        more = {"warnings": found} if found else {}
        if reasons:
            return JSONResponse({"status": "not ready", "why": reasons, **more}, 503)
        return {"status": "ready", **more}

    return router
