# SPDX-License-Identifier: Apache-2.0
"""Builds a runner from its folder: settings.json, keys.json (0600), cache.db."""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import ForwardedKeyServer, HttpClient
from consentum.adapters.peers.session import Session
from consentum.adapters.store.files import FolderLock, read_private, write_private
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Job
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError
from consentum.flow.client.collect import Collector, Member
from consentum.ports.chain import Ledger
from consentum.settings import RunnerSettings

KEY_FILE = "keys.json"
# Less than a lease: when this is over the job is somebody else's, or waits.
PATIENCE_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """wall: UTC seconds, for deadlines; steady: monotonic seconds, for the ages of keys."""

    wall: Callable[[], float]
    steady: Callable[[], float]


@dataclass(slots=True)
class RunnerProcess:
    """A runner with its adapters."""

    key: WalletKey
    ledger: Ledger
    deployment: Deployment
    settings: RunnerSettings
    cache: Path
    scratch: Path
    lock: FolderLock
    clocks: Clocks = Clocks(time.time, time.monotonic)

    def why_not_ready(self) -> dict[str, str]:
        """Each part that keeps this runner from running jobs."""
        try:
            self.ledger.view()
        except ConsentumError as error:
            return {"chain": error.code}
        client = HttpClient(self.settings.gateway, timeout=5)
        try:
            client.get("/live")
        except ConsentumError as error:
            return {"gateway": error.code}
        finally:
            client.close()
        return {}

    def gateway(self, patience: float = PATIENCE_SECONDS) -> HttpClient:
        """A session with the gateway, as this runner; patience in seconds while it is away."""
        return Session(self.settings.gateway, (self.key, self.deployment.user_domain), patience)

    def content(self, client: HttpClient) -> GatewayContent:
        return GatewayContent(client, self.cache)

    def collector(self, client: HttpClient, job: Job, signature: bytes, committee_id: bytes) -> Collector:
        """For one job: committee and checkpoint keys from the chain, and a response key that lives only in memory."""
        return collector_for(self.ledger, self.deployment, client, self.key, (job, signature, committee_id))


def collector_for(
    ledger: Ledger,
    deployment: Deployment,
    client: HttpClient,
    key: WalletKey,
    what: tuple[Job, bytes, bytes],
) -> Collector:
    """what: job, its signature, committee id. client: a session with the gateway, which forwards."""
    job, signature, committee_id = what
    latest = ledger.view().latest
    committee = ledger.committee(latest, committee_id)
    members = [
        Member(index, ledger.server_keys(latest, address).checkpoint_key, ForwardedKeyServer(address, client))
        for index, address in enumerate(committee.members, start=1)
    ]
    return Collector(
        domain=deployment.user_domain,
        job=job,
        job_signature=signature,
        committee_id=committee_id,
        committee=committee,
        members=members,
        runner=key,
        response_key=SealingKey(),
    )


def initialise(folder: Path, settings: RunnerSettings) -> str:
    """Writes the settings and creates the key file; the runner's address, for boards to accredit."""
    settings.validate()
    account = secrets.token_bytes(32)
    write_private(folder / KEY_FILE, json.dumps({"account": account.hex()}).encode())
    settings.save(folder)
    return WalletKey(account).address


def build(folder: Path) -> RunnerProcess:
    """The process of a folder."""
    settings = RunnerSettings.load(folder)
    lock = FolderLock(folder)
    try:
        key = WalletKey(bytes.fromhex(json.loads(read_private(folder / KEY_FILE))["account"]))
    except (ValueError, KeyError, TypeError):
        raise KeyFileError("the key file is damaged", field=KEY_FILE) from None
    deployment = Deployment.load(Path(settings.deployment))
    rpc = Rpc(settings.rpc, settings.rpc_timeout_seconds)
    ledger = ChainLedger(rpc, deployment, profile_for(deployment.chain_id, settings.profile))
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed runner left of its last job
    scratch.mkdir(mode=0o700)
    return RunnerProcess(key, ledger, deployment, settings, folder / "cache.db", scratch, lock)
