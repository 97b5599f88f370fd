# SPDX-License-Identifier: Apache-2.0
"""Answers that no honest server gives, and no answer at all, are errors of ours."""

from __future__ import annotations

import httpx
import pytest

from consentum.adapters.peers.http import HttpKeyServer
from consentum.errors import ConsentumError, UnavailableError
from tests.conformance.test_peers import ORIGIN, over_http

GARBAGE = {
    "no json": (200, b"<html>"),
    "nothing": (200, b""),
    "a list": (200, b"[1]"),
    "a number": (200, b"7"),
    "null": (200, b"null"),
    "an error that is no problem": (500, b"<html>"),
    "an error without a code": (400, b"{}"),
    "a problem that is a list": (404, b"[]"),
    "an unheard-of code": (418, b'{"code": "TEAPOT", "detail": "short and stout"}'),
    "a redirect": (302, b""),
}


def garbled(status: int, content: bytes) -> HttpKeyServer:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, content=content))
    return HttpKeyServer("0x" + "11" * 20, over_http(httpx.Client(transport=transport, base_url=ORIGIN)))


@pytest.mark.parametrize("call", ["about", "deposit", "release", "notice"])
@pytest.mark.parametrize("what", GARBAGE)
def test_a_server_that_talks_nonsense_is_an_error_of_ours_to_catch(what: str, call: str) -> None:
    peer = garbled(*GARBAGE[what])
    with pytest.raises(ConsentumError):
        getattr(peer, call)(*([] if call == "about" else [{}]))


@pytest.mark.parametrize("error", [httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.RemoteProtocolError("x")])
def test_a_server_that_cannot_be_reached_is_unavailable(error: httpx.HTTPError) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    client = over_http(httpx.Client(transport=httpx.MockTransport(fail), base_url=ORIGIN))
    with pytest.raises(UnavailableError):
        HttpKeyServer("0x" + "11" * 20, client).about()
