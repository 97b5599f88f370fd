# SPDX-License-Identifier: Apache-2.0
"""A key server's application over the fakes, without its background work, and what a problem document must be."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from consentum.adapters.store.files import FolderLock
from consentum.flow.login import LoginDesk
from consentum.services.keyserver.app import create_app
from consentum.settings import KeyServerSettings
from consentum.wiring.keyserver import KeyServerProcess
from tests.unit.keyserver.world import World, make_world

ORIGIN = "http://localhost:8101"
SECRET = "correct horse battery staple"
LIMIT = 200_000


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def process(world: World, tmp_path: Path) -> Iterator[KeyServerProcess]:
    settings = KeyServerSettings(
        rpc="http://127.0.0.1:1", deployment="none", port=8101, endpoint=ORIGIN, max_body_bytes=LIMIT
    )
    desk, lock = LoginDesk(world.ledger, world.domain, ORIGIN, world.clock.utc), FolderLock(tmp_path)
    store: Any = world.store
    yield KeyServerProcess(world.server, store, world.sender, desk, settings, lock, threading.Event())
    lock.release()


@pytest.fixture
def client(process: KeyServerProcess) -> TestClient:
    """The application without its background work."""
    return TestClient(create_app(process), raise_server_exceptions=False)


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """A problem document, of that code, that holds nothing secret of the request."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["code"], body["title"], body["status"], body.get("field")) == (code, code, status, field)
    assert SECRET not in answer.text
