# SPDX-License-Identifier: Apache-2.0
"""Putting the contracts on a chain, through web3.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account
from web3 import Web3
from web3.providers.rpc import HTTPProvider
from web3.types import Nonce
from web3.utils.address import get_create_address

from consentum.adapters.chain.artifacts import artifact
from consentum.adapters.chain.deployment import Deployment
from consentum.errors import SettingsError, UnavailableError


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
    if w3.eth.get_balance(account.address) == 0:
        raise SettingsError(f"the paying account {account.address} is empty", field="CONSENTUM_DEPLOYER_KEY")
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
