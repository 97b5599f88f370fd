# SPDX-License-Identifier: Apache-2.0
"""A patient's home beside the small world: the gateway's real application, key servers as peers, no network."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.store.home import HomeFile
from consentum.domain.invites import Invite, proof_of, ticket_of
from consentum.errors import UnavailableError
from consentum.flow.gateway.gateway import Gateway
from consentum.services.gateway.app import create_app
from consentum.wiring.patient import PatientHome
from tests.fakes.web import client_of
from tests.unit.client.world import DOMAIN, NOW, World
from tests.unit.gateway.conftest import ORIGIN, gateway, process_of, sender, world

__all__ = ["gateway", "sender", "world"]  # fixtures


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

    def client(self, timeout: float = 0) -> Any:
        if self.down:
            return Down()
        return client_of(self.app, ORIGIN)

    def key_servers(self) -> Any:
        return self.world.peers

    def invite(self, **changes: Any) -> Invite:
        plain = {"custodian": self.world.hospital.address.lower(), "gateway": ORIGIN, "expires": NOW + 1_000}
        made = Invite(**{"code": secrets.token_bytes(16), **plain, **changes})
        ticket = ticket_of(proof_of(made.code), made.custodian)
        self.gateway.enrolments.add_tickets(made.custodian, {ticket: made.expires}, NOW)
        return made

    def handed_in(self) -> int:
        """How many enrolments the gateway has for the hospital."""
        return len(self.gateway.enrolments.of_custodian(self.world.hospital.address, 100))


@pytest.fixture
def home(tmp_path: Path, world: World, gateway: Gateway) -> Iterator[Home]:
    """Alice's."""
    book, key = HomeFile(tmp_path / "home.db"), world.alice
    process = process_of(gateway)
    process.settings.custodians = (world.hospital.address,)
    with TestClient(create_app(process), base_url=ORIGIN) as app:
        connection = SimpleNamespace(
            identity=key.address.lower(),
            key=key,
            ledger=world.ledger,
            settings=SimpleNamespace(gateway=ORIGIN),
            deployment=SimpleNamespace(user_domain=DOMAIN),
            home=tmp_path,
        )
        made = Home(
            connection=connection,  # type: ignore[arg-type]
            book=book,
            world=world,
            app=app,
            gateway=gateway,
        )
        signed_in = made.client()
        signed_in.sign_in(key, DOMAIN)
        connection.gateway = signed_in
        yield made
    book.close()
