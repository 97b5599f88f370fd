# SPDX-License-Identifier: Apache-2.0
"""Builds what a patient, custodian, board member or researcher works with, from her home folder."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.registries import ChainRegistries
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.peers.session import Session
from consentum.adapters.store.files import read_private, write_private
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import address_bytes
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, KeyFileError, SettingsError, UnavailableError
from consentum.settings import ClientSettings

KEY_FILE = "keys.json"
DEPLOYMENT_FILE = "deployment.json"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class HomeKeys:
    """The secrets of a home, 32 bytes each: account signs, sealing opens what is sealed to its owner."""

    account: WalletKey
    sealing: SealingKey = field(repr=False)


@dataclass(kw_only=True)
class Connection:
    """One person's way to the system. identity: whom she acts for, lower-case."""

    home: Path
    settings: ClientSettings
    keys: HomeKeys
    deployment: Deployment
    ledger: ChainLedger

    @property
    def identity(self) -> str:
        return self.settings.identity.lower()

    @property
    def key(self) -> WalletKey:
        return self.keys.account

    @cached_property
    def gateway(self) -> HttpClient:
        """A session with the gateway, as this home's key; renewed when it ends."""
        return Session(self.settings.gateway, (self.key, self.deployment.user_domain))

    def patient(self, seconds: float = PATIENCE_SECONDS) -> Session:
        """One that waits for a gateway that is away, or says that it cannot now."""
        who = (self.key, self.deployment.user_domain)
        return Session(self.settings.gateway, who, seconds, waits_for=UnavailableError)

    @cached_property
    def registries(self) -> ChainRegistries:
        """Boards, studies and identities, read from this home's own node."""
        return ChainRegistries(Rpc(self.settings.rpc), self.deployment)

    @cached_property
    def key_servers(self) -> list[HttpKeyServer]:
        """The key servers the gateway names, as far as they answer, each under the address it gives itself. Whoever
        relies on one checks it against the chain."""
        found = []
        for endpoint in HttpClient(self.settings.gateway).get("/v1/deployment")["key_servers"]:
            client = HttpClient(str(endpoint))
            try:
                address = "0x" + address_bytes(client.get("/v1/server").get("address")).hex()
            except ConsentumError:
                client.close()
                continue
            found.append(HttpKeyServer(address, client))
        return found


def create_home(folder: Path, gateway: str, rpc: str, identity: str | None = None) -> str:
    """Makes the keys and remembers the gateway's deployment; the key's address. KeyFileError if there is a key already;
    SettingsError if the contracts are not on the chain behind `rpc`."""
    told = HttpClient(gateway).get("/v1/deployment")
    deployment = Deployment.from_json({key: value for key, value in told.items() if key != "key_servers"})
    chain = Rpc(rpc)
    if int(str(chain.call("eth_chainId")), 16) != deployment.chain_id:
        raise SettingsError("the node is of another chain than the gateway", field="rpc")
    if str(chain.call("eth_getCode", deployment.consent_registry, "latest")) in ("0x", ""):
        raise SettingsError("the gateway's contracts are not on this chain", field="rpc")
    account, sealing = secrets.token_bytes(32), secrets.token_bytes(32)
    key = WalletKey(account)
    content = {"account": account.hex(), "sealing": sealing.hex()}
    write_private(folder / KEY_FILE, json.dumps(content).encode())
    deployment.save(folder / DEPLOYMENT_FILE)
    ClientSettings(gateway=gateway, rpc=rpc, identity=(identity or key.address).lower()).save(folder)
    return key.address.lower()


def connect(folder: Path) -> Connection:
    """The connection of a home. SettingsError or KeyFileError if the folder is not one."""
    settings = ClientSettings.load(folder)
    try:
        data = json.loads(read_private(folder / KEY_FILE))
        keys = HomeKeys(WalletKey(bytes.fromhex(data["account"])), SealingKey(bytes.fromhex(data["sealing"])))
    except (ValueError, KeyError, TypeError):
        raise KeyFileError("the key file is damaged", field=KEY_FILE) from None
    deployment = Deployment.load(folder / DEPLOYMENT_FILE)
    ledger = ChainLedger(Rpc(settings.rpc), deployment, profile_for(deployment.chain_id))
    return Connection(home=folder, settings=settings, keys=keys, deployment=deployment, ledger=ledger)
