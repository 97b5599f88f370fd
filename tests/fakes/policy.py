# SPDX-License-Identifier: Apache-2.0
"""The reference model of ReleasePolicy: the only second implementation there may be. Written from the interface's
words, not from the contract, and compared with it item by item (tests/conformance/test_policy_model.py)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consentum.crypto import typed
from consentum.crypto.typed import Domain
from consentum.domain.messages import Job
from consentum.domain.registry_messages import Terms
from consentum.domain.terms import Access
from consentum.errors import Reason
from consentum.ports.chain import Item, Question, Roles
from tests.fakes.state import State, plain, signer_of

NO_TERMS = Terms(0, 0, 0, 0, (), bytes(32))
Rule = tuple[bool, Reason]


@dataclass(frozen=True, slots=True)
class Policy:
    """One deployed policy over the contracts' state at one block's time."""

    address: str
    domain: Domain
    state: State
    now: int

    def check(self, question: Question, items: Sequence[Item]) -> list[int]:
        """`review`, after the two signatures."""
        job = question.job
        if not self.signed_by(job.requester, 0, typed.digest(self.domain, job), question.job_signature):
            return [Reason.JOB_SIGNATURE] * len(items)
        if not self.signed_by(job.runner, 0, question.release_digest, question.release_signature):
            return [Reason.RELEASE_SIGNATURE] * len(items)
        return self.review(job, items)

    def review(self, job: Job, items: Sequence[Item]) -> list[int]:
        """The first rule that fails, of the job for all items, else of each item."""
        whole = _first(self._job_rules(job))
        return [whole or _first(self._item_rules(job, item)) for item in items]

    def signed_by(self, identity: str, roles: int, digest: bytes, signature: bytes) -> bool:
        return self.state.may_act(identity, roles, signer_of(digest, signature), self.now)

    def _job_rules(self, job: Job) -> Iterator[Rule]:
        own_runner = plain(job.runner) == plain(job.requester)
        yield self.now <= job.deadline, Reason.DEADLINE_PASSED
        if not any(job.study):
            yield own_runner, Reason.RUNNER_NOT_REQUESTER
            return
        state, download = self.state, job.access == Access.DOWNLOAD
        yield state.is_open(job.study, self.now), Reason.STUDY_NOT_OPEN
        yield state.is_member(job.study, job.requester), Reason.REQUESTER_NOT_MEMBER
        study = state.studies[job.study]
        accredited = state.is_accredited(study.board, job.runner, self.now)
        yield download or accredited, Reason.RUNNER_NOT_ACCREDITED
        yield _within(job.purpose, study.terms.purposes), Reason.PURPOSE_NOT_OF_STUDY
        yield 0 < job.access <= study.terms.access, Reason.ACCESS_NOT_OF_STUDY
        yield not download or own_runner, Reason.RUNNER_NOT_REQUESTER

    def _item_rules(self, job: Job, item: Item) -> Iterator[Rule]:
        consent, person = item.consent, not any(job.study)
        standing = self.state.standing(consent.subject, typed.struct_hash(consent))
        thawed = self.now >= standing.frozen_until
        if person and self.state.may_act(consent.subject, Roles.CONSENT, job.requester, self.now):
            yield thawed, Reason.FROZEN
            return
        yield consent.policy.lower() == self.address.lower(), Reason.OTHER_POLICY
        yield not standing.revoked_at, Reason.REVOKED
        yield bool(standing.granted_at), Reason.NO_CONSENT
        yield thawed, Reason.FROZEN
        yield standing.cutoff < consent.signedAt <= standing.granted_at, Reason.CUT_OFF
        yield self.now >= consent.notBefore, Reason.NOT_YET_VALID
        yield self.now < consent.expires, Reason.EXPIRED
        yield from self._scope_rules(job, item)
        terms = NO_TERMS if person else self.state.studies[job.study].terms
        yield _within(job.purpose, consent.purposes), Reason.PURPOSE
        yield not consent.conditions & ~terms.conditions, Reason.CONDITIONS
        yield not any(consent.disease) or consent.disease in terms.diseases, Reason.DISEASE
        yield _within(item.categories, consent.categories), Reason.CATEGORY
        yield person or _within(item.categories, terms.categories), Reason.CATEGORY
        yield not person or job.access == Access.DOWNLOAD, Reason.ACCESS
        yield 0 < job.access <= consent.access, Reason.ACCESS
        yield job.epsilonMilli <= consent.epsilonMilli, Reason.EPSILON

    def _scope_rules(self, job: Job, item: Item) -> Iterator[Rule]:
        consent = item.consent
        if not any(job.study):
            yield consent.scope == bytes(12) + typed.address_bytes(job.requester), Reason.SCOPE
            return
        board = self.state.studies[job.study].board
        yield consent.scope in (job.study, board), Reason.SCOPE
        yield self.state.is_form_approved(job.study, consent.form, consent.scope == board), Reason.FORM


def _within(wanted: int, allowed: int) -> bool:
    return wanted != 0 and not wanted & ~allowed


def _first(rules: Iterator[Rule]) -> Reason:
    return next((reason for holds, reason in rules if not holds), Reason.ALLOWED)
