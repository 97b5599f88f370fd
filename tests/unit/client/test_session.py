# SPDX-License-Identifier: Apache-2.0
"""A session that outlives its peer's restarts, and does not hide anything else that goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from consentum.adapters.peers import session
from consentum.adapters.peers.http import Unanswered
from consentum.adapters.peers.session import Session
from consentum.crypto.signing import WalletKey
from consentum.errors import MalformedError, SignatureRefused, UnavailableError
from tests.unit.client.world import DOMAIN

Answer = Callable[[httpx.Request], httpx.Response]


class Peer:
    """Gives sessions, forgets them at a restart, and is away when told so."""

    def __init__(self) -> None:
        self.epoch, self.logins, self.away, self.seen = 0, 0, 0, 0
        self.fault: Answer | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.away:
            self.away -= 1
            raise httpx.ConnectError("refused")
        if request.url.path == "/v1/logins/challenge":
            return httpx.Response(200, json={"challenge": "0x" + "11" * 32, "expires": 1})
        if request.url.path == "/v1/logins":
            self.logins += 1
            return httpx.Response(200, json={"token": f"epoch {self.epoch}"})
        self.seen += 1
        if request.headers.get("authorization") != f"Bearer epoch {self.epoch}":
            return problem(403, "SIGNATURE", "authorization")
        return self.fault(request) if self.fault else httpx.Response(200, json=json.loads(request.content or b"{}"))


def problem(status: int, code: str, field: str | None = None) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "no", "field": field})


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setattr(session, "FIRST_PAUSE", 0.001)
    return Peer()


def to(peer: Peer, patience: float = 5.0) -> Session:
    made = Session("http://peer.test", (WalletKey(), DOMAIN), patience)
    made._client = httpx.Client(base_url="http://peer.test", transport=httpx.MockTransport(peer))
    return made


def test_it_signs_in_when_it_must_and_once(peer: Peer) -> None:
    client = to(peer)
    assert [client.post("/v1/x", {"n": n}) for n in range(3)] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert peer.logins == 1


def test_a_peer_that_was_started_anew_is_signed_in_to_anew(peer: Peer) -> None:
    client = to(peer)
    client.post("/v1/x", {})
    peer.epoch += 1
    assert client.post("/v1/x", {"n": 1}) == {"n": 1}
    assert peer.logins == 2


def test_a_peer_that_is_away_is_asked_again_until_it_is_back(peer: Peer) -> None:
    client = to(peer)
    peer.away = 4
    assert client.post("/v1/x", {"n": 1}) == {"n": 1}
    peer.away = 2
    assert client.post("/v1/x", {"n": 2}) == {"n": 2}


def test_without_patience_it_is_not(peer: Peer) -> None:
    peer.away = 1
    with pytest.raises(Unanswered):
        to(peer, patience=0).post("/v1/x", {})


def test_patience_ends(peer: Peer) -> None:
    peer.away = 10_000
    with pytest.raises(UnavailableError):
        to(peer, patience=0.05).post("/v1/x", {})


@pytest.mark.parametrize(
    ("status", "code", "field", "kind"),
    [
        (400, "MALFORMED", "x", MalformedError),
        (403, "SIGNATURE", "jobSignature", SignatureRefused),
        (503, "UNAVAILABLE", None, UnavailableError),
    ],
)
def test_what_a_peer_says_is_said_once(
    peer: Peer, status: int, code: str, field: str | None, kind: type[Exception]
) -> None:
    peer.fault = lambda _: problem(status, code, field)
    with pytest.raises(kind):
        to(peer).post("/v1/x", {})
    assert peer.seen == 1


def test_a_peer_that_knows_no_session_of_ours_is_not_asked_for_ever(peer: Peer) -> None:
    peer.fault = lambda _: problem(403, "SIGNATURE", "authorization")
    with pytest.raises(SignatureRefused):
        to(peer).post("/v1/x", {})
    assert peer.seen == 2


def test_an_answer_that_takes_too_long_is_not_asked_for_again(peer: Peer) -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    peer.fault = slow
    with pytest.raises(UnavailableError):
        to(peer).post("/v1/x", {})
    assert peer.seen == 1
