# SPDX-License-Identifier: Apache-2.0
"""The runner over HTTP: it takes nothing from anybody; it says who it is and pulls."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.services.runner import app as module
from tests.unit.jobs.conftest import Runner


class SilentPuller:
    """Notes that it was started and stopped."""

    said: list[str]

    def __init__(self, _: Any) -> None:
        SilentPuller.said = []

    def start(self) -> None:
        self.said.append("started")

    def stop(self) -> None:
        self.said.append("stopped")


@pytest.fixture
def client(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(module, "Puller", SilentPuller)
    process: Any = SimpleNamespace(
        key=runner.key,
        settings=SimpleNamespace(max_body_bytes=1 << 20),
        lock=SimpleNamespace(release=lambda: SilentPuller.said.append("unlocked")),
        why_not_ready=dict,
    )
    with TestClient(module.create_app(process), base_url="http://runner.test") as made:
        yield made


def test_every_route_is_known_and_none_takes_anything(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    assert {(method, path) for path, methods in described.items() for method in methods} == {
        ("get", "/live"),
        ("get", "/ready"),
        ("get", "/v1/runner"),
    }
    assert client.post("/v1/jobs", json={}).status_code == 404


def test_it_says_who_it_is(client: TestClient, runner: Runner) -> None:
    assert client.get("/v1/runner").json() == {"address": runner.key.address.lower()}


def test_it_pulls_for_as_long_as_it_lives_and_lets_go_of_its_folder_last(client: TestClient) -> None:
    assert SilentPuller.said == ["started"]
    client.__exit__(None, None, None)
    assert SilentPuller.said == ["started", "stopped", "unlocked"]
