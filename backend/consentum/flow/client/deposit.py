# SPDX-License-Identifier: Apache-2.0
"""Deposit, the custodian's side (docs/protocol.md, D1 to D4): encrypt, store, split, seal, sign."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from eth_utils.crypto import keccak

from consentum.crypto import envelope, merkle, sealing, sharing, typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.cid import Cid
from consentum.domain.journal import DEPOSIT_CONTEXT
from consentum.domain.messages import Deposit
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.domain.records import Record
from consentum.errors import CorruptError, MalformedError, UnavailableError
from consentum.flow.client.receipts import verify_signature
from consentum.flow.wire import MAX_PAGE, DepositRequest, Enrolment
from consentum.ports.chain import Block, Committee, Ledger
from consentum.ports.peers import Depository, KeyServerPeer
from consentum.ports.spool import Spool


@dataclass(frozen=True, slots=True)
class Document:
    """One record in the clear: whose, of which categories, and its content with name and type."""

    subject: str
    categories: int
    header: envelope.Header
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SealingTarget:
    """One member of a committee and the sealing key it announced."""

    server: str
    epoch: int
    public: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """A signed deposit: one request per server, in the committee's order."""

    deposit: Deposit
    records: tuple[Record, ...]
    requests: tuple[tuple[str, DepositRequest], ...]

    def to_json(self) -> dict[str, Any]:
        return {"requests": {server.lower(): request.to_json() for server, request in self.requests}}


def verify_receipt(batch: Batch, server: str, checkpoint_key: bytes, signed: Mapping[str, Any]) -> None:
    """D5: that this server holds this batch with the shares that were meant for it. CorruptError otherwise: then
    somebody else's shares came first, and the batch must be deposited anew."""
    body = as_object(signed, "receipt", "receipt", "signature")
    receipt = body["receipt"]
    verify_signature(checkpoint_key, DEPOSIT_CONTEXT, receipt, as_bytes(body["signature"], "signature", 64))
    request = next(request for name, request in batch.requests if name.lower() == server.lower())
    about = {
        "server": server.lower(),
        "recordsRoot": hexed(batch.deposit.recordsRoot),
        "count": batch.deposit.count,
        "sealed": hexed(hashlib.sha256(request.sealed).digest()),
    }
    if any(receipt.get(name) != value for name, value in about.items()):
        raise CorruptError("a receipt is about another deposit", field="receipt")


def sealing_targets(
    ledger: Ledger, block: Block, committee: Committee, peers: Sequence[KeyServerPeer]
) -> list[SealingTarget]:
    """Each member's sealing key, from the server, checked against the hash it wrote on chain.

    CorruptError if a server offers another key than the chain knows: somebody is in between.
    """
    by_address = {peer.address.lower(): peer for peer in peers}
    targets = []
    for member in committee.members:
        known = ledger.server_keys(block, member)
        if member.lower() not in by_address:
            raise UnavailableError(f"nobody answers for key server {member}")
        about = by_address[member.lower()].about()
        public = as_bytes(about.get("sealingKey"), "sealingKey", sealing.PUBLIC_BYTES)
        if about.get("epoch") != known.epoch or keccak(public) != known.sealing_key_hash:
            raise CorruptError(f"{member} offers a sealing key that the chain does not know", field="sealingKey")
        targets.append(SealingTarget(member, known.epoch, public))
    return targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodian:
    """Who deposits, where to, for which committee."""

    domain: Domain
    address: str
    signer: Signer
    committee_id: bytes
    committee: Committee
    targets: Sequence[SealingTarget]
    depository: Depository


@dataclass(frozen=True, slots=True)
class Sealed:
    """One record encrypted and named, its key still here. Nobody else has the key until a batch is signed."""

    subject: str
    categories: int
    key: bytes = field(repr=False)
    cid: Cid


def prepare(custodian: Custodian, documents: Sequence[Document], enrolments: Sequence[Enrolment], now: int) -> Batch:
    """D1 to D4 for at most 1,000 documents in memory. The contents are stored when this returns; no server knows a
    share yet."""
    _require_page(documents)
    return sign_batch(custodian, seal_all(custodian.depository, documents), enrolments, now)


def seal_all(depository: Depository, documents: Sequence[Document]) -> list[Sealed]:
    """D1 and D2: each encrypted under a fresh key, stored and pinned."""
    keys = [envelope.new_key() for _ in documents]
    sealed = [envelope.seal(key, d.header, d.content) for key, d in zip(keys, documents, strict=True)]
    cids = depository.put_all(sealed) if sealed else []
    return [Sealed(d.subject, d.categories, k, cid) for d, k, cid in zip(documents, keys, cids, strict=True)]


def seal_file(spool: Spool, about: Document, source: BinaryIO) -> Sealed:
    """D1 for a record that does not fit into memory: `about` is it without its content, which is read from `source`
    and lies sealed in the spool when this returns. D2 comes after D4, from there: nobody waits for gigabytes to travel
    with a key in memory."""
    key = envelope.new_key()
    cid = spool.fill(lambda sink: envelope.seal_stream(key, about.header, source, sink))
    return Sealed(about.subject, about.categories, key, cid)


def sign_batch(custodian: Custodian, sealed: Sequence[Sealed], enrolments: Sequence[Enrolment], now: int) -> Batch:
    """D3 and D4 for at most 1,000 sealed records."""
    _require_page(sealed)
    records = tuple(
        Record(
            custodian.address.lower(),
            one.subject.lower(),
            one.categories,
            one.cid,
            envelope.key_commitment(one.key),
            custodian.committee_id,
            secrets.token_bytes(32),
        )
        for one in sealed
    )
    root = merkle.root_of([record.id for record in records])
    # D3 split every key, seal each server's column in one message
    joined = b"".join(one.key for one in sealed)
    columns = sharing.split(joined, custodian.committee.threshold, len(custodian.committee.members))
    # D4 sign one deposit for the batch
    deposit = Deposit(custodian.address.lower(), custodian.committee_id, root, len(records), now)
    signature = custodian.signer.sign(typed.digest(custodian.domain, deposit))
    requests = []
    for index, (target, column) in enumerate(zip(custodian.targets, columns, strict=True), start=1):
        server = typed.address_bytes(target.server)
        info = sealing.deposit_info(custodian.committee_id, server, index, root, target.epoch)
        message = sealing.seal(column, target.public, info)
        request = DepositRequest(deposit, signature, records, tuple(enrolments), target.epoch, message)
        requests.append((target.server, request))
    return Batch(deposit, records, tuple(requests))


def _require_page(documents: Sequence[object]) -> None:
    if not 1 <= len(documents) <= MAX_PAGE:
        raise MalformedError("a batch has 1 to 1,000 documents", field="documents")
