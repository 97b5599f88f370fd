# SPDX-License-Identifier: Apache-2.0
"""The deployed ReleasePolicy against its reference model: random jobs over random consents that were really granted.

The model is given what the registry says of each consent, and what is known of the studies; then both decide about
every consent at once, at the same pinned block.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from consentum.crypto import typed
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.domain.messages import Consent, Freeze, Job, Revoke, RevokeAll
from consentum.domain.registry_messages import Terms
from consentum.errors import POLICY_REASONS, Reason
from consentum.ports.chain import Block, Item
from consentum.ports.transactions import Call
from tests.conformance.conftest import Node, real_chain
from tests.conformance.studies import YEAR, Society
from tests.fakes.policy import Policy
from tests.fakes.state import State, Study

pytestmark = pytest.mark.processes

FORMS = [bytes([n]) * 32 for n in (1, 2, 3)]
DISEASES = [bytes([n]) * 32 for n in (11, 12, 13)]
NOWHERE = "0x" + "99" * 20
CONSENTS = 200


@dataclass
class Corpus:
    """A society on a real chain with a few hundred consents, and everything the model must know of it."""

    society: Society
    subjects: list[Signer] = field(default_factory=list)
    actors: list[str] = field(default_factory=list)
    runners: list[str] = field(default_factory=list)
    studies: list[bytes] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    state: State = field(default_factory=State)
    start: int = 0

    def both(self, job: Job, block: Block) -> tuple[list[int], list[int]]:
        """What the contract says of every item, and what the model does."""
        at, ledger = self.society.chain.at, self.society.chain.ledger
        model = Policy(at.release_policy, at.user_domain, self.state, block.timestamp)
        return ledger.review(block, job, self.items), model.review(job, self.items)


def found_studies(corpus: Corpus) -> None:
    """Two open studies of other terms, one that nobody approved, one closed."""
    society = corpus.society
    wide = Terms(0b110, 0b11, 0b111, 3, (DISEASES[0], DISEASES[1]), bytes(32))
    narrow = Terms(0b010, 0, 0b001, 2, (), bytes(32))
    for terms, forms, approved in (
        (wide, FORMS[:2], True),
        (narrow, FORMS[:1], True),
        (wide, FORMS[:1], False),
        (wide, FORMS[:1], True),
    ):
        study = society.study(terms, *forms, approved=approved)
        until = society.now + YEAR if approved else 0
        corpus.studies.append(study)
        lead = society.lead.address.lower()
        corpus.state.studies[study] = Study(lead, society.board, terms, frozenset(forms), until)
    society.close(corpus.studies[3])
    corpus.state.studies[corpus.studies[3]].until = -1
    society.accept_form(FORMS[2])
    corpus.state.board_forms.add((society.board, FORMS[2]))
    for runner, until in ((corpus.runners[0], society.now + YEAR), (corpus.runners[1], society.now - 1)):
        society.accredit(runner, until)
        corpus.state.runners[society.board, runner] = until
    society.member(corpus.studies[0], corpus.actors[1])
    corpus.state.studies[corpus.studies[0]].members.add(corpus.actors[1])


def found_people(corpus: Corpus) -> None:
    """A consent delegate, a guardian, a delegate whose time is over; one subject cut off, one frozen, one both."""
    society, now = corpus.society, corpus.society.now
    for number, role, validity in ((1, b"consent", YEAR), (2, b"guardian", YEAR), (3, b"consent", 0)):
        who, actor = corpus.subjects[number], corpus.actors[2]
        society.delegate(who, role, actor, validity)
        corpus.state.delegates[who.address.lower(), role, actor] = now + validity
    for number in (5, 7):
        who, subject = corpus.subjects[number], corpus.subjects[number].address.lower()
        signature = society.sign(who, RevokeAll(subject, now))
        society.send("ConsentRegistry", "revokeAll", subject, now, signature)
    for number in (6, 7):
        who, subject = corpus.subjects[number], corpus.subjects[number].address.lower()
        signature = society.sign(who, Freeze(subject, now + YEAR // 20))
        society.send("ConsentRegistry", "freeze", subject, now + YEAR // 20, signature)


def a_consent(corpus: Corpus, chance: random.Random) -> tuple[Consent, Signer]:
    """One that would do for a study or a person, with up to two of its fields made something else."""
    who, start = chance.choice(corpus.subjects), corpus.start
    to = bytes(12) + typed.address_bytes(chance.choice(corpus.actors))
    scope = chance.choice([*corpus.studies[:2], corpus.studies[0], corpus.society.board, to])
    form = FORMS[2] if scope == corpus.society.board else FORMS[0]
    policy, salt = corpus.society.chain.ledger.policy, chance.randbytes(32)
    times = (start + 1, 0, start + YEAR)
    base = Consent(who.address.lower(), policy, scope, form, 0b010, 0, bytes(32), 0b111, *times, 3, 500, salt)
    elsewhere: dict[str, list[Any]] = {
        "policy": [NOWHERE],
        "scope": [bytes(32), corpus.studies[1], bytes(31) + b"\1"],
        "form": FORMS,
        "purposes": [0, 0b001, 0b110],
        "conditions": [0b01, 0b11, 0b111],
        "disease": DISEASES,
        "categories": [0, 0b001, 0b110],
        "signedAt": [0, start - 100, start + 10, start + 40],
        "notBefore": [start + chance.randrange(20, 90), start + YEAR],
        "expires": [start + chance.randrange(20, 90), start],
        "access": [0, 1, 2],
        "epsilonMilli": [0, 99, 100],
    }
    fields = chance.sample(sorted(elsewhere), chance.choice([0, 1, 1, 2]))
    return replace(base, **{name: chance.choice(elsewhere[name]) for name in fields}), who


def grant_all(corpus: Corpus) -> None:
    """Most are granted, in batches; a tenth is not, a tenth is revoked."""
    society, chance = corpus.society, random.Random(20260101)
    made = [a_consent(corpus, chance) for _ in range(CONSENTS)]
    society.grant(*(pair for pair in made if chance.random() > 0.1))
    gone = [(c.subject, typed.struct_hash(c), who) for c, who in made if chance.random() < 0.1]
    society.batch("revokeBatch", [(s, h, society.sign(who, Revoke(s, h))) for s, h, who in gone])
    corpus.items = [Item(c, chance.choice([0b001, 0b001, 0b010, 0b110, 0b1000, 0])) for c, _ in made]
    pairs = [(c.subject, typed.struct_hash(c)) for c, _ in made]
    latest = society.chain.ledger.view().latest
    for (subject, hashed), s in zip(pairs, society.chain.ledger.standings(latest, pairs), strict=True):
        if s.granted_at or s.revoked_at:
            corpus.state.times[subject, hashed] = (s.granted_at, s.revoked_at)
        corpus.state.persons[subject] = (s.cutoff, s.frozen_until)


@pytest.fixture(scope="module")
def corpus(node: Node) -> Corpus:
    chain = real_chain(node)
    chain.sender.send([Call("KeyServerRegistry", "announce", (b"\1" * 32, "http://x"))])  # the account works
    made = Corpus(Society(chain))
    made.subjects = [SoftPasskey("localhost") if n % 2 else WalletKey() for n in range(8)]
    lead = made.society.lead.address.lower()
    made.actors = [lead, *(WalletKey().address.lower() for _ in range(3)), made.subjects[0].address.lower()]
    made.runners = [WalletKey().address.lower() for _ in range(3)]
    found_studies(made)
    found_people(made)
    made.start = made.society.now
    grant_all(made)
    return made


# A job by positions in the corpus: study (4 none, 5 unknown), requester, runner (3: the requester herself), terms,
# and how far its deadline is from the block.
Draw = tuple[int, int, int, int, int, int, int]
jobs = st.tuples(
    st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 4, 4, 5]),
    st.sampled_from([0, 0, 0, 1, 2, 3, 4]),
    st.sampled_from([0, 0, 1, 2, 3, 3]),
    st.sampled_from([0b010, 0b010, 0b010, 0b100, 0b110, 0b001, 0]),
    st.sampled_from([1, 2, 2, 3, 3, 0, 4, 255]),
    st.sampled_from([0, 99, 100, 101, 2**32 - 1]),
    st.sampled_from([0, 0, 1, 1_000, -1]),
)


def job_of(corpus: Corpus, draw: Draw, block: Block) -> Job:
    study, requester, runner, purpose, access, epsilon, ahead = draw
    who = corpus.actors[requester]
    ids = [*corpus.studies, bytes(32), b"\x42" * 32]
    deadline, salt = block.timestamp + ahead, secrets.token_bytes(32)
    return Job(who, [*corpus.runners, who][runner], ids[study], bytes(32), purpose, access, epsilon, deadline, salt)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example((0, 0, 0, 0b010, 2, 100, 0))
@example((4, 4, 3, 0b010, 3, 0, 0))
@given(jobs)
def test_contract_and_model_agree_on_every_job_over_every_consent(corpus: Corpus, draw: Draw) -> None:
    block = corpus.society.chain.ledger.view().latest
    contract, model = corpus.both(job_of(corpus, draw, block), block)
    assert contract == model


def typical() -> Iterator[Draw]:
    """Jobs that get as far as they can, and one for each way to fail as a whole."""
    for study in (0, 1):
        for access in (1, 2, 3):
            for epsilon in (0, 100, 501):
                yield study, 0, 3 if access == 3 else 0, 0b010, access, epsilon, 0
    for requester in range(5):
        yield 4, requester, 3, 0b010, 3, 0, 0
        yield 4, requester, 3, 0b010, 2, 0, 0
    yield from ((0, 0, 0, 0b110, 2, 0, 0), (0, 1, 3, 0b100, 3, 0, 0), (4, 0, 0, 2, 3, 0, 0), (0, 0, 0, 2, 3, 0, 0))
    yield from ((2, 0, 0, 2, 2, 0, 0), (3, 0, 0, 2, 2, 0, 0), (5, 0, 0, 2, 2, 0, 0), (0, 0, 0, 2, 2, 0, -1))
    yield from ((0, 3, 0, 2, 2, 0, 0), (1, 1, 0, 2, 2, 0, 0), (0, 0, 1, 2, 2, 0, 0), (0, 0, 2, 2, 2, 0, 0))
    yield from ((0, 0, 0, 1, 2, 0, 0), (0, 0, 0, 0, 2, 0, 0), (1, 0, 3, 2, 3, 0, 0), (0, 0, 0, 2, 0, 0, 0))


def test_they_agree_on_typical_jobs_and_every_reason_is_met(corpus: Corpus) -> None:
    """All but the two of the signatures, which `review` does not look at."""
    met: set[int] = set()
    block = corpus.society.chain.ledger.view().latest
    for draw in typical():
        contract, model = corpus.both(job_of(corpus, draw, block), block)
        assert contract == model, draw
        met |= set(contract)
    assert {r.name for r in POLICY_REASONS if r not in met} == {"JOB_SIGNATURE", "RELEASE_SIGNATURE"}
    assert Reason.ALLOWED in met


def test_they_agree_second_by_second_while_consents_begin_and_end(corpus: Corpus) -> None:
    """At the very block whose time is a consent's `notBefore` or `expires`, which the corpus spreads over a minute."""
    chain = corpus.society.chain
    seen: set[int] = set()
    while len(seen) < 5:
        block = chain.ledger.view().latest
        if block.number in seen:
            chain.settle()
            continue
        seen.add(block.number)
        contract, model = corpus.both(job_of(corpus, (0, 0, 0, 0b010, 2, 0, 0), block), block)
        assert contract == model
