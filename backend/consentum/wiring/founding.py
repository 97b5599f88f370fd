# SPDX-License-Identifier: Apache-2.0
"""What a system needs on chain once: gas for its accounts, a committee, and for development a board."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.chain.transaction import Transaction
from consentum.adapters.store.files import read_private, write_private
from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.profiles import profile_for
from consentum.domain.registry_messages import Accredit
from consentum.errors import (
    KeyFileError,
    MalformedError,
    NotFoundError,
    RevertedError,
    SettingsError,
    UnavailableError,
)
from consentum.flow.client.boards import board_id
from consentum.ports.chain import Ledger
from consentum.ports.transactions import Call, Sender

# Anvil's first account: its key is public, so it is worth nothing anywhere else.
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
DEVELOPMENT_CHAINS = (31337, 1337)
FUND_WEI = 5 * 10**16
LOW_WEI = 10**16
MINING_SECONDS = 120
MAX_MEMBERS = 255
YEAR_SECONDS = 365 * 86_400
BOARD_FILE = "keys.json"


def payer_for(rpc: str, key: bytes | None) -> bytes:
    """Who pays on a chain that is there: the key given; on a development chain its first account. SettingsError."""
    if key is not None:
        return key
    if int(str(Rpc(rpc).call("eth_chainId")), 16) not in DEVELOPMENT_CHAINS:
        raise SettingsError("set CONSENTUM_DEPLOYER_KEY to the key that pays", field="CONSENTUM_DEPLOYER_KEY")
    return ANVIL_KEY


def paid_by(url: str, path: Path, key: bytes | None, profile: str | None = None) -> tuple[Ledger, Sender]:
    """A chain that is there, and an account that pays on it. path: the deployment file of its contracts. SettingsError
    if they are of another chain, or nobody pays."""
    rpc, deployment = Rpc(url), Deployment.load(path)
    if int(str(rpc.call("eth_chainId")), 16) != deployment.chain_id:
        raise SettingsError("the node is of another chain than the deployment", field="rpc")
    sender = ChainSender(rpc, deployment, payer_for(url, key))
    return ChainLedger(rpc, deployment, profile_for(deployment.chain_id, profile)), sender


def read(rpc: Rpc, deployment: Deployment, contract: str, function: str, *arguments: Any) -> tuple[Any, ...]:
    """What a contract says at the latest block."""
    call = {"to": deployment.address_of(contract), "data": codec.encode_call(contract, function, *arguments)}
    return codec.decode_result(contract, function, rpc.call("eth_call", call, "latest"))


def balance(rpc: Rpc, address: str) -> int:
    """In wei."""
    return int(str(rpc.call("eth_getBalance", address, "latest")), 16)


def fund(rpc: Rpc, key: bytes, addresses: Iterable[str], wei: int = FUND_WEI) -> list[str]:
    """Sends `wei` to every address that has little, paid by key; whom it sent to. SettingsError if key has too
    little for it."""
    poor = [address for address in addresses if balance(rpc, address) < LOW_WEI]
    if not poor:
        return []
    account = WalletKey(key)
    price = 2 * int(str(rpc.call("eth_gasPrice")), 16)
    if balance(rpc, account.address) < len(poor) * (wei + 21_000 * price):
        raise SettingsError(f"the paying account {account.address} has too little", field="CONSENTUM_DEPLOYER_KEY")
    nonce = int(str(rpc.call("eth_getTransactionCount", account.address, "pending")), 16)
    chain_id = int(str(rpc.call("eth_chainId")), 16)
    for offset, address in enumerate(poor):
        payment = Transaction(chain_id=chain_id, nonce=nonce + offset, price=price, gas=21_000, to=address, value=wei)
        rpc.call("eth_sendRawTransaction", payment.signed_by(account)[0])
    deadline = time.monotonic() + MINING_SECONDS
    while any(balance(rpc, address) < LOW_WEI for address in poor):
        if time.monotonic() > deadline:
            raise UnavailableError("the payments to the services are not mined yet")
        time.sleep(0.2)
    return poor


def committee_id(threshold: int, members: Sequence[str]) -> bytes:
    """What KeyServerRegistry names a committee by; members ascend."""
    return keccak(encode(("uint8", "address[]"), (threshold, list(members))))


def found_committee(sender: Sender, threshold: int, servers: Iterable[str]) -> bytes:
    """The committee of these servers; its id. Repeating it changes nothing."""
    members = sorted(servers, key=str.lower)
    sender.send([Call("KeyServerRegistry", "createCommittee", (threshold, members))])
    return committee_id(threshold, members)


def found_announced(ledger: Ledger, sender: Sender, threshold: int, servers: Sequence[str]) -> tuple[bytes, list[str]]:
    """The committee of key servers that have announced themselves: its id, and its members as the chain has them.
    Nothing is sent if there is one already. MalformedError for addresses that are none, the same one twice or a
    threshold that is none; NotFoundError for the first server that is not ready to be given shares; SettingsError if
    nobody pays."""
    members = sorted({str(to_checksum_address(typed.address_bytes(server))) for server in servers}, key=str.lower)
    if len(members) != len(servers):
        raise MalformedError("the same key server twice", field="member")
    if not 2 <= threshold <= len(members) <= MAX_MEMBERS:
        raise MalformedError(
            f"of {len(members)} key servers, the threshold must be 2 or more, not {threshold}; there "
            f"are {MAX_MEMBERS} at most",
            field="threshold",
        )
    latest = ledger.view().latest
    for member in members:
        # Membership is for ever: a mistyped address would be a server that nobody can ever reach.
        keys = ledger.server_keys(latest, member)
        if keys.checkpoint_key == bytes(32) or keys.epoch == 0:
            raise NotFoundError(f"{member} has not announced itself on this chain: start it first", field="member")
    committee = committee_id(threshold, members)
    try:
        ledger.committee(latest, committee)
    except NotFoundError:
        if sender.balance() == 0:
            raise SettingsError("the paying account has nothing", field="CONSENTUM_DEPLOYER_KEY") from None
        found_committee(sender, threshold, members)
    return committee, members


class DevelopmentBoard:
    """A board of three whose keys all lie in one folder: for development, where one person plays everybody."""

    QUORUM = 2

    def __init__(self, folder: Path) -> None:
        """Makes the keys where there are none."""
        path = folder / BOARD_FILE
        if not path.exists():
            keys = {"members": [secrets.token_hex(32) for _ in range(3)], "salt": secrets.token_hex(32)}
            write_private(path, json.dumps(keys).encode())
        try:
            data = json.loads(read_private(path))
            members = [WalletKey(bytes.fromhex(key)) for key in data["members"]]
            self.salt = bytes.fromhex(data["salt"])
        except (ValueError, KeyError, TypeError):
            raise KeyFileError("the board's key file is damaged", field=BOARD_FILE) from None
        self.members = sorted(members, key=lambda key: typed.address_bytes(key.address))
        self.addresses = [key.address for key in self.members]
        self.id = board_id(self.addresses, self.QUORUM, self.salt)

    def found(self, rpc: Rpc, deployment: Deployment, sender: Sender, runner: str) -> None:
        """Puts it on chain and lets it accredit the runner for a year, as far as that is not so."""
        if not read(rpc, deployment, "StudyRegistry", "boardOf", self.id)[0]:
            sender.send([Call("StudyRegistry", "createBoard", (self.addresses, self.QUORUM, self.salt))])
        if read(rpc, deployment, "StudyRegistry", "isAccredited", self.id, runner)[0]:
            return
        nonce = read(rpc, deployment, "StudyRegistry", "boardOf", self.id)[2]
        until = int(time.time()) + YEAR_SECONDS
        digest = typed.digest(deployment.study_domain, Accredit(self.id, runner, until, nonce))
        votes = [(key.address, key.sign(digest)) for key in self.members[: self.QUORUM]]
        try:
            sender.send([Call("StudyRegistry", "accredit", (self.id, runner, until, votes))])
        except RevertedError:
            raise RevertedError("the board in this folder may no longer accredit the runner") from None
