# SPDX-License-Identifier: Apache-2.0
"""What every reader of boards, studies and identities promises: one suite for the fake and for a real chain."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pytest

from consentum.adapters.chain.registries import ChainRegistries
from consentum.adapters.chain.rpc import Rpc
from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.registry_messages import ProposeOwner, SetRecovery, Terms
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import UnavailableError
from consentum.ports.registries import BoardFacts, IdentityFacts, Registries, StudyFacts
from tests.conformance.conftest import Node, real_chain
from tests.conformance.studies import Society
from tests.fakes.registries import NOBODY, MemoryRegistries

FORM, OTHER_FORM, UNKNOWN = b"\x0f" * 32, b"\x0e" * 32, b"\x77" * 32
STRANGER = "0x" + "ab" * 20
TERMS = Terms(
    int(Purpose.HEALTH_RESEARCH), 1, int(Category.LABORATORY), int(Access.COMPUTE), (b"\xd1" * 32,), bytes(32)
)


class Stage(Protocol):
    """Makes facts: by transactions, or by writing them down."""

    judge: WalletKey
    lead: WalletKey
    board: bytes

    @property
    def registries(self) -> Registries: ...

    def study(self, terms: Terms, form: bytes, approved: bool) -> bytes: ...

    def member(self, study: bytes, who: str) -> None: ...

    def propose_owner(self, identity: WalletKey, new_owner: str) -> None: ...

    def set_recovery(self, identity: WalletKey, threshold: int) -> None: ...


class OnChain(Society):
    """On a real chain."""

    registries: ChainRegistries

    def study(self, terms: Terms, form: bytes, approved: bool) -> bytes:  # type: ignore[override]
        return Society.study(self, terms, form, approved=approved)

    def propose_owner(self, identity: WalletKey, new_owner: str) -> None:
        message = ProposeOwner(identity.address, new_owner, self.registries.identity(identity.address).nonce)
        self.send("DidRegistry", "proposeOwner", identity.address, new_owner, self._signed(identity, message))

    def set_recovery(self, identity: WalletKey, threshold: int) -> None:
        message = SetRecovery(identity.address, threshold, self.registries.identity(identity.address).nonce)
        self.send("DidRegistry", "setRecovery", identity.address, threshold, self._signed(identity, message))

    def _signed(self, identity: WalletKey, message: Any) -> bytes:
        return identity.sign(typed.digest(self.chain.at.did_domain, message))


@dataclass
class InMemory:
    """In the fake."""

    registries: MemoryRegistries = field(default_factory=MemoryRegistries)
    judge: WalletKey = field(default_factory=WalletKey)
    lead: WalletKey = field(default_factory=WalletKey)
    board: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        self.registries.boards[self.board] = BoardFacts((self.judge.address.lower(),), 1, 0)

    def study(self, terms: Terms, form: bytes, approved: bool) -> bytes:
        chain, made = self.registries, secrets.token_bytes(32)
        chain.studies[made] = StudyFacts(self.lead.address.lower(), self.board, "proposed", 0, 1, 0, 0)
        chain.versions[made, 1] = terms
        if approved:
            chain.studies[made] = replace(chain.studies[made], status="approved", version=1, approved_until=2**40)
            chain.boards[self.board] = replace(chain.board(self.board), nonce=chain.board(self.board).nonce + 1)
            chain.approved.add((made, form))
        return made

    def member(self, study: bytes, who: str) -> None:
        self.registries.allowed.add((study, who.lower()))
        facts = self.registries.studies[study]
        self.registries.studies[study] = replace(facts, lead_nonce=facts.lead_nonce + 1)

    def propose_owner(self, identity: WalletKey, new_owner: str) -> None:
        self._change(identity, pending_owner=new_owner.lower(), pending_from=2**40)

    def set_recovery(self, identity: WalletKey, threshold: int) -> None:
        self._change(identity)  # it counts after a delay

    def _change(self, identity: WalletKey, **changes: Any) -> None:
        address = identity.address.lower()
        facts = self.registries.identity(address)
        self.registries.identities[address] = replace(facts, nonce=facts.nonce + 1, **changes)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.processes)])
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "fake":
        return InMemory()
    node = request.getfixturevalue("node")
    made = OnChain(real_chain(node))
    made.registries = ChainRegistries(Rpc(node.url), node.at)
    return made


def test_what_nobody_made_is_nothing_and_no_error(stage: Stage) -> None:
    chain = stage.registries
    assert chain.board(UNKNOWN) == BoardFacts((), 0, 0)
    assert chain.study(UNKNOWN) == StudyFacts(NOBODY, bytes(32), "none", 0, 0, 0, 0)
    assert chain.terms(UNKNOWN, 1) == Terms(0, 0, 0, 0, (), bytes(32))
    assert chain.forms_approved(UNKNOWN, [FORM]) == [False]
    assert chain.members(UNKNOWN, [STRANGER]) == [False]


def test_nothing_asked_is_nothing_told(stage: Stage) -> None:
    study = stage.study(TERMS, FORM, approved=False)
    assert stage.registries.forms_approved(study, []) == stage.registries.members(study, []) == []


def test_a_board_has_its_members_in_lower_case_and_its_next_nonce(stage: Stage) -> None:
    before = stage.registries.board(stage.board)
    assert (before.members, before.quorum) == ((stage.judge.address.lower(),), 1)
    stage.study(TERMS, FORM, approved=True)
    assert stage.registries.board(stage.board).nonce == before.nonce + 1


def test_a_proposed_study_has_no_approved_version_and_its_form_speaks_of_nothing(stage: Stage) -> None:
    study = stage.study(TERMS, FORM, approved=False)
    assert stage.registries.study(study) == StudyFacts(stage.lead.address.lower(), stage.board, "proposed", 0, 1, 0, 0)
    assert stage.registries.forms_approved(study, [FORM]) == [False]


def test_an_approved_study_has_its_version_its_terms_and_its_form(stage: Stage) -> None:
    study = stage.study(TERMS, FORM, approved=True)
    facts = stage.registries.study(study)
    assert (facts.status, facts.version, facts.proposed) == ("approved", 1, 1)
    assert facts.approved_until > 0
    assert stage.registries.terms(study, 1) == TERMS
    assert stage.registries.terms(study, 2) == Terms(0, 0, 0, 0, (), bytes(32))
    assert stage.registries.forms_approved(study, [OTHER_FORM, FORM]) == [False, True]


def test_members_are_the_lead_and_whom_she_let_in_however_written(stage: Stage) -> None:
    study, friend = stage.study(TERMS, FORM, approved=True), WalletKey().address
    stage.member(study, friend)
    asked = [STRANGER, friend, friend.lower(), stage.lead.address]
    assert stage.registries.members(study, asked) == [False, True, True, True]
    assert stage.registries.study(study).lead_nonce == 1


def test_an_identity_nobody_touched_is_its_own_owner(stage: Stage) -> None:
    key = WalletKey()
    assert stage.registries.identity(key.address) == IdentityFacts(key.address.lower(), 0, 0)


def test_a_pending_owner_is_shown_and_is_not_yet_the_owner(stage: Stage) -> None:
    key, successor = WalletKey(), WalletKey().address.lower()
    stage.propose_owner(key, successor)
    facts = stage.registries.identity(key.address.lower())
    assert (facts.owner, facts.nonce, facts.pending_owner) == (key.address.lower(), 1, successor)
    assert facts.pending_from > 0
    assert not facts.by_recovery


def test_a_recovery_threshold_does_not_count_at_once_but_spends_a_nonce(stage: Stage) -> None:
    key = WalletKey()
    stage.set_recovery(key, 2)
    assert stage.registries.identity(key.address) == IdentityFacts(key.address.lower(), 1, 0)


@pytest.mark.processes
def test_a_node_that_is_not_there_is_unavailable(node: Node) -> None:
    unreachable = ChainRegistries(Rpc("http://127.0.0.1:1"), node.at)
    for read in (unreachable.board, unreachable.study, lambda study: unreachable.members(study, [STRANGER])):
        with pytest.raises(UnavailableError):
            read(UNKNOWN)
