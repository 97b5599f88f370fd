# SPDX-License-Identifier: Apache-2.0
"""A gateway over fakes, and its application."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.store.uploads import UploadFolder
from consentum.flow.gateway import hedge, jobs
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.flow.login import LoginDesk
from consentum.services.gateway.app import create_app
from tests.fakes.content import MemoryContentStore
from tests.fakes.dictionaries import MemoryDictionaries
from tests.fakes.enrolments import MemoryEnrolments
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.fakes.jobs import MemoryJobs
from tests.fakes.registries import MemoryRegistries
from tests.fakes.retractions import MemoryRetractions
from tests.fakes.shared import MemoryShared
from tests.fakes.studies import MemoryStudies
from tests.unit.client.world import DOMAIN, NOW, POLICY, World, make_world
from tests.unit.gateway.sender import MiningSender
from tests.unit.gateway.submissions import made, who

ORIGIN = "http://gateway.test"
MAX_BODY = 200_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


@pytest.fixture
def sender(world: World) -> MiningSender:
    return MiningSender(world.ledger)


@pytest.fixture
def gateway(world: World, sender: MiningSender, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setattr(hedge, "GRACE_SECONDS", 10.0)  # a busy machine is not a hanging server
    return gateway_over(world, sender)


def gateway_over(world: World, sender: MiningSender) -> Gateway:
    """One whose every store is a fake."""
    store = MemoryGatewayStore()
    return Gateway(
        domain=DOMAIN,
        ledger=world.ledger,
        store=store,
        content=MemoryContentStore(),
        enrolments=MemoryEnrolments(),
        dictionaries=MemoryDictionaries(),
        retractions=MemoryRetractions(store),
        jobs=MemoryJobs(),
        studies=MemoryStudies(),
        shared=MemoryShared(),
        registries=MemoryRegistries(),
        sender=sender,
        peers=lambda: world.peers,
        pseudonym_key=b"\x99" * 32,
        clock=lambda: float(NOW),
        sponsorship=sponsorship_of(world),
    )


def sponsorship_of(world: World) -> Sponsorship:
    """The hospital is a custodian of this gateway, and the operator pays for the two patients."""
    people = frozenset(who.address.lower() for who in (world.alice, world.bob))
    return Sponsorship(frozenset({world.hospital.address.lower()}), people)


def process_of(gateway: Gateway, *custodians: str, folder: Path | None = None) -> Any:
    """What create_app needs of a GatewayProcess. folder: for uploads."""
    content = MemoryContentStore()
    where = "0x" + "11" * 20
    deployment = Deployment(DOMAIN.chain_id, where, DOMAIN.contract, where, POLICY, where, where, "hash")
    return SimpleNamespace(
        gateway=gateway,
        content=content,
        uploads=None if folder is None else UploadFolder(folder / "uploads", content),
        desk=LoginDesk(gateway.ledger, DOMAIN, ORIGIN, lambda: float(NOW)),
        deployment=deployment,
        settings=SimpleNamespace(max_body_bytes=MAX_BODY, key_servers=("http://1", "http://2"), custodians=custodians),
        why_not_ready=dict,
        warnings=dict,
        upkeep=None,
        start=lambda: None,
        stop=lambda: None,
        stopped=threading.Event(),
    )


@pytest.fixture
def client(gateway: Gateway, world: World, tmp_path: Path) -> Iterator[TestClient]:
    """The application, asked as from outside: what goes wrong inside is an answer here too."""
    app = create_app(process_of(gateway, world.hospital.address, folder=tmp_path))
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def submitted(gateway: Gateway, world: World) -> str:
    return jobs.submit(gateway, made(world).to_json())["id"]


@pytest.fixture
def held(gateway: Gateway, world: World, submitted: str) -> dict[str, Any]:
    """A claim of the submitted job."""
    return jobs.claim(gateway, {}, who(world.runner))
