# SPDX-License-Identifier: Apache-2.0
"""Which of a manifest's files go through memory and which through the spool, and how the latter are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, cast

from consentum.crypto.envelope import Header
from consentum.domain.cid import Cid
from consentum.domain.records import LARGE_BYTES
from consentum.errors import ConflictError, MalformedError, UnavailableError
from consentum.flow.client.deposit import Document, Sealed, seal_all, seal_file
from consentum.flow.client.manifest import Entry, Hashing
from consentum.flow.wire import Enrolment
from consentum.ports.custody import SignedBatch
from consentum.ports.peers import Depository
from consentum.ports.spool import Spool


def sealed_entries(
    depository: Depository, spool: Spool, part: Sequence[Entry], enrolments: Mapping[str, Enrolment]
) -> dict[Entry, Sealed]:
    """Those that are still what they were, encrypted: large ones into the spool, the others into the store."""
    small = [(e, content) for e in part if e.size <= LARGE_BYTES and (content := _content(e)) is not None]
    documents = [_document(entry, content, enrolments[entry.number]) for entry, content in small]
    found = dict(zip([entry for entry, _ in small], seal_all(depository, documents), strict=True))
    for entry in part:
        if entry.size > LARGE_BYTES and (one := _spooled(spool, entry, enrolments[entry.number])) is not None:
            found[entry] = one
    return found


def _spooled(spool: Spool, entry: Entry, enrolment: Enrolment) -> Sealed | None:
    """The file sealed into the spool, as the manifest was checked against it; None if it is another by now."""
    try:
        file = entry.path.open("rb")
    except OSError:
        return None
    with file:
        source = Hashing(file)
        try:
            sealed = seal_file(spool, _document(entry, b"", enrolment), cast("BinaryIO", source))
        except MalformedError:
            return None  # it has grown beyond any record, or cannot be read any longer
    if source.digest() == entry.digest:
        return sealed
    spool.drop(sealed.cid)
    return None


def _content(entry: Entry) -> bytes | None:
    """The file as the manifest was checked against it; None if it is another by now."""
    try:
        if entry.path.stat().st_size > LARGE_BYTES:
            return None
        content = entry.path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).digest() == entry.digest else None


def _document(entry: Entry, content: bytes, enrolment: Enrolment) -> Document:
    header = Header(entry.path.name, entry.media_type)
    return Document(enrolment.enrol.subject, entry.categories, header, content)


def upload(depository: Depository, spool: Spool, batch: SignedBatch, advance: Callable[[int], None]) -> None:
    """D2 of what is in the spool. Once the gateway has stored a record its file here is needed no longer."""
    for cid in sorted(cids_of([batch]) & set(spool.cids())):
        with spool.open(cid) as source:
            try:
                depository.put_file(cid, source, advance)
            except ConflictError:
                raise UnavailableError("another run is sending this record") from None
        spool.drop(cid)


def cids_of(batches: Sequence[SignedBatch]) -> set[Cid]:
    """The CIDs of batches; only those of large records are ever in the spool."""
    found = set()
    for batch in batches:
        first = next(iter(batch.body["requests"].values()))
        found |= {Cid.parse(record["cid"]) for record in first["records"]}
    return found
