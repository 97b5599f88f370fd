# SPDX-License-Identifier: Apache-2.0
"""Builds a gateway from its folder: settings.json, keys.json (0600), gateway.db, uploads/, and the records' store."""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.registries import ChainRegistries
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.store.dictionaries import DictionaryBook
from consentum.adapters.store.enrolments import EnrolmentBook
from consentum.adapters.store.files import FolderLock, read_private, write_private
from consentum.adapters.store.gateway import GatewayDatabase
from consentum.adapters.store.jobs import JobBook
from consentum.adapters.store.retractions import RetractionBook
from consentum.adapters.store.sealed import SealedFile
from consentum.adapters.store.shared import SharedRows
from consentum.adapters.store.studies import StudyShelf
from consentum.adapters.store.transactions import TransactionBook
from consentum.adapters.store.uploads import UploadFolder
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import address_bytes
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError, SettingsError
from consentum.flow.gateway.forward import retry_deposits
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.flow.gateway.relay import relay_endings, relay_others
from consentum.flow.gateway.retract import retry_retractions
from consentum.flow.gateway.sponsoring import below_reserve
from consentum.flow.login import CHALLENGE_SECONDS, LoginDesk
from consentum.ports.content import ContentStore
from consentum.ports.peers import KeyServerPeer
from consentum.settings import GatewaySettings
from consentum.wiring.content import content_store, why_not_content
from consentum.wiring.upkeep import Upkeep, upkeep

log = logging.getLogger("consentum.gateway")
KEY_FILE = "keys.json"
RETRY_SECONDS = 5.0
TEND_SECONDS = 2.0
TAKE_OVER_SECONDS = 1.0
SWEEP_SECONDS = 600.0


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
    uploads: UploadFolder
    desk: LoginDesk
    deployment: Deployment
    settings: GatewaySettings
    folder: Path
    lock: FolderLock | None
    """The folder's; None in a worker, whose parent holds it."""
    upkeep: Upkeep | None = None
    """What keeps the copies of records whole, where there are several."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _mine: FolderLock | None = None

    def why_not_ready(self) -> dict[str, str]:
        """Each part that keeps this gateway from its work."""
        try:
            self.gateway.ledger.view()
            if self.settings.relay and self.gateway.sender.balance() == 0:
                return {"relayer": "the account is empty"}
            if self.settings.relay and below_reserve(self.gateway):
                return {"relayer": "below the reserve: only revocations are paid for"}
        except ConsentumError as error:
            return {"chain": error.code}
        return why_not_content(self.content)

    def warnings(self) -> dict[str, str]:
        """What needs its operator's eye without keeping it from its work."""
        try:
            return {} if self.upkeep is None else self.upkeep.warnings()
        except ConsentumError as error:
            return {"copies": error.code}

    def start(self) -> None:
        """Background work begins as soon as no other worker does it."""
        thread = threading.Thread(target=self._begin, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _begin(self) -> None:
        while not self._stop.is_set():
            try:
                self._mine = FolderLock(self.folder, "background.lock")
                break
            except SettingsError:
                self._stop.wait(TAKE_OVER_SECONDS)
        if self.upkeep is not None and not self._stop.is_set():
            self._try(partial(self.upkeep.adopt, self.gateway.store))
        for work, pause in self._jobs():
            if not self._stop.is_set():
                thread = threading.Thread(target=self._run, args=(work, pause), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _jobs(self) -> list[tuple[Callable[[], object], float]]:
        """Background work, each with the seconds between two rounds of it."""
        jobs: list[tuple[Callable[[], object], float]] = [(lambda: retry_deposits(self.gateway), RETRY_SECONDS)]
        jobs.append((lambda: retry_retractions(self.gateway), RETRY_SECONDS))
        jobs.append((self.uploads.sweep, SWEEP_SECONDS))
        if self.settings.relay:
            batch, wait = self.settings.relay_batch, self.settings.relay_wait_seconds
            jobs.append((lambda: relay_endings(self.gateway, batch), wait))
            jobs.append((lambda: relay_others(self.gateway, batch), wait))
            jobs.append((self.gateway.sender.tend, TEND_SECONDS))
        return jobs + (self.upkeep.jobs() if self.upkeep is not None else [])

    def stop(self) -> None:
        self._stop.set()
        for thread in list(self._threads):
            thread.join(timeout=5)
        self.close()

    def close(self) -> None:
        """Lets go of the folder."""
        self.uploads.close()
        self.content.close()
        self.file.close()
        for lock in (self.lock, self._mine):
            if lock is not None:
                lock.release()

    def _run(self, work: Callable[[], object], pause: float) -> None:
        while not self._stop.wait(pause):
            self._try(work)

    @staticmethod
    def _try(work: Callable[[], object]) -> None:
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


def build(folder: Path, relay: bool = True, worker: bool = False) -> GatewayProcess:
    """The process of a folder. relay: False puts nothing on chain this time; worker: another process holds the
    folder."""
    settings = GatewaySettings.load(folder)
    settings = settings if relay else replace(settings, relay=False)
    lock = None if worker else FolderLock(folder)
    account, key = _keys(folder / KEY_FILE)
    deployment = Deployment.load(Path(settings.deployment))
    rpc = Rpc(settings.rpc, settings.rpc_timeout_seconds)
    ledger = ChainLedger(rpc, deployment, profile_for(deployment.chain_id, settings.profile))
    file = SealedFile(folder / "gateway.db", key)
    shared = SharedRows(file)
    content = content_store(settings, folder)
    gateway = Gateway(
        domain=deployment.user_domain,
        ledger=ledger,
        store=GatewayDatabase(file),
        content=content,
        enrolments=EnrolmentBook(file),
        dictionaries=DictionaryBook(file),
        jobs=JobBook(file),
        retractions=RetractionBook(file),
        studies=StudyShelf(file),
        shared=shared,
        registries=ChainRegistries(rpc, deployment),
        sender=ChainSender(rpc, deployment, account, TransactionBook(file)),
        peers=KeyServers(settings.key_servers),
        pseudonym_key=key,
        clock=time.time,
        sponsorship=_sponsorship(settings),
    )
    desk = _desk(gateway, settings.endpoint, key)
    uploads, kept = UploadFolder(folder / "uploads", content), upkeep(content, settings, folder)
    return GatewayProcess(gateway, file, content, uploads, desk, deployment, settings, folder, lock, kept)


def _desk(gateway: Gateway, endpoint: str, key: bytes) -> LoginDesk:
    return LoginDesk(
        gateway.ledger,
        gateway.domain,
        endpoint,
        time.time,
        hmac.digest(key, b"consentum/gateway/session", "sha256"),
        lambda challenge: gateway.shared.spend("challenge", challenge, 2 * CHALLENGE_SECONDS),
    )


def _sponsorship(settings: GatewaySettings) -> Sponsorship:
    return Sponsorship(
        frozenset(who.lower() for who in settings.custodians),
        frozenset(who.lower() for who in settings.sponsored),
        frozenset(bytes.fromhex(board[2:]) for board in settings.boards),
        settings.reserve_wei,
    )
