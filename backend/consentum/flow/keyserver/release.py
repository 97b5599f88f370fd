# SPDX-License-Identifier: Apache-2.0
"""Release: who -> may they -> write it down -> hand it over. Read this first (docs/protocol.md, R1 to R7)."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from consentum.crypto import sealing, typed
from consentum.domain.journal import RECEIPT_CONTEXT, Entry, bitmap, counts
from consentum.domain.messages import Consent
from consentum.domain.parsing import hexed
from consentum.domain.records import Record
from consentum.errors import (
    CorruptError,
    MalformedError,
    NotFoundError,
    OutdatedError,
    Reason,
    RefusedError,
)
from consentum.flow.keyserver.notice import judge_pending
from consentum.flow.keyserver.server import KeyServer, asking_the_chain
from consentum.flow.wire import Answer, ReleaseRequest
from consentum.ports.chain import Block, Item, Question, View
from consentum.ports.server_store import Committed, Debit, Decision, NoticeRow, ReleaseKey

MAX_DECISION_AGE_SECONDS = 2.0
MAX_DEADLINE_AHEAD_SECONDS = 3_600
ATTEMPTS = 3
ZERO_ADDRESS = "0x" + "00" * 20
SIGNATURE_REASONS = (Reason.JOB_SIGNATURE, Reason.RELEASE_SIGNATURE)


@dataclass(frozen=True, slots=True)
class Page:
    """A request beside what this server's own vault knows of its records."""

    request: ReleaseRequest
    question: Question
    index: int
    finalized: Block
    records: tuple[Record | None, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reason per record, the blocks they were given at, and when (monotonic seconds)."""

    reasons: tuple[int, ...]
    view: View
    at: float
    notices: int


def release(server: KeyServer, request: ReleaseRequest) -> Answer:
    """Decides, journals and hands over one page. R1 has happened: the request is parsed.

    A spent budget or a requester's cap refuses single records, BUDGET or LIMIT, as the policy's reasons do.

    RefusedError when nothing can be decided (the reason says whether to come back) or nobody validly signed;
    ReplayedError for a nonce used for another page. A record refused on its own is a zero in the bitmap, not an error.
    """
    _in_time(server, request)
    view = server.fresh_view()
    page = _open_page(server, request, view)
    at_finalized = _policy(server, page, view.finalized)  # R2
    for _ in range(ATTEMPTS):
        verdict = _decide(server, page, at_finalized)  # R4
        try:
            committed = _write_down(server, page, verdict)  # R3, R5
        except OutdatedError:
            page = _open_page(server, request, view)  # what changed may be that a record was retracted
            at_finalized = _policy(server, page, view.finalized)
            continue
        verdict = replace(verdict, reasons=committed.reasons)
        sealed = _seal(server, page, verdict)  # R6
        if server.monotonic() - verdict.at <= MAX_DECISION_AGE_SECONDS:
            return _answer(server, page, verdict, committed, sealed)  # R7
    raise RefusedError(Reason.STALE, "deciding takes longer than a decision lasts")


def _in_time(server: KeyServer, request: ReleaseRequest) -> None:
    server.require_releasing()
    if request.release.deadline > server.now() + MAX_DEADLINE_AHEAD_SECONDS:
        raise MalformedError("the deadline is more than an hour ahead", field="deadline")
    if server.now() > min(request.release.deadline, request.job.deadline):
        raise RefusedError(Reason.DEADLINE_PASSED)


def _open_page(server: KeyServer, request: ReleaseRequest, view: View) -> Page:
    """Joins the request with the vault: subject and categories are this server's own word, never the request's."""
    with asking_the_chain():
        index = server.ledger.committee(view.latest, request.release.committee).index_of(server.address)
    if index is None:
        raise NotFoundError("this server is not of that committee", field="committee")
    known = server.store.vault(request.ids, request.release.committee)
    records = tuple(known.get(identity) for identity in request.ids)
    items = tuple(_item(server, *pair) for pair in zip(records, request.openings, strict=True))
    digest = typed.digest(server.domain, request.release)
    question = Question(request.job, request.job_signature, digest, request.release_signature)
    return Page(request, question, index, view.finalized, records, items)


def _item(server: KeyServer, record: Record | None, opening: Consent | None) -> Item:
    """What the policy is asked. No record and no opening become a consent that nobody granted, and a record that is not
    here meets the opening it came with, so that "unknown" and "not permitted" are one answer."""
    blank = Consent(ZERO_ADDRESS, server.ledger.policy, *(bytes(32),) * 2, 0, 0, bytes(32), 0, 0, 0, 0, 0, 0, bytes(32))
    consent = opening or blank
    if record is None:
        return Item(replace(consent, subject=ZERO_ADDRESS), 0)
    return Item(replace(consent, subject=record.subject), record.categories)


def _policy(server: KeyServer, page: Page, block: Block) -> list[int]:
    with asking_the_chain():
        return server.ledger.check(block, page.question, page.items)


def _decide(server: KeyServer, page: Page, at_finalized: Sequence[int]) -> Verdict:
    """R4: the same check at latest, and the notices. Grants count late, revocations at once."""
    at = server.monotonic()
    view = server.fresh_view()
    at_latest = _policy(server, page, view.latest)
    with asking_the_chain():
        judge_pending(server, view)
    held = server.store.notices(sorted(_subjects(page)))
    reasons = tuple(
        _combine(server, early, late, item, held.get(item.consent.subject.lower(), []))
        for early, late, item in zip(at_finalized, at_latest, page.items, strict=True)
    )
    signatures = {*at_finalized, *at_latest} & {int(reason) for reason in SIGNATURE_REASONS}
    if signatures:
        raise RefusedError(Reason(min(signatures)))  # R5 journals only what was validly signed
    # The entry names the blocks that were asked: the finalized one is that of R2.
    return Verdict(reasons, View(page.finalized, view.latest), at, sum(map(len, held.values())))


def _subjects(page: Page) -> frozenset[str]:
    return frozenset(item.consent.subject.lower() for item in page.items)


def _combine(server: KeyServer, early: int, late: int, item: Item, notices: Sequence[NoticeRow]) -> int:
    if late != Reason.ALLOWED:
        return late
    if any(_holds(notice, item.consent, server.now()) for notice in notices):
        return Reason.NOTICE_HELD
    return Reason.ALLOWED if early == Reason.ALLOWED else Reason.NOT_YET_FINAL


def _holds(notice: NoticeRow, consent: Consent, now: int) -> bool:
    if notice.kind == "Revoke":
        return notice.commitment == typed.struct_hash(consent)
    if notice.kind == "RevokeAll":
        # A blank opening has no date: her own records are not what a cutoff of her consents is about.
        return 0 < consent.signedAt <= notice.until
    return now < notice.until


def _write_down(server: KeyServer, page: Page, verdict: Verdict) -> Committed:
    """R3 and R5: limits, once-only row, debits and leaves in one durable transaction (P4). Limits refuse
    single records."""
    request, job = page.request, page.request.job
    entries = [_entry(server, page, verdict, position) for position in range(len(page.items))]
    spends = job.epsilonMilli > 0
    debits = [
        Debit(request.release.job, typed.struct_hash(item.consent), job.epsilonMilli, item.consent.epsilonMilli, n)
        for n, (item, reason) in enumerate(zip(page.items, verdict.reasons, strict=True))
        if spends and reason == Reason.ALLOWED and item.consent.signedAt
    ]
    key = ReleaseKey(
        page.question.release_digest,
        job.runner.lower(),
        request.release.nonce,
        job.requester.lower(),
        request.release.job,
    )
    decision = Decision(key, entries, debits, server.daily_cap, _subjects(page), verdict.notices)
    return server.store.commit(decision)


def _entry(server: KeyServer, page: Page, verdict: Verdict, position: int) -> Entry:
    job, record = page.request.job, page.records[position]
    return Entry(
        salt=hexed(secrets.token_bytes(32)),
        decided_at=server.now(),
        server=server.address.lower(),
        release=hexed(page.question.release_digest),
        job=hexed(page.request.release.job),
        record=hexed(page.request.ids[position]),
        subject=record.subject.lower() if record else "",
        study=hexed(job.study),
        requester=job.requester.lower(),
        runner=job.runner.lower(),
        purpose=job.purpose,
        access=job.access,
        epsilon_milli=job.epsilonMilli,
        reason=verdict.reasons[position],
        finalized=block_text(verdict.view.finalized),
        latest=block_text(verdict.view.latest),
    )


def block_text(block: Block) -> str:
    return f"{block.number}:{hexed(block.hash)}"


def _seal(server: KeyServer, page: Page, verdict: Verdict) -> bytes:
    """R6: the released shares in one message only the response key opens. Each comes with this server's own word on the
    record's key commitment and CID, so the job need not believe the gateway about them."""
    pairs = zip(page.records, verdict.reasons, strict=True)
    released = [record for record, reason in pairs if reason == Reason.ALLOWED and record is not None]
    try:
        shares = server.store.shares([record.id for record in released]) if released else []
    except CorruptError as error:
        raise RefusedError(Reason.STORE_UNAVAILABLE, str(error)) from None
    parts = [share + r.key_commitment + r.cid.raw for share, r in zip(shares, released, strict=True)]
    info = sealing.answer_info(page.question.release_digest, typed.address_bytes(server.address), page.index)
    return sealing.seal(b"".join(parts), page.request.response_key, info)


def _answer(server: KeyServer, page: Page, verdict: Verdict, committed: Committed, sealed: bytes) -> Answer:
    """R7: the receipt says where it is journalled, at which blocks it was decided, and for which records."""
    receipt = {
        "v": 1,
        "server": server.address.lower(),
        "index": page.index,
        "release": hexed(page.question.release_digest),
        "count": len(page.items),
        "bitmap": hexed(bitmap(verdict.reasons)),
        "counts": counts(verdict.reasons),
        "leaves": ranges(committed.leaves),
        "size": committed.size,
        "root": hexed(committed.root),
        "finalized": block_text(verdict.view.finalized),
        "latest": block_text(verdict.view.latest),
        "decidedAt": server.now(),
        "sealed": hexed(hashlib.sha256(sealed).digest()),
    }
    return Answer(receipt, server.sign(RECEIPT_CONTEXT, receipt), sealed)


def ranges(leaves: Sequence[int]) -> list[list[int]]:
    """Leaf indexes as [first, count] runs, in the order of the records."""
    runs: list[list[int]] = []
    for leaf in leaves:
        if runs and leaf == sum(runs[-1]):
            runs[-1][1] += 1
        else:
            runs.append([leaf, 1])
    return runs
