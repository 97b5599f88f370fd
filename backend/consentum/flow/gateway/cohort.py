# SPDX-License-Identifier: Apache-2.0
"""Cohort: which records a job would get now, by the policy on chain, and under which opening each."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consentum.crypto import typed
from consentum.domain.disclosure import shown, shown_all
from consentum.domain.journal import counts
from consentum.domain.messages import Consent, Job
from consentum.domain.parsing import as_integer, as_object, as_signature, hexed
from consentum.domain.records import Record
from consentum.errors import MalformedError, NotFoundError, Reason, SignatureRefused
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Claim, Item, Roles

# Refusals that concern the job, not a record.
JOB_REASONS = frozenset(range(Reason.JOB_SIGNATURE, Reason.RUNNER_NOT_REQUESTER + 1))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A record, the opening that serves the job best (None if its subject gave none), and the policy's reason."""

    record: Record
    opening: Consent | None
    reason: int


def cohort(gateway: Gateway, data: object, who: str) -> dict[str, object]:
    """{job, jobSignature, categories} to counts by reason, rounded; for the job's runner exact, with the records and a
    pseudonym per patient and study. NotFoundError for anybody but the job's requester and runner."""
    body = as_object(data, "request", "job", "jobSignature", "categories")
    job = typed.from_json(Job, body["job"])
    signature = as_signature(body["jobSignature"], "jobSignature")
    categories = as_integer(body["categories"], "categories", 1 << 63)
    if categories == 0:
        raise MalformedError("name at least one category", field="categories")
    if who not in (job.requester, job.runner):
        raise NotFoundError("no such job", field="job")
    view = gateway.ledger.view()
    claim = Claim(job.requester, Roles.CONTROLLER, typed.digest(gateway.domain, job), signature)
    if not gateway.ledger.signed_by(view.latest, [claim])[0]:
        raise SignatureRefused("the job is not signed by its requester", field="jobSignature")
    found = choose(gateway, job, gateway.store.records(categories))
    table = counts([candidate.reason for candidate in found])
    if who != job.runner:
        return {"block": view.latest.number, "of": shown(len(found)), "counts": shown_all(table)}
    answer: dict[str, object] = {"block": view.latest.number, "of": len(found), "counts": table}
    # Ids are not for browsing: only of those who named this study, its board or this person, and not where the job
    # would be refused as a whole.
    listed = [c for c in found if c.opening is not None and c.reason not in JOB_REASONS]
    told = {candidate.record.id for candidate in listed}
    answer["unlisted"] = counts([c.reason for c in found if c.record.id not in told])
    answer["records"] = [
        {
            "record": hexed(c.record.id),
            "pseudonym": pseudonym(gateway, job, c.record),
            "committee": hexed(c.record.committee),
        }
        for c in listed
    ]
    return answer


def pseudonym(gateway: Gateway, job: Job, record: Record) -> str:
    """Same patient, same pseudonym within a study; unlinkable across studies and to the address."""
    scope = job.study if any(job.study) else typed.address_bytes(job.requester)
    return hmac.digest(gateway.pseudonym_key, scope + typed.address_bytes(record.subject), "sha256")[:16].hex()


def choose(gateway: Gateway, job: Job, records: Sequence[Record]) -> list[Candidate]:
    """For each record the opening the policy allows; else the newest, so that its reason is the telling one. Openings
    that name another study, board or person are not considered: their records come with none, reason SCOPE."""
    if not records:
        return []
    scopes = _scopes(gateway, job)
    openings = gateway.store.openings_of(sorted({record.subject for record in records}))
    pairs = [
        (record, opening)
        for record in records
        for opening in sorted(openings.get(record.subject.lower(), []), key=lambda c: -c.signedAt)
        if opening.scope in scopes
    ]
    items = [Item(opening, record.categories) for record, opening in pairs]
    reasons = gateway.ledger.review(gateway.ledger.view().latest, job, items) if items else []
    best: dict[bytes, Candidate] = {}
    for (record, opening), reason in zip(pairs, reasons, strict=True):
        known = best.get(record.id)
        if known is None or (known.reason != Reason.ALLOWED and reason == Reason.ALLOWED):
            best[record.id] = Candidate(record, opening, reason)
    return [best.get(record.id) or _unaddressed(record, openings) for record in records]


def _scopes(gateway: Gateway, job: Job) -> set[bytes]:
    if not any(job.study):
        return {bytes(12) + typed.address_bytes(job.requester)}
    board, _ = gateway.ledger.board_and_runner(gateway.ledger.view().latest, job.study, job.runner)
    return {job.study, board}


def _unaddressed(record: Record, openings: Mapping[str, Sequence[Consent]]) -> Candidate:
    return Candidate(record, None, Reason.SCOPE if openings.get(record.subject.lower()) else Reason.NO_CONSENT)
