# SPDX-License-Identifier: Apache-2.0
"""Boards and studies on a real chain, through the gateway alone: what an amendment does to consents given before."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.registries import ChainRegistries
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.crypto import typed
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.domain.messages import Consent, Job
from consentum.domain.parsing import hexed
from consentum.domain.profiles import PROFILES
from consentum.domain.registry_messages import Accredit, AddDelegate, Approve, ChangeBoard, Reject, Suspend, Terms
from consentum.domain.terms import Access, Category, Purpose, expand
from consentum.errors import Reason
from consentum.flow.client import boards as client
from consentum.flow.client import terms
from consentum.flow.gateway import boards, identities, relay, studies
from consentum.flow.gateway.gateway import Gateway, Sponsorship
from consentum.ports.chain import Item
from tests.conformance import conftest as chains
from tests.conformance.conftest import Node
from tests.fakes.content import MemoryContentStore
from tests.fakes.dictionaries import MemoryDictionaries
from tests.fakes.enrolments import MemoryEnrolments
from tests.fakes.gateway_store import MemoryGatewayStore
from tests.fakes.jobs import MemoryJobs
from tests.fakes.retractions import MemoryRetractions
from tests.fakes.shared import MemoryShared
from tests.fakes.studies import MemoryStudies

pytestmark = pytest.mark.processes
node = chains.node
YEAR = 365 * 86_400
FORM, NEW_FORM = "Form of version 1.", "Form of version 2."
LAB, IMAGING = int(Category.LABORATORY), int(Category.IMAGING)
WIDE = Terms(int(expand(Purpose.HEALTH_RESEARCH)), 0, LAB, int(Access.COMPUTE), (), bytes(32))


@dataclass
class Life:
    """Everybody acts through the gateway: nothing else sends."""

    gateway: Gateway
    passkey: SoftPasskey = field(default_factory=lambda: SoftPasskey("localhost"))
    patient: WalletKey = field(default_factory=WalletKey)
    lead: WalletKey = field(default_factory=WalletKey)
    runner: WalletKey = field(default_factory=WalletKey)
    members: list[Signer] = field(default_factory=list)
    board: bytes = b""
    study: bytes = b""

    def __post_init__(self) -> None:
        self.members = sorted((WalletKey(), WalletKey(), self.passkey), key=lambda key: key.address.lower())
        self.board, body = client.new_board([member.address for member in self.members], 2)
        people = frozenset({self.patient.address.lower()})
        self.gateway.sponsorship = Sponsorship(sponsored=people, boards=frozenset({self.board}))
        boards.create(self.gateway, body, self.lead.address.lower())
        self.settled()
        self.vote(Accredit, self.board, self.runner.address.lower(), self.now + YEAR)
        signed = client.propose(self.chain.study_domain, self.lead, self.board, WIDE, [FORM])
        words = {"name": f"s-{secrets.token_hex(4)}", "title": "A study", "summary": "About something."}
        self.study = signed.hash
        studies.propose(self.gateway, client.propose_body(signed, words, [FORM]), self.lead.address.lower())
        self.settled()

    @property
    def chain(self) -> Any:
        return self.gateway.registries

    @property
    def now(self) -> int:
        return self.gateway.ledger.view().latest.timestamp

    def settled(self) -> None:
        relay.relay_once(self.gateway, 50)
        assert self.gateway.store.queued(50) == []

    def vote(self, kind: Any, *values: Any, voters: tuple[int, int] = (0, 2)) -> dict[str, Any]:
        message = kind(*values, self.chain.board(self.board).nonce)
        for number in voters:
            told = boards.vote(self.gateway, client.vote(self.chain.study_domain, self.members[number], message))
        self.settled()
        [shown] = [m for m in self.motions() if m["motion"] == told["motion"]]
        return shown

    def motions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = boards.motions(self.gateway, hexed(self.board), self.members[0].address.lower())[
            "motions"
        ]
        return found

    def amend(self, changed: Terms, *forms: str) -> None:
        version = self.chain.study(self.study).proposed + 1
        signed = client.amend(self.chain.study_domain, self.lead, (self.study, version), changed, forms)
        studies.amend(self.gateway, hexed(self.study), {**client.lead_body(signed), "forms": list(forms)})
        self.settled()
        self.vote(Approve, self.study, version, self.now + YEAR)

    def consent(self, form: str, categories: int = LAB | IMAGING) -> Consent:
        choice = terms.Choice(
            scope=self.study,
            form=client.text_hash(form),
            purposes=Purpose.HEALTH_RESEARCH,
            categories=Category(categories),
            access=Access.COMPUTE,
            expires=self.now + YEAR,
        )
        consent = terms.consent(choice, self.gateway.ledger.policy, self.patient.address.lower(), self.now, self.now)
        signed = terms.sign(self.gateway.domain, consent, self.patient)
        relay.grant(self.gateway, {"consent": typed.to_json(consent), "signature": hexed(signed.signature)})
        self.settled()
        return consent

    def reason(self, consent: Consent, categories: int = LAB) -> str:
        job = Job(
            requester=self.lead.address.lower(),
            runner=self.runner.address.lower(),
            study=self.study,
            code=bytes(32),
            purpose=int(Purpose.HEALTH_RESEARCH),
            access=int(Access.COMPUTE),
            epsilonMilli=0,
            deadline=self.now + 600,
            salt=bytes(32),
        )
        [reason] = self.gateway.ledger.review(self.gateway.ledger.view().latest, job, [Item(consent, categories)])
        return Reason(reason).name


@pytest.fixture
def life(node: Node, tmp_path: Path) -> Life:
    rpc, key = Rpc(node.url), WalletKey()
    rpc.call("anvil_setBalance", key.address, hex(10**18))
    store = MemoryGatewayStore()
    gateway = Gateway(
        domain=node.at.user_domain,
        ledger=ChainLedger(rpc, node.at, PROFILES["anvil"]),
        store=store,
        content=MemoryContentStore(),
        enrolments=MemoryEnrolments(),
        retractions=MemoryRetractions(store),
        dictionaries=MemoryDictionaries(),
        jobs=MemoryJobs(),
        studies=MemoryStudies(),
        shared=MemoryShared(),
        registries=ChainRegistries(rpc, node.at),
        sender=ChainSender(rpc, node.at, key.secret),
        peers=list,
        pseudonym_key=b"p" * 32,
        clock=lambda: 0.0,
    )
    return Life(gateway)


def test_an_amendment_that_widens_needs_new_consents_and_one_that_narrows_does_not(life: Life) -> None:
    consent = life.consent(FORM)
    assert life.reason(consent) == "STUDY_NOT_OPEN"
    assert life.vote(Approve, life.study, 1, life.now + YEAR)["state"] == "mined"
    assert life.reason(consent) == "ALLOWED"
    # Less: no consent is needed anew, and the old form still speaks of the study.
    narrow = replace(WIDE, access=int(Access.AGGREGATE))
    life.amend(narrow, FORM, NEW_FORM)
    life.amend(WIDE, FORM)  # back again is more than before
    assert life.reason(consent) == "FORM"
    again = life.consent(FORM)
    assert life.reason(again) == "FORM", "the form she reads must be one of the wider version"


def test_a_narrowing_leaves_every_consent_as_it_is(life: Life) -> None:
    consent = life.consent(FORM)
    life.vote(Approve, life.study, 1, life.now + YEAR)
    life.amend(replace(WIDE, conditions=1), NEW_FORM)
    assert life.chain.study(life.study).version == 2
    assert life.reason(consent) == "ALLOWED"


def test_a_widening_leaves_old_consents_behind_and_takes_those_on_the_new_form(life: Life) -> None:
    old = life.consent(FORM)
    life.vote(Approve, life.study, 1, life.now + YEAR)
    life.amend(replace(WIDE, categories=LAB | IMAGING), NEW_FORM)
    assert life.reason(old) == "FORM"
    assert studies.show(life.gateway, hexed(life.study))["forms"] == [hexed(client.text_hash(NEW_FORM))]
    new = life.consent(NEW_FORM)
    assert life.reason(new) == "ALLOWED"
    assert life.reason(new, IMAGING) == "ALLOWED"


def test_a_board_rejects_with_a_reason_suspends_and_changes_itself(life: Life) -> None:
    reason = client.text_hash("The form does not say who pays.")
    assert life.vote(Reject, life.study, 1, reason)["state"] == "mined"
    assert studies.show(life.gateway, hexed(life.study))["status"] == "rejected"
    life.amend(WIDE, FORM)
    shown = studies.show(life.gateway, hexed(life.study))
    assert (shown["status"], shown["version"], shown["proposed"]) == ("approved", 2, None)
    assert life.vote(Suspend, life.study, voters=(1, 2))["state"] == "mined"
    assert studies.show(life.gateway, hexed(life.study))["status"] == "suspended"
    fewer = client.ascending([member.address for member in life.members[:2]])
    assert life.vote(ChangeBoard, life.board, fewer, 1)["state"] == "mined"
    facts = life.chain.board(life.board)
    assert (facts.members, facts.quorum) == (fewer, 1)


def test_a_leads_members_and_a_patients_delegates_are_relayed_in_the_order_of_their_nonces(life: Life) -> None:
    life.vote(Approve, life.study, 1, life.now + YEAR)
    people = [WalletKey().address.lower() for _ in range(3)]
    for nonce in (2, 0, 1):
        signed = client.set_member(life.chain.study_domain, life.lead, (life.study, nonce), people[nonce], True)
        studies.set_member(life.gateway, hexed(life.study), client.lead_body(signed))
    told = []
    for nonce in (1, 0):
        kind = b"consent".ljust(32, b"\0")
        message = AddDelegate(life.patient.address.lower(), kind, people[nonce], YEAR, nonce)
        signature = life.patient.sign(typed.digest(life.chain.did_domain, message))
        body = {"kind": "AddDelegate", "message": typed.to_json(message), "signature": hexed(signature)}
        told.append(identities.submit(life.gateway, body))
    life.settled()
    assert studies.show(life.gateway, hexed(life.study))["members"] == [life.lead.address.lower(), *sorted(people)]
    assert [identities.relayed(life.gateway, one["id"])["state"] for one in told] == ["mined", "mined"]
    assert life.chain.identity(life.patient.address).nonce == 2
