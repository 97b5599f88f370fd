# SPDX-License-Identifier: Apache-2.0
"""Where the contracts are: deployments/<chainId>.json, written by `consentum contracts deploy`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import Web3
from web3.providers.rpc import HTTPProvider
from web3.types import Nonce
from web3.utils.address import get_create_address

from consentum.adapters.chain.artifacts import artifact
from consentum.crypto.typed import Domain
from consentum.errors import MalformedError, SettingsError, UnavailableError


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts on one chain."""

    chain_id: int
    did_registry: str
    consent_registry: str
    study_registry: str
    release_policy: str
    key_server_registry: str
    audit_anchor: str
    source_hash: str

    @property
    def user_domain(self) -> Domain:
        """The domain of everything people sign, but DidRegistry's and StudyRegistry's own messages."""
        return Domain(self.chain_id, self.consent_registry)

    @property
    def did_domain(self) -> Domain:
        return Domain(self.chain_id, self.did_registry)

    @property
    def study_domain(self) -> Domain:
        return Domain(self.chain_id, self.study_registry)

    def address_of(self, contract: str) -> str:
        table = {
            "DidRegistry": self.did_registry,
            "ConsentRegistry": self.consent_registry,
            "StudyRegistry": self.study_registry,
            "ReleasePolicy": self.release_policy,
            "KeyServerRegistry": self.key_server_registry,
            "AuditAnchor": self.audit_anchor,
        }
        return table[contract]

    @classmethod
    def load(cls, path: Path) -> Deployment:
        try:
            return cls.from_json(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError):
            raise SettingsError(f"{path} is not a deployment", field="deployment") from None

    @classmethod
    def from_json(cls, data: Any) -> Deployment:
        try:
            return cls(**data)
        except TypeError:
            raise MalformedError("not a deployment", field="deployment") from None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", "utf-8")


def connect(url: str, timeout: float = 10.0) -> Web3:
    """web3.py, with CCIP read off: a contract must not send us to an address of its choice (CVE-2026-40072)."""
    provider = HTTPProvider(url, request_kwargs={"timeout": timeout})
    provider.global_ccip_read_enabled = False
    return Web3(provider)


def deploy(url: str, path: Path, private_key: bytes, progress: Callable[[str], None] = lambda _: None) -> Deployment:
    """Puts the contracts on the chain and writes `path`. Repeating it changes nothing where they already are.

    private_key pays. SettingsError if the chain holds something else at a noted address.
    """
    w3 = connect(url)
    try:
        chain_id = w3.eth.chain_id
    except Exception as error:  # noqa: BLE001 - requests and web3 share no root
        raise UnavailableError(f"no chain at {url} ({type(error).__name__})") from None
    if path.is_file():
        existing = Deployment.load(path)
        if existing.chain_id == chain_id and _stands(w3, existing):
            progress("already deployed")
            return existing
    account = Account.from_key(private_key)
    nonce = w3.eth.get_transaction_count(account.address)
    deployer = _Deployer(w3, account, nonce, progress)
    did = deployer.create("DidRegistry")
    study = deployer.create("StudyRegistry", did)
    policy = deployer.create("ReleasePolicy", study)
    servers = deployer.create("KeyServerRegistry")
    anchor = deployer.create("AuditAnchor")
    deployer.wait()
    consents = w3.eth.contract(Web3.to_checksum_address(did), abi=artifact("DidRegistry")["abi"])
    consent = str(consents.functions.consentRegistry().call())
    made = Deployment(chain_id, did, consent, study, policy, servers, anchor, artifact("DidRegistry")["sourceHash"])
    made.save(path)
    return made


def _stands(w3: Web3, deployment: Deployment) -> bool:
    names = ("DidRegistry", "StudyRegistry", "ReleasePolicy", "KeyServerRegistry", "AuditAnchor")
    found = all(len(w3.eth.get_code(Web3.to_checksum_address(deployment.address_of(n)))) > 2 for n in names)
    return found and deployment.source_hash == artifact("DidRegistry")["sourceHash"]


class _Deployer:
    """Sends all creations at once, with addresses known beforehand, then waits for all."""

    def __init__(self, w3: Web3, account: Any, nonce: int, progress: Callable[[str], None]) -> None:
        self._w3, self._account, self._nonce, self._progress = w3, account, nonce, progress
        self._sent: list[tuple[str, Any]] = []

    def create(self, name: str, *args: str) -> str:
        built = artifact(name)
        contract = self._w3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
        transaction = contract.constructor(*args).build_transaction(
            {
                "from": self._account.address,
                "nonce": self._nonce,
                "gas": 6_500_000,
                "gasPrice": self._w3.eth.gas_price * 2,
                "chainId": self._w3.eth.chain_id,
            }
        )
        signed = self._account.sign_transaction(transaction)
        self._sent.append((name, self._w3.eth.send_raw_transaction(signed.raw_transaction)))
        where = get_create_address(self._account.address, Nonce(self._nonce))
        self._nonce += 1
        return str(where)

    def wait(self) -> None:
        for name, sent in self._sent:
            receipt = self._w3.eth.wait_for_transaction_receipt(sent, timeout=60, poll_latency=0.1)
            if receipt["status"] != 1:
                raise SettingsError(f"{name} could not be created")
            self._progress(f"{name} {receipt['contractAddress']}")
