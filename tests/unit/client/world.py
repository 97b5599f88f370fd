# SPDX-License-Identifier: Apache-2.0
"""A small world for the flows: a stub of the chain, key servers on real stores, a custodian, patients, a runner."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_utils.crypto import keccak

from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import envelope, typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.messages import Consent, Job
from consentum.domain.profiles import PROFILES
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import NotFoundError, Reason, UnavailableError
from consentum.flow.client import terms
from consentum.flow.client.collect import Collected, Collector, Member, collect
from consentum.flow.client.deposit import Batch, Custodian, Document, prepare, sealing_targets
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.wire import Enrolment
from consentum.ports.chain import Anchor, Block, Claim, Committee, Item, Question, ServerKeys, Standing, View
from tests.fakes.peers import FakeKeyServer, MemoryDepository

NOW = 1_800_000_000
DEADLINE = NOW + 300
DOMAIN = Domain(31337, "0x" + "c0" * 20)
POLICY = "0x" + "d0" * 20
COMMITTEE = b"\x0c" * 32
STUDY = b"\x05" * 32
LAB = int(Category.LABORATORY)


def recovered(digest: bytes, signature: bytes) -> str:
    """Who made an ECDSA signature, lower-case; "" for what is none."""
    if len(signature) != 65 or signature[0]:
        return ""
    raw = bytearray(signature[1:])
    parity, raw[32] = raw[32] >> 7, raw[32] & 0x7F
    try:
        key = PublicKey.from_signature_and_message(bytes(raw) + bytes([parity]), digest, hasher=None)
    except Exception:  # noqa: BLE001 - whatever the library dislikes about it
        return ""
    return "0x" + keccak(key.format(compressed=False)[1:])[-20:].hex()


@dataclass(slots=True)
class StubLedger:
    """`ports.chain.Ledger` with the policy in two lines: what a test grants is granted. rule overrides it."""

    chain_id: int = DOMAIN.chain_id
    policy: str = POLICY
    now: int = NOW
    number: int = 100
    down: bool = False
    standing: dict[tuple[str, bytes], Standing] = field(default_factory=dict)
    delegates: set[tuple[str, int, str]] = field(default_factory=set)
    committees: dict[bytes, Committee] = field(default_factory=dict)
    keys: dict[str, ServerKeys] = field(default_factory=dict)
    rule: Callable[[Job, Item], int] | None = None
    reviews: int = 0
    members: tuple[str, ...] = ()

    def view(self) -> View:
        if self.down:
            raise UnavailableError("the node does not answer")
        return View(Block(self.number - 2, b"\x0f" * 32, self.now), Block(self.number, b"\x1a" * 32, self.now))

    def check(self, block: Block, question: Question, items: Sequence[Item]) -> list[int]:
        job = question.job
        if not self._by(job.requester, 0, typed.digest(DOMAIN, job), question.job_signature):
            return [Reason.JOB_SIGNATURE] * len(items)
        if not self._by(job.runner, 0, question.release_digest, question.release_signature):
            return [Reason.RELEASE_SIGNATURE] * len(items)
        return self.review(block, job, items)

    def review(self, block: Block, job: Job, items: Sequence[Item]) -> list[int]:
        self.reviews += 1
        return [(self.rule or self._rule)(job, item) for item in items]

    def _rule(self, job: Job, item: Item) -> int:
        subject = item.consent.subject.lower()
        if not any(job.study):
            return Reason.ALLOWED if subject == job.requester.lower() else Reason.NO_CONSENT
        found = self.standing.get((subject, typed.struct_hash(item.consent)))
        if found is None or not found.granted_at:
            return Reason.NO_CONSENT
        return Reason.REVOKED if found.revoked_at else Reason.ALLOWED

    def _by(self, identity: str, roles: int, digest: bytes, signature: bytes) -> bool:
        who = recovered(digest, signature)
        mine = [role for owner, role, delegate in self.delegates if (owner, delegate) == (identity.lower(), who)]
        return who == identity.lower() or any(role & roles for role in mine)

    def signed_by(self, block: Block, claims: Sequence[Claim]) -> list[bool]:
        return [self._by(c.identity, c.roles, c.digest, c.signature) for c in claims]

    def may_act(self, block: Block, identity: str, roles: int, actor: str) -> bool:
        held = [r for owner, r, who in self.delegates if (owner, who) == (identity.lower(), actor.lower())]
        return identity.lower() == actor.lower() or any(role & roles for role in held)

    def standings(self, block: Block, of: Sequence[tuple[str, bytes]]) -> list[Standing]:
        return [self.standing.get((subject.lower(), hashed), Standing(0, 0, 0, 0)) for subject, hashed in of]

    def committee(self, block: Block, committee: bytes) -> Committee:
        if committee not in self.committees:
            raise NotFoundError("no such committee")
        return self.committees[committee]

    def server_keys(self, block: Block, server: str) -> ServerKeys:
        return self.keys.get(server.lower(), ServerKeys(bytes(32), 0, "", bytes(32)))

    def anchor_of(self, block: Block, log: str) -> Anchor:
        return Anchor(bytes(32), 0)

    def is_member(self, block: Block, study: bytes, who: str) -> bool:
        return True

    def board_and_runner(self, block: Block, study: bytes, runner: str) -> tuple[bytes, bool]:
        return b"\x0b" * 32, True

    def board_members(self, block: Block, board: bytes) -> tuple[str, ...]:
        return self.members


@dataclass(slots=True)
class World:
    """Everything is reachable and honest until a test changes it."""

    ledger: StubLedger
    committee: Committee
    peers: list[FakeKeyServer]
    depository: MemoryDepository
    hospital: WalletKey = field(default_factory=WalletKey)
    alice: WalletKey = field(default_factory=WalletKey)
    bob: WalletKey = field(default_factory=WalletKey)
    researcher: WalletKey = field(default_factory=WalletKey)
    runner: WalletKey = field(default_factory=WalletKey)
    response: SealingKey = field(default_factory=SealingKey)

    def custodian(self) -> Custodian:
        view = self.ledger.view()
        targets = sealing_targets(self.ledger, view.latest, self.committee, self.peers)
        return Custodian(
            domain=DOMAIN,
            address=self.hospital.address,
            signer=self.hospital,
            committee_id=COMMITTEE,
            committee=self.committee,
            targets=targets,
            depository=self.depository,
        )

    def enrolments(self) -> list[Enrolment]:
        made = [terms.enrol(DOMAIN, who, self.hospital.address) for who in (self.alice, self.bob)]
        return [Enrolment(one.message, one.signature) for one in made]  # type: ignore[arg-type]

    def batch(self, *subjects: WalletKey) -> Batch:
        documents = [
            Document(who.address, LAB, envelope.Header(f"{n}.json", "application/json"), b'{"n": %d}' % n)
            for n, who in enumerate(subjects or (self.alice, self.bob))
        ]
        return prepare(self.custodian(), documents, self.enrolments(), NOW)

    def deposited(self, *subjects: WalletKey) -> Batch:
        """A batch that all servers have; what a gateway would attach is given to the peers."""
        batch = self.batch(*subjects)
        for peer, (_, request) in zip(self.peers, batch.requests, strict=True):
            peer.deposit(request.to_json())
        return batch

    def consent(self, who: WalletKey, signed_at: int = NOW - 100, scope: bytes = STUDY) -> Consent:
        form = b"\x0f" * 32
        choice = terms.Choice(
            scope=scope,
            form=form,
            purposes=Purpose.HEALTH_RESEARCH,
            categories=Category.LABORATORY,
            access=Access.COMPUTE,
            expires=NOW + 10_000,
        )
        return terms.consent(choice, POLICY, who.address.lower(), signed_at, signed_at)

    def granted(self, consent: Consent) -> Consent:
        key = (consent.subject.lower(), typed.struct_hash(consent))
        self.ledger.standing[key] = Standing(NOW - 50, 0, 0, 0)
        return consent

    def revoked(self, consent: Consent) -> None:
        key = (consent.subject.lower(), typed.struct_hash(consent))
        self.ledger.standing[key] = Standing(NOW - 50, NOW - 10, 0, 0)

    def attach(self, batch: Batch, *consents: Consent) -> None:
        """Each record's opening, as a gateway would attach it."""
        of = {consent.subject.lower(): consent for consent in consents}
        hints = {record.id: of[record.subject] for record in batch.records if record.subject in of}
        for peer in self.peers:
            peer.openings = hints

    def job(self, study: bytes = STUDY, requester: WalletKey | None = None) -> Job:
        who = (requester or self.researcher).address.lower()
        times = (0, NOW + 3_000, secrets.token_bytes(32))
        return Job(who, self.runner.address.lower(), study, b"\7" * 32, 2, int(Access.COMPUTE), *times)

    def collector(self, job: Job | None = None, signer: WalletKey | None = None) -> Collector:
        made = job or self.job()
        members = [
            Member(index, self.ledger.keys[peer.address].checkpoint_key, peer)
            for index, peer in enumerate(self.peers, start=1)
        ]
        return Collector(
            domain=DOMAIN,
            job=made,
            job_signature=(signer or self.researcher).sign(typed.digest(DOMAIN, made)),
            committee_id=COMMITTEE,
            committee=self.committee,
            members=members,
            runner=self.runner,
            response_key=self.response,
        )


def make_world(folder: Path, count: int = 3, threshold: int = 2) -> World:
    """A committee whose servers have announced their keys."""
    ledger = StubLedger()
    peers = []
    for n in range(1, count + 1):
        checkpoint = Ed25519PrivateKey.generate()
        server = KeyServer(
            address=WalletKey().address,
            domain=DOMAIN,
            ledger=ledger,
            store=KeyServerStore(folder / f"server{n}.db", secrets.token_bytes(32)),
            sealing_keys={1: SealingKey()},
            checkpoint_key=checkpoint,
            profile=PROFILES["anvil"],
            clock=lambda: float(NOW),
            monotonic=lambda: 0.0,
            daily_cap=1_000,
            custodians=None,
        )
        public = checkpoint.public_key().public_bytes_raw()
        sealing_hash = keccak(server.sealing_keys[1].public)
        ledger.keys[server.address.lower()] = ServerKeys(public, 1, f"http://{n}", sealing_hash)
        peers.append(FakeKeyServer(server))
    committee = Committee(threshold, tuple(peer.server.address for peer in peers))
    ledger.committees[COMMITTEE] = committee
    return World(ledger, committee, peers, MemoryDepository())


def collected(world: World, batch: Batch, collector: Collector | None = None) -> Collected:
    return collect(collector or world.collector(), [record.id for record in batch.records], DEADLINE)


def must_open(world: World, batch: Batch, found: Collected) -> None:
    """The keys are those of the records, in order, and open what is stored."""
    assert [key.record for key in found.keys] == [record.id for record in batch.records]
    for number, (key, record) in enumerate(zip(found.keys, batch.records, strict=True)):
        assert key.cid == record.cid
        _, plain = envelope.open_(key.key, world.depository.get_all([key.cid])[key.cid])
        assert plain == b'{"n": %d}' % number
