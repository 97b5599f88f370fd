# SPDX-License-Identifier: Apache-2.0
"""Contents as an IPFS trustless gateway gives them: by block or as CAR, to anybody, opened by nobody here."""

from __future__ import annotations

import io
import os
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.ipfs import car, unixfs
from consentum.domain.cid import DAG_PB, RAW, Cid
from consentum.services.gateway import content as routes
from consentum.services.gateway.limits import Meter, Metered
from tests.fakes.content import MemoryContentStore
from tests.unit.client.world import World
from tests.unit.gateway.routes import problem, session

CONTENT = os.urandom(60_000) * 3
BLOCKS = list(unixfs.build(io.BytesIO(CONTENT), unixfs.Layout(chunk=50_000, links=3)))
ROOT = BLOCKS[-1][0]
MISSING = Cid.of(RAW, b"nobody has this")


@pytest.fixture
def stored(client: TestClient, world: World) -> TestClient:
    body = car.header([ROOT]) + b"".join(car.section(*block) for block in BLOCKS)
    assert client.post("/v1/content", content=body, headers=session(client, world.hospital)).status_code == 200
    return client


def test_each_block_is_given_as_it_is_under_headers_for_ever(stored: TestClient) -> None:
    for cid, block in BLOCKS:
        found = stored.get(f"/ipfs/{cid}?format=raw")
        assert (found.status_code, found.content, found.headers["content-type"]) == (200, block, routes.RAW_TYPE)
        assert found.headers["etag"] == f'"{cid}.raw"'
        assert "immutable" in found.headers["cache-control"]
        assert found.headers["x-content-type-options"] == "nosniff"
        head = stored.head(f"/ipfs/{cid}?format=raw")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(block)))


def test_a_content_is_given_as_a_car_that_another_store_takes(stored: TestClient) -> None:
    found = stored.get(f"/ipfs/{ROOT}?format=car")
    assert found.headers["content-type"].split(";")[0] == routes.CAR_TYPE
    other = MemoryContentStore()
    assert other.put_car(io.BytesIO(found.content)) == [ROOT]
    assert other.read_at(ROOT, 0, len(CONTENT)) == CONTENT
    order = [cid for cid, _ in car.read_blocks(_behind_header(found.content))]
    assert (order[0], len(order)) == (ROOT, len({cid for cid, _ in BLOCKS}))


def _behind_header(raw: bytes) -> io.BytesIO:
    source = io.BytesIO(raw)
    car.read_header(source)
    return source


@pytest.mark.parametrize(("accept", "kind"), [(routes.RAW_TYPE, "raw"), (f"text/html, {routes.CAR_DFS}", "car")])
def test_the_form_may_be_asked_for_by_accept(stored: TestClient, accept: str, kind: str) -> None:
    found = stored.get(f"/ipfs/{ROOT}", headers={"Accept": accept})
    assert found.headers["etag"] == f'"{ROOT}.{kind}"'


@pytest.mark.parametrize("form", ["raw", "car"])
def test_what_is_not_here_is_not_found(stored: TestClient, form: str) -> None:
    problem(stored.get(f"/ipfs/{MISSING}?format={form}"), 404, "NOT_FOUND")
    assert stored.head(f"/ipfs/{MISSING}?format={form}").status_code == 404


def test_a_content_that_is_not_whole_is_found_out_before_the_first_byte(stored: TestClient) -> None:
    node = unixfs.encode_node([unixfs.Link(MISSING, 5, 5)])
    problem(stored.get(f"/ipfs/{Cid.of(DAG_PB, node)}?format=car"), 404, "NOT_FOUND")


BAD: list[str] = [f"{ROOT}", f"{ROOT}?format=html", f"{ROOT}?format=", "Qm", "Qm?format=raw", f"{ROOT}x?format=raw"]


@pytest.mark.parametrize("asked", BAD, ids=range(len(BAD)))
def test_what_is_no_such_question_is_malformed(stored: TestClient, asked: str) -> None:
    problem(stored.get(f"/ipfs/{asked}"), 400, "MALFORMED")


def test_a_path_below_a_content_is_no_resource(stored: TestClient) -> None:
    problem(stored.get(f"/ipfs/{ROOT}/index.html?format=raw"), 404, "NOT_FOUND")


def test_blocks_are_counted_by_themselves(stored: TestClient) -> None:
    """Who reads a content a block at a time must not be locked out of the rest, nor the other way round."""
    layer: Any = next(one for one in stored.app.user_middleware if one.cls is Metered)  # type: ignore[attr-defined]
    assert layer.kwargs["meter"] is not None
    meter, few = Meter(1), Meter(2)
    metered = Metered(stored.app, meter, layer.kwargs["desk"], few)
    with TestClient(metered, base_url=str(stored.base_url)) as web:
        assert [web.get(f"/ipfs/{ROOT}?format=raw").status_code for _ in range(3)] == [200, 200, 429]
        assert [web.get("/v1/runners").status_code for _ in range(2)] == [200, 429]
