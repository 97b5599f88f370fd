# SPDX-License-Identifier: Apache-2.0
"""Builds what a patient works with: her connection, her book, and the key servers it remembers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.store.home import HomeFile
from consentum.crypto.typed import address_bytes
from consentum.errors import ConsentumError
from consentum.ports.home import HomeBook
from consentum.wiring.client import Connection, connect, create_home

BOOK_FILE = "home.db"
# A server that hangs must not keep a revocation from the others for long.
SERVER_TIMEOUT_SECONDS = 10.0
CONTENT_TIMEOUT_SECONDS = 60.0


@dataclass(kw_only=True)
class PatientHome:
    """A patient's home, or her guardian's."""

    connection: Connection
    book: HomeBook

    def client(self, timeout: float = CONTENT_TIMEOUT_SECONDS) -> HttpClient:
        """The gateway without a session."""
        return HttpClient(self.connection.settings.gateway, timeout=timeout)

    def learn_servers(self) -> dict[str, str]:
        """Endpoints by address: those remembered, and those the gateway names now, which are remembered too."""
        self.book.remember(_named_by(self.client(SERVER_TIMEOUT_SECONDS)))
        return self.book.servers()

    def key_servers(self) -> list[HttpKeyServer]:
        """Every known key server, whether it answers or not."""
        known = self.learn_servers()
        return [HttpKeyServer(address, self.server(endpoint)) for address, endpoint in known.items()]

    def server(self, endpoint: str) -> HttpClient:
        return HttpClient(endpoint, timeout=SERVER_TIMEOUT_SECONDS)


def _named_by(gateway: HttpClient) -> dict[str, str]:
    """The key servers a gateway names, as far as they answer; none if it does not. All are asked at once."""
    try:
        endpoints = [str(endpoint) for endpoint in gateway.get("/v1/deployment").get("key_servers", [])]
    except ConsentumError:
        return {}
    with ThreadPoolExecutor(max_workers=max(1, len(endpoints))) as pool:
        addresses = list(pool.map(_address_at, endpoints))
    return {address: endpoint for address, endpoint in zip(addresses, endpoints, strict=True) if address}


def _address_at(endpoint: str) -> str:
    client = HttpClient(endpoint, timeout=SERVER_TIMEOUT_SECONDS)
    try:
        return "0x" + address_bytes(client.get("/v1/server").get("address")).hex()
    except ConsentumError:
        return ""
    finally:
        client.close()


def create_patient(folder: Path, gateway: str, rpc: str, identity: str | None = None) -> str:
    """Makes a home and remembers the key servers; the key's address."""
    address = create_home(folder, gateway, rpc, identity)
    open_patient(folder).learn_servers()
    return address


def open_patient(folder: Path) -> PatientHome:
    """The home in a folder. SettingsError or KeyFileError if it is not one."""
    connection = connect(folder)
    return PatientHome(connection=connection, book=HomeFile(folder / BOOK_FILE))
