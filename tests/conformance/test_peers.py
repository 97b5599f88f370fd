# SPDX-License-Identifier: Apache-2.0
"""What every peer promises: one suite for the fake key server and the one over HTTP, one for both depositories."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from eth_utils.crypto import keccak
from starlette.testclient import TestClient

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.store.uploads import UploadFolder
from consentum.crypto import typed
from consentum.domain.cid import RAW, Cid
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
from consentum.flow.gateway.gateway import Sponsorship
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.login import LoginDesk
from consentum.flow.wire import Answer, Notice, ReleaseRequest
from consentum.ports.peers import Depository, KeyServerPeer
from consentum.services.gateway import app as gateway_app
from consentum.services.keyserver import app as keyserver_app
from tests.fakes.content import MemoryContentStore
from tests.fakes.peers import MemoryDepository
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


# Depositories


@pytest.fixture(params=["memory", "gateway"])
def depository(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Depository]:
    if request.param == "memory":
        yield MemoryDepository()
        return
    desk = LoginDesk(world.ledger, DOMAIN, ORIGIN, lambda: float(NOW))
    settings = SimpleNamespace(max_body_bytes=1 << 24, key_servers=())
    sponsorship = Sponsorship(frozenset({world.hospital.address.lower()}))
    sender = SimpleNamespace(balance=int)
    gateway = SimpleNamespace(store=None, ledger=world.ledger, sponsorship=sponsorship, sender=sender)
    store = EmbeddedStore(tmp_path / "blocks.db")
    nothing: Callable[[], None] = lambda: None  # noqa: E731 - said twice
    parts = {
        "gateway": gateway,
        "content": store,
        "uploads": UploadFolder(tmp_path / "uploads", store),
        "desk": desk,
        "settings": settings,
        "deployment": None,
    }
    silent = {"why_not_ready": dict, "warnings": dict, "upkeep": None}
    process: Any = SimpleNamespace(**parts, **silent, start=nothing, stop=store.close)
    app = gateway_app.create_app(process)
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as transport:
        client = over_http(transport)
        client.sign_in(world.hospital, DOMAIN)
        yield GatewayContent(client, tmp_path / "cache.db")


def test_contents_come_back_by_their_cids_in_the_order_they_were_put(depository: Depository) -> None:
    contents = [b"", b"a", b"b" * (3 << 20), b"a", bytes(range(256)) * 5_000]
    cids = depository.put_all(contents)
    assert cids[1] == cids[3]
    assert depository.get_all(cids) == dict(zip(cids, contents, strict=True))
    assert depository.get_all([cids[2]]) == {cids[2]: contents[2]}


@pytest.mark.parametrize("many", [1_000, 1_100])
def test_many_contents_at_once_come_back(depository: Depository, many: int) -> None:
    contents = [b"%d" % n for n in range(many)]
    cids = depository.put_all(contents)
    assert depository.get_all(cids) == dict(zip(cids, contents, strict=True))


def test_a_file_comes_back_whole_and_in_parts(depository: Depository) -> None:
    content = bytes(range(256)) * 40_000  # ten leaves
    cid, told = unixfs.cid_of(io.BytesIO(content)), []
    depository.put_file(cid, io.BytesIO(content), told.append)
    assert sum(told) == len(content)
    depository.put_file(cid, io.BytesIO(content), told.append)  # said twice it is the same
    with depository.open(cid) as file:
        assert file.read() == content
        assert (file.seek(5_000_000), file.read(100)) == (5_000_000, content[5_000_000:5_000_100])
        assert (file.seek(-10, io.SEEK_END), file.read(100)) == (len(content) - 10, content[-10:])
    [small] = depository.put_all([b"small"])
    with depository.open(small) as file:
        assert (file.read(2), file.read(), file.read()) == (b"sm", b"all", b"")


def test_a_file_under_anothers_name_is_refused(depository: Depository) -> None:
    wrong = unixfs.cid_of(io.BytesIO(b"wrong"))
    with pytest.raises(CorruptError):
        depository.put_file(wrong, io.BytesIO(b"right"), lambda _: None)
    with pytest.raises(NotFoundError):
        depository.open(wrong)


def test_nothing_put_and_nothing_asked_for_is_nothing(depository: Depository) -> None:
    assert depository.put_all([]) == []
    assert depository.get_all([]) == {}


def test_what_nobody_put_is_not_found(depository: Depository) -> None:
    [known] = depository.put_all([b"known"])
    with pytest.raises(NotFoundError):
        depository.get_all([known, Cid.of(RAW, b"unknown")])


def test_a_damaged_content_of_the_fake_is_corrupt_by_name() -> None:
    depository = MemoryDepository()
    [cid] = depository.put_all([b"content"])
    depository.contents[cid] = b"c0ntent"
    with pytest.raises(CorruptError, match=str(cid)):
        depository.get_all([cid])


def lying_gateway(tmp_path: Path, content: bytes) -> GatewayContent:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=content))
    return GatewayContent(over_http(httpx.Client(transport=transport, base_url=ORIGIN)), tmp_path / "cache.db")


def test_a_gateway_that_sends_other_bytes_is_found_out(tmp_path: Path) -> None:
    store = MemoryContentStore()
    wanted, other = store.put(io.BytesIO(b"wanted")), store.put(io.BytesIO(b"other"))
    sink = io.BytesIO()
    store.export_car([wanted], sink)
    honest = sink.getvalue()
    for content in (honest.replace(b"wanted", b"w4nted"), honest[:-1], b"", b"<html>"):
        with pytest.raises((CorruptError, MalformedError)):
            lying_gateway(tmp_path, content).get_all([wanted])
    sink = io.BytesIO()
    store.export_car([other], sink)
    with pytest.raises((CorruptError, NotFoundError)):
        lying_gateway(tmp_path, sink.getvalue()).get_all([wanted])
    assert lying_gateway(tmp_path, honest).get_all([wanted]) == {wanted: b"wanted"}


@pytest.mark.parametrize("roots", [[], ["other"], ["same", "other"]])
def test_a_gateway_that_acknowledges_something_else_is_found_out(tmp_path: Path, roots: list[str]) -> None:
    names = {"same": Cid.of(RAW, b"content"), "other": Cid.of(RAW, b"other")}
    answer = json.dumps({"roots": [str(names[root]) for root in roots]}).encode()
    with pytest.raises(CorruptError):
        lying_gateway(tmp_path, answer).put_all([b"content"])


def test_an_answer_that_is_too_long_is_no_answer(world: World) -> None:
    app = keyserver_app.create_app(keyserver_process(world.peers[0].server))
    with TestClient(app, base_url=ORIGIN) as transport:
        client = over_http(transport)
        assert client.get("/v1/notices") == {"notices": []}
        client._max = 13
        with pytest.raises(UnavailableError):
            client.get("/v1/notices")
