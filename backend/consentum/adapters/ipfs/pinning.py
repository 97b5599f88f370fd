# SPDX-License-Identifier: Apache-2.0
"""A pinning service or an IPFS Cluster, by the IPFS Pinning Service API 1.0.0.

What it says is its word: a pin is asked for and removed here, and counts as no verified copy. Source:
https://ipfs.github.io/pinning-services-api-spec/.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import quote

import httpx

from consentum.domain.cid import Cid
from consentum.errors import ConsentumError, MalformedError, NotFoundError, SettingsError, UnavailableError
from consentum.ports.pins import Pin, PinStatus

MAX_ANSWER_BYTES: Final = 4 << 20
MAX_ORIGINS: Final = 20
PAGE: Final = 100
MAX_PAGES: Final = 10
TRIES: Final = 3
MAX_WAIT_SECONDS: Final = 20.0
WAIT_SECONDS: Final = 1.0
_BUSY: Final = frozenset({429, 503})
_REASON: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_REQUEST: Final = re.compile(r"[\x21-\x7e]{1,512}")
_CREATED: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class PinningClient:
    """`ports.pins.PinningService` at `endpoint`. token: sent with each request, and nowhere else. timeout in seconds.

    `name` is the endpoint with `pinning:` before it. A busy service (429, 503) is asked again twice, after as long as
    its Retry-After says, if that is at most 20 s.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._name, self._sleep = f"pinning:{endpoint}", sleep
        self._client = httpx.Client(
            base_url=endpoint,
            headers={"Authorization": f"Bearer {token}"},
            timeout=timeout,
            transport=transport,
            trust_env=False,
        )

    @property
    def name(self) -> str:
        """See the port."""
        return self._name

    def pin(self, root: Cid, origins: Sequence[str] = ()) -> Pin:
        """See the port."""
        body: dict[str, Any] = {"cid": str(root)}
        if origins:
            body["origins"] = list(dict.fromkeys(origins))[:MAX_ORIGINS]
        return _pin(self._ask("POST", "/pins", json=body), root)

    def find(self, root: Cid) -> list[Pin]:
        """See the port. The newest first; UnavailableError if there are more than 1,000."""
        found: dict[str, Pin] = {}
        query: dict[str, Any] = {"cid": str(root), "status": ",".join(PinStatus), "limit": PAGE}
        for _ in range(MAX_PAGES):
            answer = self._ask("GET", "/pins", params=query)
            results = answer.get("results")
            if not isinstance(results, list) or type(answer.get("count")) is not int:
                raise UnavailableError("the pinning service answers something else than a list of pins")
            found |= {pin.request: pin for pin in (_pin(item, root) for item in results)}
            if answer["count"] <= len(results) or not results:
                return list(found.values())
            query["before"] = _created(results[-1])
        raise UnavailableError("the pinning service lists one record too many times")

    def unpin(self, pin: Pin) -> None:
        """See the port."""
        try:
            self._ask("DELETE", f"/pins/{quote(pin.request, safe='')}")
        except NotFoundError:
            return

    def close(self) -> None:
        """See the port."""
        self._client.close()

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        for left in reversed(range(TRIES)):
            response = self._send(method, path, options)
            if response.is_success:
                return {} if method == "DELETE" else _object(response)
            wait = _retry_after(response)
            if response.status_code not in _BUSY or not left or wait > MAX_WAIT_SECONDS:
                break
            self._sleep(wait)
        raise _failure(response)

    def _send(self, method: str, path: str, options: dict[str, Any]) -> httpx.Response:
        try:
            with self._client.stream(method, path, **options) as streamed:
                body = bytearray()
                for chunk in streamed.iter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        raise UnavailableError("the pinning service answers at too great a length")
                kept = {"Retry-After": streamed.headers.get("Retry-After", "")}
                return httpx.Response(streamed.status_code, headers=kept, content=bytes(body))
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: the client is closed
            raise UnavailableError(f"the pinning service does not answer ({type(error).__name__})") from None


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UnavailableError("the pinning service answers something else than a JSON object")
    return value


def _pin(data: object, root: Cid) -> Pin:
    """A PinStatus object of the API, about `root`. UnavailableError for anything else."""
    try:
        assert isinstance(data, dict)
        request, about, status = data["requestid"], data["pin"]["cid"], PinStatus(data["status"])
    except (AssertionError, KeyError, TypeError, ValueError):
        raise UnavailableError("the pinning service answers something else than a pin's status") from None
    if not isinstance(request, str) or not _REQUEST.fullmatch(request) or about != str(root):
        raise UnavailableError("the pinning service answers about something else")
    return Pin(request, root, status)


def _created(item: dict[str, Any]) -> str:
    created = item.get("created")
    if not isinstance(created, str) or not _CREATED.fullmatch(created):
        raise UnavailableError("the pinning service gives a pin no time")
    return created


def _retry_after(response: httpx.Response) -> float:
    """Seconds to wait; what is not a plain number of them counts as a second."""
    given = response.headers.get("Retry-After", "")
    return float(given) if re.fullmatch(r"\d{1,6}", given) else WAIT_SECONDS


def _failure(response: httpx.Response) -> ConsentumError:
    """What an answer of another status means. Of what the service wrote only its reason, if that is a plain word."""
    try:
        reason = response.json()["error"]["reason"]
    except (ValueError, KeyError, TypeError, RecursionError):
        reason = ""
    said = f": {reason}" if isinstance(reason, str) and _REASON.fullmatch(reason) else ""
    text = f"the pinning service says {response.status_code}{said}"
    if response.status_code in (401, 403):
        return SettingsError(text, field="pinning")
    if response.status_code == 404:
        return NotFoundError(text)
    return MalformedError(text) if response.status_code == 400 else UnavailableError(text)
