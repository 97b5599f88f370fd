# SPDX-License-Identifier: Apache-2.0
"""The contracts put on two real chains by the command line, then a consent's whole life on each."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc, RpcError
from consentum.adapters.chain.sender import ChainSender
from consentum.crypto import typed
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.domain.messages import Consent, Job, Revoke
from consentum.domain.profiles import PROFILES, profile_for
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import ConsentumError, Reason, RevertedError
from consentum.ports.chain import Item, Standing
from consentum.ports.transactions import Call
from scripts.demonstration.system import free_port

pytestmark = pytest.mark.processes
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
# Anvil's own mnemonic, given to Ganache as well: the command line knows the key of its first account.
MNEMONIC = "test test test test test test test test test test test junk"
PRECOMPILED_GAS = 100_000  # a grant whose P-256 signature a precompile verifies stays far below


def program(variable: str, name: str) -> str:
    path = os.environ.get(variable) or str(ROOT / ".tools/bin" / name)
    if shutil.which(path) is None:
        pytest.fail(f"{name} is not at {path}; run ./scripts/setup.py dev or set {variable}", pytrace=False)
    return path


def anvil(port: int) -> list[str]:
    options = ["--block-time", "1", "--slots-in-an-epoch", "1", "--silent", "--mnemonic", MNEMONIC]
    return [program("CONSENTUM_ANVIL", "anvil"), "--port", str(port), *options]


def ganache(port: int) -> list[str]:
    options = ["--miner.blockTime", "1", "--chain.chainId", "1337", "--chain.hardfork", "shanghai"]
    wallet = ["--wallet.mnemonic", MNEMONIC]
    return [program("CONSENTUM_GANACHE", "ganache"), "--server.port", str(port), *options, *wallet]


NODES = {"anvil": (anvil, 31337), "ganache": (ganache, 1337)}


@dataclass(frozen=True)
class Chain:
    """A running node with the contracts on it."""

    name: str
    url: str
    out: Path
    told: str
    """What the first `contracts deploy` printed."""
    deployment: Deployment
    rpc: Rpc
    ledger: ChainLedger
    sender: ChainSender

    def standing(self, consent: Consent) -> Standing:
        of = (consent.subject, typed.struct_hash(consent))
        [found] = self.ledger.standings(self.ledger.view().latest, [of])
        return found

    def review(self, job: Job, consent: Consent) -> Reason:
        [reason] = self.ledger.review(self.ledger.view().latest, job, [Item(consent, int(Category.LABORATORY))])
        return Reason(reason)

    def grant(self, consent: Consent, signature: bytes) -> str:
        call = Call("ConsentRegistry", "grant", (consent.subject, typed.struct_hash(consent), signature))
        [transaction] = self.sender.send([call])
        return transaction

    def refusal(self, consent: Consent, signature: bytes) -> str:
        """The contract's own error for a grant, asked without sending it; empty if it would be accepted."""
        data = codec.encode_call("ConsentRegistry", "grant", consent.subject, typed.struct_hash(consent), signature)
        call = {"from": self.sender.address, "to": self.deployment.consent_registry, "data": data}
        try:
            self.rpc.call("eth_call", call, "latest")
        except RpcError as error:
            return codec.revert_names()[error.data]
        return ""

    def sent(self) -> int:
        """How many transactions the deployer has sent."""
        return int(self.rpc.call("eth_getTransactionCount", self.sender.address, "latest"), 16)

    def height(self) -> int:
        return self.ledger.view().latest.number


@contextmanager
def node(command: list[str], url: str, log: Path) -> Iterator[Rpc]:
    """One node process, until it answers; ended by its pid."""
    with log.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL)
    try:
        rpc = Rpc(url)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                rpc.call("eth_chainId")
                break
            except ConsentumError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command[0]} does not start: {log.read_text()[-500:]}", pytrace=False)
                time.sleep(0.1)
        yield rpc
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def deploy(url: str, out: Path) -> str:
    """`consentum contracts deploy`, as a person types it; what it printed."""
    command = [sys.executable, "-m", "consentum.cli.main", "contracts", "deploy", "--rpc", url, "--out", str(out)]
    env = {name: value for name, value in os.environ.items() if name != "CONSENTUM_DEPLOYER_KEY"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def chain_of(name: str, folder: Path) -> Iterator[Chain]:
    command, chain_id = NODES[name]
    port = free_port()
    url, out = f"http://127.0.0.1:{port}", folder / name / "deployments"
    with node(command(port), url, folder / f"{name}.log") as rpc:
        told = deploy(url, out)
        deployment = Deployment.load(out / f"{chain_id}.json")
        ledger = ChainLedger(rpc, deployment, PROFILES[name])
        key = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
        yield Chain(name, url, out, told, deployment, rpc, ledger, ChainSender(rpc, deployment, key))


@pytest.fixture(scope="module")
def chains(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Chain]]:
    folder = tmp_path_factory.mktemp("chains")
    with ExitStack() as running:
        yield {name: running.enter_context(chain_of(name, folder)) for name in NODES}


@pytest.fixture(params=NODES)
def chain(request: pytest.FixtureRequest, chains: dict[str, Chain]) -> Chain:
    return chains[request.param]


@pytest.fixture(params=["wallet", "passkey"])
def subject(request: pytest.FixtureRequest) -> Signer:
    return WalletKey() if request.param == "wallet" else SoftPasskey("localhost")


def person_job(chain: Chain) -> Job:
    """A person asks for a download for herself: the branch that needs no study."""
    person = WalletKey().address
    return Job(
        requester=person,
        runner=person,
        study=bytes(32),
        code=bytes(32),
        purpose=int(Purpose.CLINICAL_CARE),
        access=int(Access.DOWNLOAD),
        epsilonMilli=0,
        deadline=chain.ledger.view().latest.timestamp + 3600,
        salt=secrets.token_bytes(32),
    )


def consent_to(job: Job, chain: Chain, subject: Signer) -> Consent:
    now = chain.ledger.view().latest.timestamp
    return Consent(
        subject=subject.address,
        policy=chain.deployment.release_policy,
        scope=bytes(12) + typed.address_bytes(job.requester),
        form=secrets.token_bytes(32),
        purposes=job.purpose,
        conditions=0,
        disease=bytes(32),
        categories=int(Category.LABORATORY),
        signedAt=now,
        notBefore=now,
        expires=now + 3600,
        access=job.access,
        epsilonMilli=0,
        salt=secrets.token_bytes(32),
    )


def test_the_first_run_writes_the_deployment_of_its_chain(chain: Chain) -> None:
    chain_id = NODES[chain.name][1]
    assert "already deployed" not in chain.told
    assert [path.name for path in chain.out.iterdir()] == [f"{chain_id}.json"]
    assert chain.deployment.chain_id == chain_id
    assert profile_for(chain_id).name == chain.name
    for name in (
        "DidRegistry",
        "ConsentRegistry",
        "StudyRegistry",
        "ReleasePolicy",
        "KeyServerRegistry",
        "AuditAnchor",
    ):
        assert len(chain.rpc.call("eth_getCode", chain.deployment.address_of(name), "latest")) > 2, name


def test_repeating_it_says_so_and_changes_nothing(chain: Chain) -> None:
    path = chain.out / f"{chain.deployment.chain_id}.json"
    before, sent = path.read_bytes(), chain.sent()
    assert "already deployed" in deploy(chain.url, chain.out)
    height = chain.height()
    while chain.height() < height + 2:  # what it might have sent would be mined by then
        time.sleep(0.2)
    assert path.read_bytes() == before
    assert chain.sent() == sent


def test_a_consent_is_granted_and_revoked_for_ever(chain: Chain, subject: Signer) -> None:
    job = person_job(chain)
    consent = consent_to(job, chain, subject)
    domain, commitment = chain.deployment.user_domain, typed.struct_hash(consent)
    assert chain.standing(consent) == Standing(0, 0, 0, 0)
    assert chain.review(job, consent) == Reason.NO_CONSENT

    signature = subject.sign(typed.digest(domain, consent))
    transaction = chain.grant(consent, signature)
    granted = chain.standing(consent)
    assert granted.granted_at >= consent.signedAt
    assert granted.revoked_at == 0
    assert chain.review(job, consent) == Reason.ALLOWED
    assert chain.review(job, replace(consent, categories=1)) == Reason.NO_CONSENT

    if chain.name == "ganache" and isinstance(subject, SoftPasskey):
        used = int(chain.rpc.call("eth_getTransactionReceipt", transaction)["gasUsed"], 16)
        assert used > PRECOMPILED_GAS, "not verified by the Solidity fallback"

    ending = subject.sign(typed.digest(domain, Revoke(consent.subject, commitment)))
    chain.sender.send([Call("ConsentRegistry", "revoke", (consent.subject, commitment, ending))])
    revoked = chain.standing(consent)
    assert revoked.granted_at == granted.granted_at
    assert revoked.revoked_at >= granted.granted_at
    assert chain.review(job, consent) == Reason.REVOKED
    chain.grant(consent, signature)
    assert chain.standing(consent) == revoked
    assert chain.review(job, consent) == Reason.REVOKED


def test_somebody_elses_signature_is_refused(chain: Chain, subject: Signer) -> None:
    consent = consent_to(person_job(chain), chain, subject)
    other = WalletKey() if isinstance(subject, WalletKey) else SoftPasskey("localhost")
    domain = chain.deployment.user_domain
    assert chain.refusal(consent, other.sign(typed.digest(domain, consent))) == "BadSignature"
    assert chain.refusal(consent, subject.sign(typed.digest(domain, consent))) == ""


def test_the_sender_names_the_contracts_error_and_sends_nothing(chain: Chain) -> None:
    consent, sent = consent_to(person_job(chain), chain, WalletKey()), chain.sent()
    with pytest.raises(RevertedError, match="BadSignature"):
        chain.grant(consent, WalletKey().sign(typed.digest(chain.deployment.user_domain, consent)))
    assert chain.sent() == sent


def test_the_contracts_have_the_same_addresses_on_both_chains(chains: dict[str, Chain]) -> None:
    """So in the next test nothing but the chain id can be what refuses the signature."""
    one, two = (chain.deployment for chain in chains.values())
    assert one.chain_id != two.chain_id
    assert replace(one, chain_id=0) == replace(two, chain_id=0)


def test_a_grant_for_one_chain_is_refused_on_the_other(chains: dict[str, Chain], chain: Chain, subject: Signer) -> None:
    [other] = [c for c in chains.values() if c is not chain]
    consent = consent_to(person_job(chain), chain, subject)
    signature = subject.sign(typed.digest(chain.deployment.user_domain, consent))
    assert other.refusal(consent, signature) == "BadSignature"
    with pytest.raises(ConsentumError):
        other.grant(consent, signature)
    assert other.standing(consent) == Standing(0, 0, 0, 0)
    chain.grant(consent, signature)
    assert chain.standing(consent).granted_at > 0
