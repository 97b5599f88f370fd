# SPDX-License-Identifier: Apache-2.0
"""Depositing a manifest so that it can be interrupted anywhere: no record twice, none forgotten.

A batch is written down, signed and sealed, before it is sent, and until every server's receipt was verified it is sent
again byte by byte. What was uploaded without a signed batch is noise nobody has a key to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentum.crypto.envelope import Header
from consentum.domain.parsing import as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError, RefusedError, UnavailableError
from consentum.flow.client.deposit import Batch, Custodian, Document, prepare, verify_receipt
from consentum.flow.client.manifest import MAX_RECORD_BYTES, Entry
from consentum.flow.wire import MAX_PAGE, DepositRequest, Enrolment
from consentum.ports.chain import Ledger
from consentum.ports.custody import CustodyBook, Filed, SignedBatch, taken

# The gateway takes a batch as one body of at most 16 MiB; a record is about this long in one server's part.
BATCH_BODY_BYTES = 12 * 1024 * 1024
RECORD_BODY_BYTES = 1_200
BATCH_CONTENT_BYTES = 64 * 1024 * 1024
# After these the same bytes would be refused again: the batch ends, its files may be deposited anew.
_FINAL = frozenset({"MALFORMED", "SIGNATURE", "CORRUPT", "CONFLICT", "NOT_FOUND", "TOO_LARGE"})
Send = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """What depositing needs. send gives a batch to the gateway; now gives UTC seconds."""

    ledger: Ledger
    book: CustodyBook
    send: Send
    now: Callable[[], int]


@dataclass(slots=True)
class Report:
    """What became of every line. stopped: the code of what ended the run early; left: lines not tried."""

    deposited: int = 0
    already: int = 0
    pending: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    left: int = 0
    stopped: str = ""

    @property
    def complete(self) -> bool:
        return not (self.pending or self.refused or self.left)

    def count(self, state: str, many: int) -> None:
        """state: deposited, pending, or the code of a refusal."""
        if state == "deposited":
            self.deposited += many
        elif state == "pending":
            self.pending += many
        else:
            self.refused[state] = self.refused.get(state, 0) + many


def resume(filing: Filing, report: Report) -> None:
    """Sends again, unchanged, every batch that was not acknowledged."""
    for batch in filing.book.open_batches():
        report.count(_send(filing, batch), len(batch.files))


def deposit(
    filing: Filing,
    custodian: Custodian,
    entries: Sequence[Entry],
    enrolments: Mapping[str, Enrolment],
    advance: Callable[[int], None],
) -> Report:
    """First what an earlier run left, then every entry that is neither deposited nor on its way. advance is told how
    many lines are done. A file that changed since the manifest was read is refused (CHANGED)."""
    done_before = {key for key, one in taken(filing.book.files()).items() if one.state == "deposited"}
    report = Report(already=sum(_key(entry) in done_before for entry in entries))
    resume(filing, report)
    known = taken(filing.book.files())
    new = [entry for entry in entries if _key(entry) not in known]
    advance(len(entries) - len(new))
    done = 0
    for part in _parts(new, len(custodian.committee.members)):
        try:
            states = _file_part(filing, custodian, part, enrolments)
        except ConsentumError as error:
            report.stopped, report.left = error.code, len(new) - done
            break
        for state, many in states:
            report.count(state, many)
        done += len(part)
        advance(len(part))
    if not report.stopped:
        _finish(filing, report)
    return report


def _finish(filing: Filing, report: Report) -> None:
    """Once more for what is pending: a server may only have been slow."""
    for batch in filing.book.open_batches():
        state = _send(filing, batch)
        if state != "pending":
            report.pending -= len(batch.files)
            report.count(state, len(batch.files))


def _key(entry: Entry) -> tuple[bytes, str, int]:
    return entry.digest, entry.number, entry.categories


def _parts(entries: Sequence[Entry], servers: int) -> Iterator[list[Entry]]:
    """Batches small enough for one body and for memory."""
    most = max(1, min(MAX_PAGE, BATCH_BODY_BYTES // (RECORD_BODY_BYTES * servers)))
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and (len(part) == most or size + entry.size > BATCH_CONTENT_BYTES):
            yield part
            part, size = [], 0
        part.append(entry)
        size += entry.size
    if part:
        yield part


def _file_part(
    filing: Filing, custodian: Custodian, part: Sequence[Entry], enrolments: Mapping[str, Enrolment]
) -> list[tuple[str, int]]:
    read = [(entry, content) for entry in part if (content := _content(entry)) is not None]
    changed = [("CHANGED", len(part) - len(read))] if len(read) < len(part) else []
    if not read:
        return changed
    documents = [_document(entry, content, enrolments[entry.number]) for entry, content in read]
    hers = {entry.number: enrolments[entry.number] for entry, _ in read}
    batch = prepare(custodian, documents, list(hers.values()), filing.now())
    files = tuple(_filed(entry, record.id) for (entry, _), record in zip(read, batch.records, strict=True))
    kept = SignedBatch(batch.deposit.recordsRoot, batch.to_json(), files)
    filing.book.add_batch(kept)
    return [*changed, (_send(filing, kept), len(files))]


def _content(entry: Entry) -> bytes | None:
    """The file as the manifest was checked against it; None if it is another by now."""
    try:
        if entry.path.stat().st_size > MAX_RECORD_BYTES:
            return None
        content = entry.path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == entry.digest else None


def _document(entry: Entry, content: bytes, enrolment: Enrolment) -> Document:
    header = Header(entry.path.name, entry.media_type)
    return Document(enrolment.enrol.subject, entry.categories, header, content)


def _filed(entry: Entry, record: bytes) -> Filed:
    return Filed(path=entry.name, digest=entry.digest, number=entry.number, categories=entry.categories, record=record)


def _send(filing: Filing, batch: SignedBatch) -> str:
    """deposited, pending, or the code it was refused with for good; written down in each case."""
    try:
        answer = filing.send(batch.body)
    except ConsentumError as error:
        if error.code not in _FINAL or isinstance(error, UnavailableError | RefusedError):
            return "pending"
        return _refused(filing, batch, error)
    try:
        if not _acknowledged(filing, batch, answer):
            return "pending"
    except CorruptError as error:
        return _refused(filing, batch, error)
    except ConsentumError:
        return "pending"  # an answer that is none: whether they have it, the next try will show
    filing.book.settle(batch.root)
    return "deposited"


def _refused(filing: Filing, batch: SignedBatch, error: ConsentumError) -> str:
    reason = f"{error.code} ({error.field})" if error.field else error.code
    filing.book.settle(batch.root, reason)
    return reason


def _acknowledged(filing: Filing, batch: SignedBatch, answer: Mapping[str, Any]) -> bool:
    """Whether every server's own receipt is there; the gateway's word for it is not enough. CorruptError for a receipt
    about something else."""
    body = as_object(answer, "answer", "recordsRoot", "acknowledged", "receipts", "waiting")
    receipts = body["receipts"]
    if body["recordsRoot"] != hexed(batch.root) or not isinstance(receipts, Mapping):
        raise UnavailableError("the gateway answers about another deposit")
    requests = {server: DepositRequest.parse(part) for server, part in batch.body["requests"].items()}
    first = next(iter(requests.values()))
    signed = Batch(first.deposit, first.records, tuple(requests.items()))
    latest = filing.ledger.view().latest
    for server, receipt in receipts.items():
        if server not in requests:
            raise UnavailableError("the gateway answers for a server that was not asked")
        try:
            verify_receipt(signed, server, filing.ledger.server_keys(latest, server).checkpoint_key, receipt)
        except MalformedError:
            raise CorruptError("a receipt is not of the right form", field="receipt") from None
    return set(receipts) == set(requests)
