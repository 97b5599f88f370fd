# SPDX-License-Identifier: Apache-2.0
"""What every depository promises: one suite for the fake and for the gateway's over HTTP, whatever that one says."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.store.uploads import UploadFolder
from consentum.domain.cid import RAW, Cid
from consentum.errors import CorruptError, MalformedError, NotFoundError
from consentum.flow.gateway.gateway import Sponsorship
from consentum.flow.login import LoginDesk
from consentum.ports.peers import Depository
from consentum.services.gateway import app as gateway_app
from tests.conformance.test_peers import ORIGIN, over_http, world
from tests.fakes.content import MemoryContentStore
from tests.fakes.peers import MemoryDepository
from tests.unit.client.world import DOMAIN, NOW, World

__all__ = ["world"]  # a fixture


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
    uploads = UploadFolder(tmp_path / "uploads", store)
    parts = {
        "gateway": gateway,
        "content": store,
        "uploads": uploads,
        "desk": desk,
        "settings": settings,
        "deployment": None,
    }
    process: Any = SimpleNamespace(
        **parts, why_not_ready=dict, warnings=dict, upkeep=None, start=nothing, stop=store.close
    )
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
