# SPDX-License-Identifier: Apache-2.0
"""Builds a gateway from its folder: settings.json, keys.json (0600), gateway.db, blocks.db."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.store.dictionaries import DictionaryBook
from consentum.adapters.store.engine import FolderLock, read_private, write_private
from consentum.adapters.store.enrolments import EnrolmentBook
from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.jobs import JobBook
from consentum.adapters.store.sealed import SealedFile
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import address_bytes
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError
from consentum.flow.gateway.forward import retry_deposits
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.gateway.relay import relay_once
from consentum.flow.login import LoginDesk
from consentum.ports.content import ContentStore
from consentum.ports.peers import KeyServerPeer
from consentum.settings import GatewaySettings

log = logging.getLogger("consentum.gateway")
KEY_FILE = "keys.json"
RETRY_SECONDS = 5.0


class KeyServers:
    """The key servers of the settings, by the address each answers to; one that is down is asked again later."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._clients = {endpoint: HttpClient(endpoint) for endpoint in endpoints}
        self._known: dict[str, KeyServerPeer] = {}

    def __call__(self) -> list[KeyServerPeer]:
        for endpoint, client in self._clients.items():
            if endpoint not in self._known:
                try:
                    address = "0x" + address_bytes(client.get("/v1/server").get("address")).hex()
                except ConsentumError:
                    continue
                self._known[endpoint] = HttpKeyServer(address, client)
        return list(self._known.values())


@dataclass(slots=True)
class GatewayProcess:
    """A gateway with its adapters and its background work."""

    gateway: Gateway
    file: SealedFile
    content: ContentStore
    desk: LoginDesk
    deployment: Deployment
    settings: GatewaySettings
    lock: FolderLock
    _stop: threading.Event
    _threads: list[threading.Thread]

    def why_not_ready(self) -> dict[str, str]:
        """Each part that keeps this gateway from its work."""
        try:
            self.gateway.ledger.view()
            if self.settings.relay and self.gateway.sender.balance() == 0:
                return {"relayer": "the account is empty"}
        except ConsentumError as error:
            return {"chain": error.code}
        return {}

    def start(self) -> None:
        jobs: list[tuple[Callable[[], object], float]] = [(lambda: retry_deposits(self.gateway), RETRY_SECONDS)]
        if self.settings.relay:
            batch = self.settings.relay_batch
            jobs.append((lambda: relay_once(self.gateway, batch), self.settings.relay_wait_seconds))
        for work, pause in jobs:
            thread = threading.Thread(target=self._run, args=(work, pause), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=5)
        self.content.close()
        self.file.close()
        self.lock.release()

    def _run(self, work: Callable[[], object], pause: float) -> None:
        while not self._stop.wait(pause):
            try:
                work()
            except ConsentumError as error:
                log.warning("background work waits: %s", error.code)
            except Exception as error:  # noqa: BLE001 - the loop must live; the type says enough and leaks nothing
                log.error("background work failed: %s", type(error).__name__)


def initialise(folder: Path, settings: GatewaySettings) -> str:
    """Writes the settings and creates the key file; the relayer's address."""
    settings.validate()
    account, key = secrets.token_bytes(32), secrets.token_bytes(32)
    write_private(folder / KEY_FILE, json.dumps({"account": account.hex(), "store": key.hex()}).encode())
    settings.save(folder)
    return WalletKey(account).address


def _keys(path: Path) -> tuple[bytes, bytes]:
    try:
        data = json.loads(read_private(path))
        return bytes.fromhex(data["account"]), bytes.fromhex(data["store"])
    except (ValueError, KeyError, TypeError):
        raise KeyFileError("the key file is damaged", field=path.name) from None


def build(folder: Path) -> GatewayProcess:
    """The process of a folder."""
    settings = GatewaySettings.load(folder)
    lock = FolderLock(folder)
    account, key = _keys(folder / KEY_FILE)
    deployment = Deployment.load(Path(settings.deployment))
    rpc = Rpc(settings.rpc, settings.rpc_timeout_seconds)
    ledger = ChainLedger(rpc, deployment, profile_for(deployment.chain_id, settings.profile))
    file = SealedFile(folder / "gateway.db", key)
    gateway = Gateway(
        domain=deployment.user_domain,
        ledger=ledger,
        store=GatewayDatabase(file),
        enrolments=EnrolmentBook(file),
        dictionaries=DictionaryBook(file),
        jobs=JobBook(file),
        sender=ChainSender(rpc, deployment, account),
        peers=KeyServers(settings.key_servers),
        pseudonym_key=key,
        clock=time.time,
    )
    content = EmbeddedStore(folder / "blocks.db")
    desk = LoginDesk(ledger, deployment.user_domain, settings.endpoint, time.time)
    return GatewayProcess(gateway, file, content, desk, deployment, settings, lock, threading.Event(), [])
