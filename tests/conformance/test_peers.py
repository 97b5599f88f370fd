# SPDX-License-Identifier: Apache-2.0
"""What every peer promises: one suite for the fake key server and the one over HTTP, one for both depositories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from eth_utils.crypto import keccak
from starlette.testclient import TestClient

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.errors import (
    ConsentumError,
    CorruptError,
    MalformedError,
    NotFoundError,
    Reason,
    RefusedError,
    ReplayedError,
    SignatureRefused,
    UnavailableError,
)
from consentum.flow.client import collect, terms
from consentum.flow.client.deposit import Batch
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.login import LoginDesk
from consentum.flow.wire import Answer, Notice, ReleaseRequest
from consentum.ports.peers import KeyServerPeer
from consentum.services.keyserver import app as keyserver_app
from tests.fakes.web import client_of
from tests.unit.client.world import DEADLINE, DOMAIN, NOW, World, make_world

ORIGIN = "http://peer.test"


def over_http(transport: httpx.Client) -> HttpClient:
    """A client whose requests go where the test says."""
    return client_of(transport, ORIGIN)


def keyserver_process(server: KeyServer) -> Any:
    desk = LoginDesk(server.ledger, DOMAIN, ORIGIN, lambda: float(NOW))
    settings = SimpleNamespace(max_body_bytes=1 << 24)
    nothing: Callable[[], None] = lambda: None  # noqa: E731 - said thrice
    parts: dict[str, Any] = {"server": server, "store": server.store, "desk": desk, "settings": settings}
    parts["sender"] = SimpleNamespace(balance=int)
    return SimpleNamespace(**parts, why_not_ready=dict, warnings=dict, upkeep=None, start=nothing, stop=nothing)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture(params=["fake", "http"])
def peer(request: pytest.FixtureRequest, world: World) -> Iterator[KeyServerPeer]:
    """The first server of the world."""
    fake = world.peers[0]
    if request.param == "fake":
        yield fake
        return
    app = keyserver_app.create_app(keyserver_process(fake.server))
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as transport:
        yield HttpKeyServer(fake.server.address, over_http(transport))


def first(batch: Batch) -> dict[str, Any]:
    return batch.requests[0][1].to_json()


def page(world: World, batch: Batch) -> dict[str, Any]:
    request = collect.sign_release(world.collector(), [record.id for record in batch.records], DEADLINE)
    return request.to_json()


# Key servers


def test_a_server_says_who_it_is_and_which_key_the_chain_knows(peer: KeyServerPeer, world: World) -> None:
    about = peer.about()
    keys = world.ledger.keys[peer.address]
    assert peer.address == peer.address.lower() == about["address"]
    assert keccak(bytes.fromhex(about["sealingKey"][2:])) == keys.sealing_key_hash
    assert (about["epoch"], about["chainId"]) == (1, DOMAIN.chain_id)
    assert about["checkpointKey"] == hexed(keys.checkpoint_key)
    assert set(about) == {"address", "chainId", "consentRegistry", "checkpointKey", "epoch", "sealingKey"}


def test_a_deposit_is_stored_and_a_release_answered(peer: KeyServerPeer, world: World) -> None:
    batch = world.batch()
    receipt = peer.deposit(first(batch))["receipt"]
    assert receipt["recordsRoot"] == hexed(batch.deposit.recordsRoot)
    answer = Answer.parse(peer.release(page(world, batch)))
    assert answer.receipt["counts"] == {"NO_CONSENT": 2}


def test_a_notice_is_kept(peer: KeyServerPeer, world: World) -> None:
    signed = terms.revoke(DOMAIN, world.alice, world.alice.address, b"\1" * 32)
    body = Notice(signed.message, signed.signature).to_json()  # type: ignore[arg-type]
    assert peer.notice(body)["receipt"]["judged"] is True


def deposit_elsewhere(world: World, peer: KeyServerPeer) -> Any:
    return peer.deposit(world.batch().requests[1][1].to_json())


def deposit_unsigned(world: World, peer: KeyServerPeer) -> Any:
    return peer.deposit({**first(world.batch()), "signature": hexed(bytes(65))})


def deposit_cut(world: World, peer: KeyServerPeer) -> Any:
    return peer.deposit({key: value for key, value in first(world.batch()).items() if key != "sealed"})


def of_no_committee(world: World, peer: KeyServerPeer) -> Any:
    world.ledger.committees.clear()
    return peer.deposit(first(world.batch()))


def twice_the_nonce(world: World, peer: KeyServerPeer) -> Any:
    batch = world.deposited()
    request = ReleaseRequest.parse(page(world, batch) | {"openings": [None, None]})
    peer.release(request.to_json())
    other = replace(request.release, deadline=DEADLINE - 1)
    signature = world.runner.sign(typed.digest(DOMAIN, other))
    return peer.release(replace(request, release=other, release_signature=signature).to_json())


def job_by_nobody(world: World, peer: KeyServerPeer) -> Any:
    return peer.release({**page(world, world.deposited()), "jobSignature": hexed(bytes(65))})


def node_down(world: World, peer: KeyServerPeer) -> Any:
    body = first(world.batch())
    world.ledger.down = True
    return peer.deposit(body)


def clock_behind(world: World, peer: KeyServerPeer) -> Any:
    body = first(world.batch())
    world.ledger.now = NOW - 1_000
    return peer.deposit(body)


REFUSALS: list[tuple[Callable[[World, KeyServerPeer], Any], type[ConsentumError], str, Reason | None]] = [
    (deposit_elsewhere, CorruptError, "CORRUPT", None),
    (deposit_unsigned, SignatureRefused, "SIGNATURE", None),
    (deposit_cut, MalformedError, "MALFORMED", None),
    (of_no_committee, NotFoundError, "NOT_FOUND", None),
    (job_by_nobody, RefusedError, "JOB_SIGNATURE", Reason.JOB_SIGNATURE),
    (node_down, RefusedError, "CHAIN_UNAVAILABLE", Reason.CHAIN_UNAVAILABLE),
    (clock_behind, RefusedError, "STALE", Reason.STALE),
]


@pytest.mark.parametrize(("ask", "kind", "code", "reason"), REFUSALS, ids=[row[0].__name__ for row in REFUSALS])
def test_what_a_server_refuses_is_the_same_error_here(
    peer: KeyServerPeer, world: World, ask: Any, kind: type[ConsentumError], code: str, reason: Reason | None
) -> None:
    with pytest.raises(ConsentumError) as caught:
        ask(world, peer)
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert getattr(caught.value, "reason", None) == reason


def test_a_nonce_used_twice_is_replayed_here_too(peer: KeyServerPeer, world: World) -> None:
    with pytest.raises(ReplayedError):
        twice_the_nonce(world, peer)


def test_an_answer_that_is_too_long_is_no_answer(world: World) -> None:
    app = keyserver_app.create_app(keyserver_process(world.peers[0].server))
    with TestClient(app, base_url=ORIGIN) as transport:
        client = over_http(transport)
        assert client.get("/v1/notices") == {"notices": []}
        client._max = 13
        with pytest.raises(UnavailableError):
            client.get("/v1/notices")
