# SPDX-License-Identifier: Apache-2.0
"""A patient's home beside the small world: the gateway's real application, key servers as peers, no network."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.peers.http import HttpClient
from consentum.adapters.store.home import HomeFile
from consentum.crypto.signing import WalletKey
from consentum.domain.invites import Invite
from consentum.errors import UnavailableError
from consentum.flow.gateway.gateway import Gateway
from consentum.services.gateway.app import create_app
from consentum.wiring.patient import PatientHome
from tests.fakes.enrolments import MemoryEnrolments
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.unit.client.world import DOMAIN, NOW, World, make_world
from tests.unit.gateway.conftest import ORIGIN, process_of
from tests.unit.gateway.sender import MiningSender


class Down:
    """A gateway that does not answer."""

    def get(self, path: str, **params: Any) -> Any:
        raise UnavailableError("the gateway does not answer")

    def post(self, path: str, body: Any) -> Any:
        raise UnavailableError("the gateway does not answer")


@dataclass(kw_only=True)
class Home(PatientHome):
    """A PatientHome whose gateway is an application in this process and whose key servers are the world's."""

    world: World
    app: TestClient
    gateway: Gateway
    down: bool = False
    answers: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def client(self, timeout: float = 0) -> Any:
        if self.down:
            return Down()
        client = HttpClient(ORIGIN)
        client._client = self.app
        return client

    def key_servers(self) -> Any:
        return self.world.peers

    def invite(self, **changes: Any) -> Invite:
        plain = {"custodian": self.world.hospital.address.lower(), "gateway": ORIGIN, "expires": NOW + 1_000}
        return Invite(**{"code": secrets.token_bytes(16), **plain, **changes})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    yield from home_of(tmp_path, "alice")


def home_of(folder: Path, who: str) -> Iterator[Home]:
    world = make_world(folder)
    gateway = Gateway(
        domain=DOMAIN,
        ledger=world.ledger,
        store=MemoryGatewayStore(),
        enrolments=MemoryEnrolments(),
        sender=MiningSender(world.ledger),
        peers=lambda: world.peers,
        pseudonym_key=b"\x99" * 32,
        clock=lambda: float(NOW),
    )
    key: WalletKey = getattr(world, who)
    book = HomeFile(folder / "home.db")
    with TestClient(create_app(process_of(gateway, world.hospital.address)), base_url=ORIGIN) as app:
        connection = SimpleNamespace(
            identity=key.address.lower(),
            key=key,
            ledger=world.ledger,
            settings=SimpleNamespace(gateway=ORIGIN),
            deployment=SimpleNamespace(user_domain=DOMAIN),
            home=folder,
        )
        made = Home(
            connection=connection,  # type: ignore[arg-type]
            book=book,
            identities=None,  # type: ignore[arg-type]
            world=world,
            app=app,
            gateway=gateway,
        )
        signed_in = made.client()
        signed_in.sign_in(key, DOMAIN)
        connection.gateway = signed_in
        yield made
    book.close()
