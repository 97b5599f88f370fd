# SPDX-License-Identifier: Apache-2.0
"""Other processes of Consentum over HTTP. A problem document becomes the error it was there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from consentum import errors
from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.messages import Login
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import ConsentumError, NotFoundError, Reason, RefusedError, UnavailableError

_BY_CODE: dict[str, type[ConsentumError]] = {
    kind.code: kind
    for kind in (
        errors.MalformedError,
        errors.SignatureRefused,
        errors.NotFoundError,
        errors.ConflictError,
        errors.ReplayedError,
        errors.StateError,
        errors.LeaseError,
        errors.IdempotencyError,
        errors.NotSponsoredError,
        errors.CorruptError,
    )
}


RECURSION_LIMIT = 1_000


# A CAR of 64 MiB and its frame fit; a peer must not fill this process's memory.
MAX_ANSWER_BYTES = 128 * 1024 * 1024
MAX_NOTICES_BYTES = 16 * 1024 * 1024


class Unanswered(UnavailableError):
    """Nobody is there: the request may be sent again."""


class HttpClient:
    """JSON over HTTP to one base URL. timeout in seconds."""

    def __init__(self, base: str, timeout: float = 30.0, max_answer: int = MAX_ANSWER_BYTES) -> None:
        self.base, self._max = base.rstrip("/"), max_answer
        self._client = httpx.Client(base_url=self.base, timeout=timeout, trust_env=False)
        self._headers: dict[str, str] = {}

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **params: Any) -> Any:
        return _object(self._send("GET", path, params=params))

    def text(self, path: str) -> str:
        return self._send("GET", path).text

    def post(self, path: str, body: Any) -> Any:
        return _object(self._send("POST", path, json=body))

    def put(self, path: str, body: Any) -> Any:
        return _object(self._send("PUT", path, json=body))

    def post_bytes(self, path: str, body: bytes) -> Any:
        return _object(self._send("POST", path, content=body))

    def patch_bytes(self, path: str, body: Iterable[bytes], length: int, headers: Mapping[str, str]) -> Any:
        """body: its `length` bytes in small chunks, from the start each time it is iterated over."""
        return _object(self._send("PATCH", path, content=body, headers={**headers, "Content-Length": str(length)}))

    def fetch_bytes(self, path: str, body: Any) -> bytes:
        return self._send("POST", path, json=body).content

    def fetch(self, path: str, accept: str, limit: int) -> bytes:
        """A body of at most `limit` bytes from a peer that may not be ours: its errors are perhaps no problem
        documents. NotFoundError for any 404 or 410, UnavailableError for what may be better later."""
        with self._errors(), self._client.stream("GET", path, headers={"Accept": accept}) as streamed:
            response = self._read(streamed, limit)
        if response.status_code in (404, 410):
            raise NotFoundError("it is not there")
        if response.status_code == 429:
            raise UnavailableError(f"{self.base} asks to wait")
        if not response.is_success:
            raise _error(response)
        return response.content

    def sign_in(self, signer: Signer, domain: Domain) -> None:
        """Signs a Login for this origin; later requests carry the session. One that is renewed is peers.session's."""
        offer = self.post("/v1/logins/challenge", {})
        login = Login(
            signer.address.lower(), self.base, as_bytes(offer["challenge"], "challenge", 32), offer["expires"]
        )
        signature = signer.sign(typed.digest(domain, login))
        session = self.post("/v1/logins", {"login": typed.to_json(login), "signature": hexed(signature)})
        self._headers = {"Authorization": f"Bearer {session.get('token', '')}"}

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {**self._headers, **options.pop("headers", {})}
        with self._errors(), self._client.stream(method, path, headers=headers, **options) as streamed:
            response = self._read(streamed, self._max)
        if response.is_success:
            return response
        raise _error(response)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise Unanswered(f"{self.base} does not answer ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise UnavailableError(f"{self.base} does not answer ({type(error).__name__})") from None

    def _read(self, streamed: httpx.Response, limit: int) -> httpx.Response:
        body = bytearray()
        for chunk in streamed.iter_bytes():
            body += chunk
            if len(body) > limit:
                raise UnavailableError(f"{self.base} answers at too great a length")
        return httpx.Response(streamed.status_code, content=bytes(body))


def _object(response: httpx.Response) -> Any:
    """The JSON object of an answer; a peer that answers anything else is a peer that does not answer."""
    sys.setrecursionlimit(RECURSION_LIMIT)  # see services.http: deep JSON must be an error, never a crash
    try:
        value = response.json()
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnavailableError("an answer that is no JSON object")
    return value


def _error(response: httpx.Response) -> ConsentumError:
    try:
        body = response.json()
        code, detail, field = str(body["code"]), str(body["detail"]), body.get("field")
    except (ValueError, KeyError, TypeError):
        return UnavailableError(f"an answer of status {response.status_code} that is no problem document")
    if code in Reason.__members__ and code not in _BY_CODE:
        return RefusedError(Reason[code], detail)
    kind = _BY_CODE.get(code, UnavailableError if response.status_code >= 500 else ConsentumError)
    made = kind(detail, field=field)
    made.code = code
    return made


class HttpKeyServer:
    """A key server reached directly."""

    def __init__(self, address: str, client: HttpClient) -> None:
        self._address, self._client = address.lower(), client

    @property
    def address(self) -> str:
        return self._address

    def about(self) -> Mapping[str, Any]:
        return dict(self._client.get("/v1/server"))

    def deposit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.post("/v1/deposits", request))

    def retract(self, retraction: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.post("/v1/retractions", retraction))

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.post("/v1/releases", request))

    def notice(self, notice: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.post("/v1/notices", notice))


class HttpNoticePeer:
    """Another key server's notices. timeout in seconds, for each request."""

    def __init__(self, endpoint: str, timeout: float = 10.0) -> None:
        self._client = HttpClient(endpoint, timeout, MAX_NOTICES_BYTES)

    @property
    def endpoint(self) -> str:
        return self._client.base

    def notice(self, notice: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(self._client.post("/v1/notices", notice))

    def notices(self, after: int) -> Mapping[str, Any]:
        return dict(self._client.get("/v1/notices", after=after))


class ForwardedKeyServer(HttpKeyServer):
    """A key server that releases are asked of through the gateway, which adds the openings."""

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = {key: value for key, value in request.items() if key != "openings"}
        return dict(self._client.post("/v1/releases", {"server": self._address, "request": plain}))
