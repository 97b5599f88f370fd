# SPDX-License-Identifier: Apache-2.0
"""A client of an application in this process. Answers are read whole before they are handed over: an answer that is
still streaming when its test ends can keep the test client's event loop waiting for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from consentum.adapters.peers.http import HttpClient

Client = TypeVar("Client", bound=HttpClient)


class Whole:
    """What HttpClient needs of httpx.Client, over an application's test client."""

    def __init__(self, web: httpx.Client) -> None:
        self._web = web

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        yield self._web.request(method, path, **options)

    def close(self) -> None: ...


def client_of(web: httpx.Client, origin: str) -> HttpClient:
    """An HttpClient whose requests do not leave the process."""
    return through(web, HttpClient(origin))


def through(web: httpx.Client, client: Client) -> Client:
    """The same client, and its requests do not leave the process."""
    client._client.close()
    client._client = Whole(web)  # type: ignore[assignment]
    return client
