# SPDX-License-Identifier: Apache-2.0
"""Builds a key server from its folder: settings.json, keys.json (0600), vault.db."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_utils.crypto import keccak

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.store.engine import FolderLock, read_private, write_private
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError, Reason, RefusedError, UnavailableError
from consentum.flow.keyserver import anchor, notice
from consentum.flow.keyserver.server import KeyServer, asking_the_chain
from consentum.flow.login import LoginDesk
from consentum.ports.transactions import Call, Sender
from consentum.settings import KeyServerSettings

log = logging.getLogger("consentum.keyserver")
KEY_FILE = "keys.json"
VAULT_FILE = "vault.db"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The secrets of one server, 32 bytes each: account (chain), checkpoint (Ed25519), master (wraps the vault's keys),
    sealing seeds by epoch."""

    account: bytes
    checkpoint: bytes
    master: bytes
    sealing: dict[int, bytes]

    @classmethod
    def create(cls, path: Path) -> KeyFile:
        account, checkpoint, master, seed = (secrets.token_bytes(32) for _ in range(4))
        keys = cls(account, checkpoint, master, {1: seed})
        content = {
            "account": keys.account.hex(),
            "checkpoint": keys.checkpoint.hex(),
            "master": keys.master.hex(),
            "sealing": {str(epoch): seed.hex() for epoch, seed in keys.sealing.items()},
        }
        write_private(path, json.dumps(content, indent=2).encode())
        return keys

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        raw = read_private(path)
        try:
            data = json.loads(raw)
            secrets_ = [bytes.fromhex(data[name]) for name in ("account", "checkpoint", "master")]
            sealing = {int(epoch): bytes.fromhex(seed) for epoch, seed in data["sealing"].items()}
            if not sealing or any(len(secret) != 32 for secret in [*secrets_, *sealing.values()]):
                raise ValueError
        except (ValueError, KeyError, TypeError, AttributeError):
            raise KeyFileError("the key file is damaged", field=path.name) from None
        return cls(secrets_[0], secrets_[1], secrets_[2], sealing)


@dataclass(slots=True)
class KeyServerProcess:
    """A server with its adapters and its background work."""

    server: KeyServer
    store: KeyServerStore
    sender: Sender
    desk: LoginDesk
    settings: KeyServerSettings
    lock: FolderLock
    _stop: threading.Event
    _thread: threading.Thread | None = None

    def why_not_ready(self) -> dict[str, str]:
        """Each part that keeps this server from releasing, with its reason code."""
        reasons: dict[str, str] = {}
        checks = (("chain", self._chain), ("store", self.store.ping), ("journal", self._journal))
        for part, check in checks:
            try:
                check()
            except ConsentumError as error:
                reasons[part] = error.code if str(error) == error.code else f"{error.code}: {error}"
        return reasons

    def _chain(self) -> None:
        view = self.server.fresh_view()
        with asking_the_chain():
            keys = self.server.ledger.server_keys(view.latest, self.server.address)
        if keys.epoch not in self.server.sealing_keys:
            raise UnavailableError("the keys are not announced on chain yet")

    def _journal(self) -> None:
        with asking_the_chain():
            self.server.behind_anchor = not anchor.agrees_with_anchor(self.server)
        if self.server.behind_anchor:
            raise RefusedError(Reason.BEHIND_ANCHOR, "the journal is not the one that was anchored")

    def start(self) -> None:
        """Announces this server's keys and begins anchoring, in a thread."""
        self._thread = threading.Thread(target=self._run, name="anchor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the background work and gives the folder free."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        self.store.close()
        self.lock.release()

    def _run(self) -> None:
        announced = False
        while True:
            try:
                self._journal()
                announced = announced or self._announce()
                if announced:
                    anchor.anchor(self.server, self.sender)
                    notice.judge_pending(self.server, self.server.fresh_view())
            except ConsentumError as error:
                log.warning("background work waits: %s", error.code)
            except Exception as error:  # noqa: BLE001 - the loop must live; the type says enough and leaks nothing
                log.error("background work failed: %s", type(error).__name__)
            if self._stop.wait(self.settings.anchor_seconds if announced else 0.5):
                return

    def _announce(self) -> bool:
        """Writes endpoint and keys on chain where they differ. False while the account has nothing to pay with."""
        keys = self.server.ledger.server_keys(self.server.ledger.view().latest, self.server.address)
        public = self.server.checkpoint_key.public_key().public_bytes_raw()
        newest = max(self.server.sealing_keys)
        calls = []
        if keys.checkpoint_key != public or keys.endpoint != self.settings.endpoint:
            calls.append(Call("KeyServerRegistry", "announce", (public, self.settings.endpoint)))
        sealing_public = self.server.sealing_keys[newest].public
        if keys.epoch < newest or keys.sealing_key_hash != keccak(sealing_public):
            calls.append(Call("KeyServerRegistry", "rotate", (sealing_public,)))
        if calls and self.sender.balance() == 0:
            return False
        for call in calls:
            self.sender.send([call])
        return True


def initialise(folder: Path, settings: KeyServerSettings) -> str:
    """Writes the settings and creates the key file; the server's address. KeyFileError if there is one already."""
    settings.validate()
    address = WalletKey(KeyFile.create(folder / KEY_FILE).account).address
    settings.save(folder)
    return address


def build(folder: Path) -> KeyServerProcess:
    """The process of a folder. Creates the key file on a first start; refuses one that others can read."""
    settings = KeyServerSettings.load(folder)
    lock = FolderLock(folder)
    path = folder / KEY_FILE
    if not path.exists() and (folder / VAULT_FILE).exists():
        raise KeyFileError("the key file is gone; a new one would open nothing that is in the vault", field=KEY_FILE)
    keys = KeyFile.load(path) if path.exists() else KeyFile.create(path)
    deployment = Deployment.load(Path(settings.deployment))
    profile = profile_for(deployment.chain_id, settings.profile)
    rpc = Rpc(settings.rpc, settings.rpc_timeout_seconds)
    ledger = ChainLedger(rpc, deployment, profile)
    store = KeyServerStore(folder / VAULT_FILE, keys.master)
    server = KeyServer(
        address=WalletKey(keys.account).address,
        domain=deployment.user_domain,
        ledger=ledger,
        store=store,
        sealing_keys={epoch: SealingKey(seed) for epoch, seed in keys.sealing.items()},
        checkpoint_key=Ed25519PrivateKey.from_private_bytes(keys.checkpoint),
        profile=profile,
        clock=time.time,
        monotonic=time.monotonic,
        daily_cap=settings.daily_records_per_requester,
        behind_anchor=True,  # until the journal was compared with the chain
    )
    sender = ChainSender(rpc, deployment, keys.account)
    desk = LoginDesk(ledger, deployment.user_domain, settings.endpoint, time.time)
    return KeyServerProcess(server, store, sender, desk, settings, lock, threading.Event())
