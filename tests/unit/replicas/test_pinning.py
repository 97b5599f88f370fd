# SPDX-License-Identifier: Apache-2.0
"""The client of the Pinning Service API: what it sends and what it takes is the API's, whatever the service answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from consentum.adapters.ipfs.pinning import MAX_ANSWER_BYTES, MAX_PAGES, PinningClient
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConsentumError, MalformedError, NotFoundError, SettingsError, UnavailableError
from consentum.ports.pins import Pin, PinStatus
from tests.fakes.pinning import TOKEN, FakePinning, failure

ROOT, OTHER = Cid.of(RAW, b"a record"), Cid.of(RAW, b"another")
ORIGIN = "/ip4/10.0.0.7/tcp/4001/p2p/12D3KooWGRUVh6FnVY3mdpDTNdC8S4oyAnJbeaNNZvMzJvL4xvS5"


def client(service: FakePinning, slept: list[float] | None = None) -> PinningClient:
    sleep = (slept if slept is not None else []).append
    return PinningClient("https://pinning.example/api", TOKEN, transport=_under("/api", service), sleep=sleep)


def _under(prefix: str, service: FakePinning) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path.startswith(prefix)
        url = str(request.url).replace(prefix, "", 1)
        return service.judged(httpx.Request(request.method, url, headers=request.headers, content=request.content))

    return httpx.MockTransport(answer)


def test_a_pin_is_asked_for_found_and_removed() -> None:
    service = FakePinning()
    pinning = client(service)
    made = pinning.pin(ROOT, [ORIGIN, ORIGIN])
    assert service.pins[0]["pin"] == {"cid": str(ROOT), "origins": [ORIGIN]}
    assert (made.root, made.status) == (ROOT, PinStatus.QUEUED)
    pinning.pin(OTHER)
    service.set_all("failed")
    assert pinning.find(ROOT) == [Pin(made.request, ROOT, PinStatus.FAILED)]
    pinning.unpin(made)
    pinning.unpin(made)
    assert pinning.find(ROOT) == []
    assert [pin["pin"]["cid"] for pin in service.pins] == [str(OTHER)]


def test_every_page_of_a_list_is_read() -> None:
    service = FakePinning(page=3)
    pinning = client(service)
    made = [pinning.pin(ROOT) for _ in range(8)]
    assert [pin.request for pin in pinning.find(ROOT)] == [pin.request for pin in reversed(made)]
    assert service.requests.count("GET /pins") == 3


def test_a_list_without_end_is_not_read_for_ever() -> None:
    service = FakePinning()
    pinning = client(service)
    pinning.pin(ROOT)
    service.meddle = lambda _: {"count": 10**6, "results": service.pins}
    with pytest.raises(UnavailableError, match="too many"):
        pinning.find(ROOT)
    assert len(service.requests) == 1 + MAX_PAGES


def test_a_busy_service_is_asked_again_after_as_long_as_it_says() -> None:
    slept: list[float] = []
    service = FakePinning(failures=[failure(429, "SLOW_DOWN", **{"Retry-After": "7"}), failure(503, "BUSY")])
    assert client(service, slept).pin(ROOT).root == ROOT
    assert slept == [7.0, 1.0]


@pytest.mark.parametrize(
    ("given", "waits"),
    [("3600", []), ("21", []), ("-1", [1.0, 1.0]), ("soon", [1.0, 1.0]), ("9" * 40, [1.0, 1.0])],
)
def test_it_is_not_waited_for_beyond_measure(given: str, waits: list[float]) -> None:
    slept: list[float] = []
    service = FakePinning(failures=[failure(429, "SLOW_DOWN", **{"Retry-After": given}) for _ in range(3)])
    with pytest.raises(UnavailableError, match="429: SLOW_DOWN"):
        client(service, slept).find(ROOT)
    assert slept == waits


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, MalformedError),
        (401, SettingsError),
        (403, SettingsError),
        (404, NotFoundError),
        (409, UnavailableError),
        (418, UnavailableError),
        (500, UnavailableError),
    ],
)
def test_each_failure_is_one_of_ours(status: int, kind: type[ConsentumError]) -> None:
    service = FakePinning(failures=[failure(status, "REASON_1")])
    with pytest.raises(kind, match=f"{status}: REASON_1$"):
        client(service).pin(ROOT)
    assert len(service.requests) == 1


def test_nothing_a_service_wrote_but_a_plain_reason_is_repeated_nor_the_token_shown() -> None:
    for reason in (f"echo {TOKEN}", "<script>", "X" * 65):
        service = FakePinning(failures=[failure(400, reason, f"your token is {TOKEN}")])
        pinning = client(service)
        with pytest.raises(MalformedError) as caught:
            pinning.pin(ROOT)
        assert str(caught.value) == "the pinning service says 400"
        assert TOKEN not in repr(pinning) + pinning.name


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda answer: {key: value for key, value in answer.items() if key != name}


@pytest.mark.parametrize(
    "meddle",
    [
        _without("requestid"),
        _without("status"),
        _without("pin"),
        lambda answer: {**answer, "status": "eaten"},
        lambda answer: {**answer, "requestid": 7},
        lambda answer: {**answer, "requestid": ""},
        lambda answer: {**answer, "requestid": "a\nb"},
        lambda answer: {**answer, "requestid": "x" * 513},
        lambda answer: {**answer, "pin": {"cid": str(OTHER)}},
        lambda answer: {**answer, "pin": None},
        lambda answer: [answer],
        lambda answer: "x" * (MAX_ANSWER_BYTES + 1),
    ],
)
def test_an_answer_that_is_no_pins_status_is_not_believed(meddle: Callable[[Any], Any]) -> None:
    with pytest.raises(UnavailableError):
        client(FakePinning(meddle=meddle)).pin(ROOT)


@pytest.mark.parametrize(
    "meddle",
    [
        _without("count"),
        _without("results"),
        lambda answer: {**answer, "count": True},
        lambda answer: {**answer, "results": {}},
        lambda answer: {**answer, "count": 99, "results": [{**answer["results"][0], "created": "yesterday"}]},
        lambda answer: {**answer, "count": 99, "results": [_without("created")(answer["results"][0])]},
        lambda answer: {**answer, "results": [answer["results"][0], None]},
    ],
)
def test_an_answer_that_is_no_list_of_pins_is_not_believed(meddle: Callable[[Any], Any]) -> None:
    service = FakePinning()
    service._add({"cid": str(ROOT)})
    service.meddle = meddle
    with pytest.raises(UnavailableError):
        client(service).find(ROOT)


def test_a_service_that_is_not_there_and_a_closed_client_are_unavailable() -> None:
    def dead(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    closed = client(FakePinning())
    closed.close()
    for pinning in (PinningClient("https://x.example", TOKEN, transport=httpx.MockTransport(dead)), closed):
        with pytest.raises(UnavailableError):
            pinning.find(ROOT)
