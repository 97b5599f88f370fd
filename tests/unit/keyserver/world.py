# SPDX-License-Identifier: Apache-2.0
"""One key server on the fakes, with a study, a patient who consented, her record, and everything signed for real."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from consentum.crypto import merkle, typed
from consentum.crypto.sealing import SealingKey, answer_info
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.cid import RAW, Cid
from consentum.domain.journal import RECEIPT_CONTEXT, allowed_positions, canonical
from consentum.domain.messages import Consent, Freeze, Job, Message, Release, Revoke, RevokeAll
from consentum.domain.parsing import hexed
from consentum.domain.profiles import PROFILES
from consentum.domain.records import Record
from consentum.domain.registry_messages import Propose, Terms
from consentum.domain.terms import Access, Category, Purpose
from consentum.flow.keyserver import release
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.wire import Answer, Notice, ReleaseRequest
from consentum.ports.server_store import VaultRow
from consentum.ports.transactions import Call
from tests.fakes.ledger import FakeLedger
from tests.fakes.sender import FakeSender
from tests.fakes.store import MemoryServerStore

BOARD, FORM = b"\x0b" * 32, b"\x0f" * 32
LAB, YEAR = int(Category.LABORATORY), 365 * 86_400
PURPOSE = int(Purpose.HEALTH_RESEARCH)


@dataclass(slots=True)
class Clock:
    """Seconds that pass only when a test says so. ahead: how far this server's clock is before the chain's."""

    ledger: FakeLedger
    ahead: float = 0.0
    mono: float = 1_000.0
    step: float = 0.0

    def utc(self) -> float:
        return self.ledger.now + self.ahead

    def monotonic(self) -> float:
        self.mono += self.step
        return self.mono


@dataclass(slots=True)
class World:
    """Who lives in the tests. Every message a test changes is signed again by `page`."""

    ledger: FakeLedger = field(default_factory=FakeLedger)
    store: MemoryServerStore = field(default_factory=MemoryServerStore)
    patient: Signer = field(default_factory=lambda: SoftPasskey("localhost"))
    requester: WalletKey = field(default_factory=WalletKey)
    runner: WalletKey = field(default_factory=WalletKey)
    custodian: WalletKey = field(default_factory=WalletKey)
    stranger: WalletKey = field(default_factory=WalletKey)
    response: SealingKey = field(default_factory=SealingKey)
    clock: Clock = field(init=False)
    sender: FakeSender = field(init=False)
    server: KeyServer = field(init=False)
    committee: bytes = field(init=False)
    study: bytes = field(init=False)

    @property
    def domain(self) -> Domain:
        return self.ledger.at.user_domain

    def sign(self, who: Signer, message: Message) -> bytes:
        return who.sign(typed.digest(self.domain, message))

    def send(self, contract: str, function: str, *args: Any) -> None:
        self.sender.send([Call(contract, function, args)])

    def consent(self, who: Signer | None = None, **changes: Any) -> Consent:
        now = self.ledger.now
        subject = (who or self.patient).address.lower()
        times = (now, 0, now + YEAR)
        scope, salt = self.study, secrets.token_bytes(32)
        terms = (PURPOSE, 0, bytes(32), LAB)
        made = Consent(subject, self.ledger.policy, scope, FORM, *terms, *times, int(Access.COMPUTE), 1_000, salt)
        return replace(made, **changes)

    def grant(self, consent: Consent, who: Signer | None = None, final: bool = True) -> Consent:
        signature = self.sign(who or self.patient, consent)
        self.send("ConsentRegistry", "grant", consent.subject, typed.struct_hash(consent), signature)
        if final:
            self.ledger.finalize()
        return consent

    def revoke(self, consent: Consent) -> None:
        """On chain, at latest only."""
        hashed = typed.struct_hash(consent)
        signature = self.sign(self.patient, Revoke(consent.subject, hashed))
        self.send("ConsentRegistry", "revoke", consent.subject, hashed, signature)

    def notice(self, message: Revoke | RevokeAll | Freeze, who: Signer | None = None) -> Notice:
        return Notice(message, self.sign(who or self.patient, message))

    def revocation(self, consent: Consent) -> Notice:
        return self.notice(Revoke(consent.subject, typed.struct_hash(consent)))

    def delegate(self, identity: Signer, kind: bytes, who: Signer) -> None:
        self.send("DidRegistry", "addDelegate", identity.address, kind.ljust(32, b"\0"), who.address, YEAR, b"")
        self.ledger.finalize()

    def record(self, who: Signer | None = None, categories: int = LAB) -> Record:
        """In the vault, without the deposit flow."""
        subject, salt = (who or self.patient).address.lower(), secrets.token_bytes(32)
        cid = Cid.of(RAW, salt)
        made = Record(self.custodian.address.lower(), subject, categories, cid, salt, self.committee, salt)
        self.store.add_deposit(made.id, [VaultRow(made, share_of(made.id))], {})
        return made

    def job(self, **changes: Any) -> Job:
        who, runner = self.requester.address.lower(), self.runner.address.lower()
        terms = (PURPOSE, int(Access.COMPUTE), 100, self.ledger.now + 1_000)
        return replace(Job(who, runner, self.study, bytes(32), *terms, secrets.token_bytes(32)), **changes)

    def page(
        self, ids: Sequence[bytes], openings: Sequence[Consent | None], job: Job | None = None, **changes: Any
    ) -> ReleaseRequest:
        """A signed page. changes: fields of the Release; `by` and `under` sign the release and the job instead."""
        by, under = changes.pop("by", self.runner), changes.pop("under", self.requester)
        made = job or self.job()
        key = changes.pop("key", self.response).public
        signed = Release(
            job=typed.struct_hash(made),
            committee=self.committee,
            recordsRoot=merkle.root_of(ids),
            count=len(ids),
            responseKeyHash=keccak(key),
            deadline=self.ledger.now + 300,
            nonce=secrets.token_bytes(32),
        )
        signed = replace(signed, **changes)
        signatures = (self.sign(under, made), self.sign(by, signed))
        return ReleaseRequest(made, signatures[0], signed, signatures[1], key, tuple(ids), tuple(openings))

    def ask(self, request: ReleaseRequest) -> Answer:
        """As it travels: to JSON, parsed, decided."""
        return release.release(self.server, ReleaseRequest.parse(request.to_json()))

    def verdict(self, request: ReleaseRequest) -> dict[str, int]:
        """How many records got which reason."""
        counts: dict[str, int] = self.ask(request).receipt["counts"]
        return counts

    def opened(self, request: ReleaseRequest, answer: Answer, key: SealingKey | None = None) -> list[bytes]:
        """What the response key finds in an answer: one part per released record."""
        digest = typed.digest(self.domain, request.release)
        info = answer_info(digest, typed.address_bytes(self.server.address), int(answer.receipt["index"]))
        plain = (key or self.response).open(answer.sealed, info)
        return [plain[i : i + 100] for i in range(0, len(plain), 100)]

    def verify(self, answer: Answer) -> None:
        """InvalidSignature unless the server's checkpoint key signed the receipt."""
        public = self.server.checkpoint_key.public_key()
        public.verify(answer.signature, RECEIPT_CONTEXT + canonical(answer.receipt))

    def restarted(self) -> None:
        """The same server and folder, with nothing remembered of the chain."""
        self.server = build_server(self, self.server.sealing_keys[1], self.server.address)


def share_of(record: bytes) -> bytes:
    """The share that the tests' vault holds of a record."""
    return keccak(b"share" + record)


def released(request: ReleaseRequest, answer: Answer) -> list[bytes]:
    """The ids whose bit is set."""
    bits = bytes.fromhex(answer.receipt["bitmap"][2:])
    return [request.ids[position] for position in allowed_positions(bits, len(request.ids))]


def build_server(world: World, key: SealingKey, address: str) -> KeyServer:
    return KeyServer(
        address=address,
        domain=world.domain,
        ledger=world.ledger,
        store=world.store,
        sealing_keys={1: key},
        checkpoint_key=Ed25519PrivateKey.generate(),
        profile=PROFILES["anvil"],
        clock=world.clock.utc,
        monotonic=world.clock.monotonic,
        daily_cap=1_000,
        custodians=None,
    )


def make_world() -> World:
    """A committee of which this server is the second, an open study, an accredited runner; all of it final."""
    world = World()
    world.clock = Clock(world.ledger)
    world.sender = FakeSender(world.ledger)
    key = WalletKey()
    members = ["0x" + "01" * 20, key.address, "0x" + "ff" * 20]
    world.send("KeyServerRegistry", "createCommittee", 2, members)
    world.committee = keccak(encode(("uint8", "address[]"), (2, members)))
    world.server = build_server(world, SealingKey(), key.address)
    terms = Terms(PURPOSE, 0, LAB, int(Access.DOWNLOAD), (), bytes(32))
    proposal = Propose(world.requester.address, BOARD, terms, (FORM,), secrets.token_bytes(32))
    fields: tuple[Any, ...] = (terms.purposes, terms.conditions, terms.categories, terms.access, [], terms.protocol)
    world.send("StudyRegistry", "propose", proposal.lead, BOARD, fields, [FORM], proposal.salt, b"")
    world.study = typed.struct_hash(proposal)
    world.send("StudyRegistry", "approve", world.study, 1, world.ledger.now + YEAR, [])
    world.send("StudyRegistry", "accredit", BOARD, world.runner.address, world.ledger.now + YEAR, [])
    world.ledger.settle()
    return world


def own_job(world: World, who: Signer) -> Job:
    """Of a person for her own records: no study, no consent, she is her own runner."""
    address = who.address.lower()
    return world.job(requester=address, runner=address, study=bytes(32), access=int(Access.DOWNLOAD), epsilonMilli=0)


def text_of(record: Record) -> str:
    return hexed(record.id)
