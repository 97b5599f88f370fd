# SPDX-License-Identifier: Apache-2.0
"""Builds a key server from its folder: settings.json, keys.json (0600), vault.db."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_utils.crypto import keccak

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.peers.http import HttpNoticePeer
from consentum.adapters.store.files import FolderLock
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError, Reason, RefusedError, UnavailableError
from consentum.flow.keyserver import anchor, notice, onchain, spread
from consentum.flow.keyserver.server import KeyServer, asking_the_chain
from consentum.flow.login import LoginDesk
from consentum.ports.peers import NoticePeer
from consentum.ports.transactions import Call, Sender
from consentum.settings import KeyServerSettings
from consentum.wiring.key_file import KeyFile

log = logging.getLogger("consentum.keyserver")
KEY_FILE = "keys.json"
VAULT_FILE = "vault.db"
DRAIN_FILE = "draining"
# How often a peer that does not answer is tried again, and how often the chain is looked at for what it lacks.
RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 5.0
STOP_SECONDS = 5.0
CHAIN_SECONDS = 1.0


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
    peers: Sequence[NoticePeer] = ()
    folder: Path | None = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def why_not_ready(self) -> dict[str, str]:
        """Each part that keeps this server from releasing, with its reason code."""
        reasons: dict[str, str] = {}
        checks = (
            ("chain", self._chain),
            ("store", self.store.ping),
            ("journal", self._journal),
            ("notices", self._notices),
            ("drain", self._drain),
        )
        for part, check in checks:
            try:
                check()
            except ConsentumError as error:
                reasons[part] = error.code if str(error) == error.code else f"{error.code}: {error}"
        return reasons

    def warnings(self) -> dict[str, str]:
        """What needs its operator's eye without keeping it from releasing."""
        try:
            balance = self.sender.balance()
        except ConsentumError:
            return {}
        if balance >= self.settings.low_balance_wei:
            return {}
        return {"balance": f"{balance} wei left at {self.server.address}: anchors and notices need gas"}

    def _notices(self) -> None:
        if self.server.unfetched:
            raise RefusedError(Reason.NOTICES_UNFETCHED, "peers are asked for the notices that were missed")

    def _drain(self) -> None:
        if self.server.draining():
            raise RefusedError(Reason.DRAINING, "its operator lets it finish")

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
        """Announces this server's keys, anchors, fetches, passes on and puts on chain: in threads."""
        waiting = spread.Waiting(self.server, self.settings.notice_fetch_seconds, {p.endpoint for p in self.peers})
        self._begin("anchor", self._anchor)
        self._begin("chain", self._put_on_chain)
        self._begin("waiting", lambda: self._wait(waiting))
        for peer in self.peers:
            self._begin(f"peer {peer.endpoint}", lambda peer=peer: self._with_peer(peer, waiting))  # type: ignore[misc]

    def stop(self) -> None:
        """Ends the background work and gives the folder free."""
        self._stop.set()
        for listener in self.server.listeners:
            listener.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, until - time.monotonic()))
        self.store.close()
        self.lock.release()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, work: Callable[[], object]) -> bool:
        """Whether it could be done; the loops must live, so whatever it was is only logged."""
        try:
            work()
        except ConsentumError as error:
            log.warning("background work waits: %s", error.code)
        except Exception as error:  # noqa: BLE001 - the type says enough and leaks nothing
            log.error("background work failed: %s", type(error).__name__)
        else:
            return True
        return False

    # Anchoring, and the keys

    def _anchor(self) -> None:
        announced = False

        def once() -> None:
            nonlocal announced
            self._journal()
            announced = announced or self._announce()
            if announced:
                anchor.anchor(self.server, self.sender)
                notice.judge_pending(self.server, self.server.fresh_view())
            if self._take_new_keys():  # last: a damaged key file must not end the anchoring
                announced = self._announce()

        while True:
            self._guarded(once)
            if self._stop.wait(self.settings.anchor_seconds if announced else RETRY_SECONDS):
                return

    def _take_new_keys(self) -> bool:
        """Whether the key file has another epoch than before: `rotate` wrote it."""
        if self.folder is None:
            return False
        seeds = KeyFile.load(self.folder / KEY_FILE).sealing
        new = {epoch: SealingKey(seed) for epoch, seed in seeds.items() if epoch not in self.server.sealing_keys}
        if new:
            self.server.sealing_keys = {**self.server.sealing_keys, **new}
        return bool(new)

    def _announce(self) -> bool:
        """Writes endpoint and keys on chain where they differ. False while the account has nothing to pay with, or the
        chain knows an epoch that the key file lacks (restored from before a rotation: rotate again)."""
        server = self.server
        keys = server.ledger.server_keys(server.ledger.view().latest, server.address)
        public = server.checkpoint_key.public_key().public_bytes_raw()
        newest = max(server.sealing_keys)
        calls = []
        if keys.checkpoint_key != public or keys.endpoint != self.settings.endpoint:
            calls.append(Call("KeyServerRegistry", "announce", (public, self.settings.endpoint)))
        for epoch in range(keys.epoch + 1, newest + 1):
            # An epoch this file never had can be anything: nobody seals to it once the newest is there.
            key = server.sealing_keys.get(epoch, server.sealing_keys[newest])
            calls.append(Call("KeyServerRegistry", "rotate", (key.public,)))
        if keys.epoch > newest or (calls and self.sender.balance() == 0):
            log.warning("the keys cannot be announced: no gas, or an older key file than the chain knows")
            return False
        for call in calls:
            self.sender.send([call])
        if keys.epoch == newest and keys.sealing_key_hash != keccak(server.sealing_keys[newest].public):
            raise KeyFileError("the chain knows another key of this epoch; rotate", field=KEY_FILE)
        server.epoch = newest
        return True

    # Notices

    def _wait(self, waiting: spread.Waiting) -> None:
        while waiting.check() and not self._stop.wait(RETRY_SECONDS / 5):
            pass

    def _with_peer(self, peer: NoticePeer, waiting: spread.Waiting) -> None:
        """Passes on what is new here, for ever; and fetches what was missed, once."""
        after: int | None = 0
        news, pause = threading.Event(), RETRY_SECONDS
        self.server.listeners.append(news)

        def fetch() -> None:
            nonlocal after
            if after is not None:
                after = spread.fetch_page(self.server, peer, after, waiting)

        def pass_on() -> None:
            news.clear()
            if not spread.pass_on(self.server, peer):
                news.set()  # there is more

        while not self._stop.is_set():
            well = all([self._guarded(fetch), self._guarded(pass_on)])
            pause = RETRY_SECONDS if well else min(2 * pause, MAX_RETRY_SECONDS)
            if not well:
                self._stop.wait(pause)
            elif after is None:
                news.wait(timeout=MAX_RETRY_SECONDS)

    def _put_on_chain(self) -> None:
        seconds = self.settings.notice_chain_seconds
        while not self._stop.wait(CHAIN_SECONDS):
            self._guarded(lambda: onchain.put_on_chain(self.server, self.sender, seconds))


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
        custodians=_custodians(settings),
        behind_anchor=True,  # until the journal was compared with the chain
        unfetched=bool(settings.peers),
        draining=(folder / DRAIN_FILE).exists,
    )
    sender = ChainSender(rpc, deployment, keys.account)
    desk = LoginDesk(ledger, deployment.user_domain, settings.endpoint, time.time)
    peers = [HttpNoticePeer(peer, settings.notice_fetch_seconds) for peer in settings.peers]
    return KeyServerProcess(server, store, sender, desk, settings, lock, threading.Event(), peers, folder)


def _custodians(settings: KeyServerSettings) -> frozenset[str] | None:
    return None if settings.unsafe_any_custodian else frozenset(who.lower() for who in settings.custodians)
