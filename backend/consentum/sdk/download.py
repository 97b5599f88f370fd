# SPDX-License-Identifier: Apache-2.0
"""Downloads, where study and consents say so: the requester is her own runner and opens the records here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.session import Session
from consentum.crypto import envelope
from consentum.domain.messages import Job
from consentum.domain.parsing import as_bytes
from consentum.domain.terms import Category
from consentum.errors import CorruptError, MalformedError, Reason, RefusedError
from consentum.flow.client import submission
from consentum.flow.client.collect import Collected, Key, collect
from consentum.flow.client.opening import Opened, is_large
from consentum.flow.client.submission import Plan
from consentum.flow.wire import MAX_PAGE
from consentum.jobs.source import JobRecord, Ranged
from consentum.wiring.client import Connection
from consentum.wiring.runner import collector_for

RELEASE_SECONDS = 300
CACHE_FILE = "records.db"
MAX_RECORDS = 1_000_000
# So many small records are fetched at a time: at most 128 MiB.
FEW = 16


@dataclass(frozen=True, slots=True)
class Row:
    """A record of the cohort, as the gateway lists it to the job's runner."""

    record: bytes
    committee: bytes
    pseudonym: str

    @classmethod
    def parse(cls, data: object) -> Row:
        """MalformedError if it is none."""
        if not isinstance(data, Mapping):
            raise MalformedError("a record is an object", field="records")
        ids = [as_bytes(data.get(name), name, 32) for name in ("record", "committee")]
        return cls(ids[0], ids[1], str(data.get("pseudonym", ""))[:64])


def download(
    connection: Connection, session: Session, plan: Plan, categories: Category, committees: Sequence[str] | None
) -> Iterator[JobRecord]:
    """Asks page by page, so that memory holds a few records, whatever the cohort. RefusedError(TOO_FEW_SHARES) if the
    servers do not answer; CorruptError for a committee that is none of `committees`."""
    job, signature = submission.question(connection.deployment.user_domain, connection.key, plan)
    rows = _rows(session, job, signature, categories)
    if not rows:
        raise RefusedError(Reason.SCOPE, "no patient has allowed this study to download such records")
    believed = None if committees is None else {as_bytes(one, "committees", 32) for one in committees}
    if believed is not None and any(row.committee not in believed for row in rows):
        raise CorruptError("the gateway names a committee that you do not believe", field="committees")
    return _pages(connection, job, signature, rows)


def _rows(session: Session, job: Job, signature: bytes, categories: Category) -> list[Row]:
    body = {**submission.signed_json(job, signature), "categories": int(categories)}
    listed = session.post("/v1/cohorts", body).get("records", [])
    if not isinstance(listed, list) or len(listed) > MAX_RECORDS:
        raise MalformedError("no list of records", field="records")
    return [Row.parse(one) for one in listed]


def _pages(connection: Connection, job: Job, signature: bytes, rows: Sequence[Row]) -> Iterator[JobRecord]:
    pseudonyms = {row.record: row.pseudonym for row in rows}
    content = GatewayContent(connection.gateway, connection.home / CACHE_FILE)
    for committee in dict.fromkeys(row.committee for row in rows):
        ids = [row.record for row in rows if row.committee == committee]
        what = (job, signature, committee)
        collector = collector_for(connection.ledger, connection.deployment, connection.gateway, connection.key, what)
        for start in range(0, len(ids), MAX_PAGE):
            deadline = min(job.deadline, connection.ledger.view().latest.timestamp + RELEASE_SECONDS)
            page = collect(collector, ids[start : start + MAX_PAGE], deadline)
            yield from _opened(content, page, pseudonyms)


def _opened(content: GatewayContent, page: Collected, pseudonyms: Mapping[bytes, str]) -> Iterator[JobRecord]:
    """In the page's order. A large record is read from the gateway as it is used."""
    for start in range(0, len(page.keys), FEW):
        few = page.keys[start : start + FEW]
        larges = {key.cid for key in few if is_large(content, key.cid)}
        sealed = content.get_all([key.cid for key in few if key.cid not in larges])
        for key in few:
            if key.cid in larges:
                yield _large(content, key, pseudonyms[key.record])
            else:
                header, plain = envelope.open_(key.key, sealed[key.cid])
                yield JobRecord(pseudonyms[key.record], header.name, header.content_type, plain)


def _large(content: GatewayContent, key: Key, pseudonym: str) -> JobRecord:
    opened = Opened(key.key, content.open(key.cid))
    return JobRecord(pseudonym, opened.header.name, opened.header.content_type, Ranged(0, opened.size, opened.read_at))
