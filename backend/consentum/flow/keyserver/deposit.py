# SPDX-License-Identifier: Apache-2.0
"""Deposit at one key server (docs/protocol.md, D5): signature, enrolments, ids, binding; store; receipt."""

from __future__ import annotations

import hashlib
from typing import Any

from consentum.crypto import sealing, typed
from consentum.domain.journal import DEPOSIT_CONTEXT
from consentum.domain.parsing import hexed
from consentum.errors import CorruptError, MalformedError, NotFoundError, SignatureRefused
from consentum.flow.keyserver.server import KeyServer, asking_the_chain
from consentum.flow.wire import DepositRequest
from consentum.ports.chain import Claim, Roles, View
from consentum.ports.server_store import VaultRow

MAX_AHEAD_SECONDS = 3_600
# As long as a pending deposit may be retried: a server that was down for a day must still take it.
MAX_AGE_SECONDS = 7 * 86_400
SHARE_BYTES = 32


def accept(server: KeyServer, request: DepositRequest) -> dict[str, Any]:
    """Stores a batch and answers with a signed receipt; the same batch again gives a receipt again.

    RefusedError: BEHIND_ANCHOR or DRAINING, come back.
    MalformedError, SignatureRefused (deposit or an enrolment), CorruptError (shares sealed to another key or context),
    ConflictError (a record known from another batch), RefusedError (the chain cannot be asked). Nothing is stored then.
    """
    server.require_serving()
    deposit = request.deposit
    if not -MAX_AGE_SECONDS < deposit.signedAt - server.now() < MAX_AHEAD_SECONDS:
        raise MalformedError("signed more than a week ago or an hour ahead", field="signedAt")
    if server.custodians is not None and deposit.custodian.lower() not in server.custodians:
        raise NotFoundError("no such custodian", field="custodian")
    view = server.fresh_view()
    with asking_the_chain():
        index = server.ledger.committee(view.latest, deposit.committee).index_of(server.address)
        if index is None:
            raise NotFoundError("this server is not of that committee", field="committee")
        _signed(server, request, view)
        _enrolled(server, request, view)
    shares = _open_shares(server, request, index)
    rows = [VaultRow(record, share) for record, share in zip(request.records, shares, strict=True)]
    enrolments = {
        typed.struct_hash(e.enrol): (e.enrol.subject.lower(), e.enrol.custodian.lower()) for e in request.enrolments
    }
    server.store.add_deposit(deposit.recordsRoot, rows, enrolments)
    receipt = {
        "v": 1,
        "server": server.address.lower(),
        "committee": hexed(deposit.committee),
        "recordsRoot": hexed(deposit.recordsRoot),
        "count": deposit.count,
        "sealed": hexed(hashlib.sha256(request.sealed).digest()),
    }
    return {"receipt": receipt, "signature": hexed(server.sign(DEPOSIT_CONTEXT, receipt))}


def _signed(server: KeyServer, request: DepositRequest, view: View) -> None:
    digest = typed.digest(server.domain, request.deposit)
    claim = Claim(request.deposit.custodian, Roles.DEPOSIT, digest, request.signature)
    if not server.ledger.signed_by(view.latest, [claim])[0]:
        raise SignatureRefused("the deposit is not signed by its custodian", field="signature")


def _enrolled(server: KeyServer, request: DepositRequest, view: View) -> None:
    """Every subject let this custodian deposit, and has not withdrawn it: on chain, or by a notice held here."""
    enrolled = {}
    for enrolment in request.enrolments:
        if enrolment.enrol.custodian.lower() == request.deposit.custodian.lower():
            enrolled[enrolment.enrol.subject.lower()] = enrolment
    if any(record.subject.lower() not in enrolled for record in request.records):
        raise SignatureRefused("a record's subject has not enrolled with this custodian", field="enrolments")
    claims = [
        Claim(e.enrol.subject, Roles.CONSENT, typed.digest(server.domain, e.enrol), e.signature)
        for e in enrolled.values()
    ]
    if not all(server.ledger.signed_by(view.latest, claims)):
        raise SignatureRefused("an enrolment is not signed by its subject", field="enrolments")
    hashes = [(e.enrol.subject, typed.struct_hash(e.enrol)) for e in enrolled.values()]
    if any(standing.revoked_at for standing in server.ledger.standings(view.latest, hashes)):
        raise SignatureRefused("an enrolment was withdrawn", field="enrolments")
    held = server.store.notices(list(enrolled))
    withdrawn = {notice.commitment for notices in held.values() for notice in notices if notice.kind == "Revoke"}
    if withdrawn & {hashed for _, hashed in hashes}:
        raise SignatureRefused("an enrolment was withdrawn", field="enrolments")


def _open_shares(server: KeyServer, request: DepositRequest, index: int) -> list[bytes]:
    key = server.sealing_keys.get(request.epoch)
    if key is None:
        raise NotFoundError("this server has no key of that epoch", field="epoch")
    deposit = request.deposit
    info = sealing.deposit_info(
        deposit.committee, typed.address_bytes(server.address), index, deposit.recordsRoot, request.epoch
    )
    column = key.open(request.sealed, info)
    if len(column) != SHARE_BYTES * deposit.count:
        raise CorruptError("the sealed shares are not one per record", field="sealed")
    return [column[i : i + SHARE_BYTES] for i in range(0, len(column), SHARE_BYTES)]
