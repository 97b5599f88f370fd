# SPDX-License-Identifier: Apache-2.0
"""Depositing a manifest so that it can be interrupted anywhere: no record twice, none forgotten.

A batch is written down, signed and sealed, before it is sent, and until every server's receipt was verified it is sent
again byte by byte. What was uploaded without a signed batch is noise nobody has a key to.

A record too large for memory is sealed into the spool. It is sent when its batch is written down, and the batch after
it, so that no server is told of a record that is not stored. A spooled file that no open batch names has no key left:
it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentum.domain.parsing import as_object, hexed
from consentum.errors import (
    ConsentumError,
    CorruptError,
    MalformedError,
    RefusedError,
    UnavailableError,
)
from consentum.flow.client.deposit import Batch, Custodian, sign_batch, verify_receipt
from consentum.flow.client.manifest import Entry
from consentum.flow.client.spooling import cids_of, sealed_entries, upload
from consentum.flow.wire import MAX_PAGE, DepositRequest, Enrolment
from consentum.ports.chain import Ledger
from consentum.ports.custody import CustodyBook, Filed, SignedBatch, taken
from consentum.ports.peers import Depository
from consentum.ports.spool import Spool

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
    spool: Spool
    depository: Depository
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


class _Shown:
    """How many bytes of so many are done, told to a progress bar; never back, never beyond."""

    def __init__(self, total: int, advance: Callable[[int], None]) -> None:
        self._total, self._advance, self.done = total, advance, 0

    def to(self, done: int) -> None:
        if self.done < (done := min(done, self._total)):
            self._advance(done - self.done)
            self.done = done

    def add(self, many: int) -> None:
        self.to(self.done + many)


def resume(filing: Filing, report: Report, advance: Callable[[int], None] = lambda _: None) -> None:
    """Sends again, unchanged, every batch that was not acknowledged. advance is told of bytes of large records."""
    filing.spool.sweep(cids_of(filing.book.open_batches()))
    for batch in filing.book.open_batches():
        report.count(_send(filing, batch, advance), len(batch.files))


def deposit(
    filing: Filing,
    custodian: Custodian,
    entries: Sequence[Entry],
    enrolments: Mapping[str, Enrolment],
    advance: Callable[[int], None],
) -> Report:
    """First what an earlier run left, then every entry that is neither deposited nor on its way. advance is told how
    many bytes are done. A file that changed since the manifest was read is refused (CHANGED)."""
    shown = _Shown(sum(entry.size for entry in entries), advance)
    done_before = {key for key, one in taken(filing.book.files()).items() if one.state == "deposited"}
    report = Report(already=sum(_key(entry) in done_before for entry in entries))
    shown.to(sum(entry.size for entry in entries if _key(entry) in done_before))
    resume(filing, report, shown.add)
    known = taken(filing.book.files())
    new = [entry for entry in entries if _key(entry) not in known]
    finished = sum(entry.size for entry in entries) - sum(entry.size for entry in new)
    shown.to(finished)
    done = 0
    for part in _parts(new, len(custodian.committee.members)):
        try:
            # One batch of large records at a time may wait: their sealed files lie on this disk until they are sent.
            _require_sent(filing)
            states = _file_part(filing, custodian, part, enrolments, shown.add)
        except ConsentumError as error:
            report.stopped, report.left = error.code, len(new) - done
            break
        for state, many in states:
            report.count(state, many)
        done += len(part)
        finished += sum(entry.size for entry in part)
        shown.to(finished)
    if not report.stopped:
        _finish(filing, report)
    return report


def _require_sent(filing: Filing) -> None:
    waiting = cids_of(filing.book.open_batches())
    if waiting & set(filing.spool.cids()):
        raise UnavailableError("a large record is not sent yet")


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
    """Batches small enough for one body, for memory and, but for one that is alone, for the spool."""
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
    filing: Filing,
    custodian: Custodian,
    part: Sequence[Entry],
    enrolments: Mapping[str, Enrolment],
    advance: Callable[[int], None] = lambda _: None,
) -> list[tuple[str, int]]:
    sealed = sealed_entries(custodian.depository, filing.spool, part, enrolments)
    changed = [("CHANGED", len(part) - len(sealed))] if len(sealed) < len(part) else []
    if not sealed:
        return changed
    hers = {entry.number: enrolments[entry.number] for entry in sealed}
    batch = sign_batch(custodian, list(sealed.values()), list(hers.values()), filing.now())
    files = tuple(_filed(entry, record.id) for entry, record in zip(sealed, batch.records, strict=True))
    kept = SignedBatch(batch.deposit.recordsRoot, batch.to_json(), files)
    filing.book.add_batch(kept)
    return [*changed, (_send(filing, kept, advance), len(files))]


def _filed(entry: Entry, record: bytes) -> Filed:
    return Filed(path=entry.name, digest=entry.digest, number=entry.number, categories=entry.categories, record=record)


def _send(filing: Filing, batch: SignedBatch, advance: Callable[[int], None] = lambda _: None) -> str:
    """deposited, pending, or the code it was refused with for good; written down in each case."""
    try:
        upload(filing.depository, filing.spool, batch, advance)
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
    for cid in cids_of([batch]):
        filing.spool.drop(cid)
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
