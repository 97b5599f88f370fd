# SPDX-License-Identifier: Apache-2.0
"""Forward: a runner's sealed requests to the key servers, with the openings attached; a custodian's deposits likewise,
kept and retried until every server has acknowledged them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from consentum.crypto import typed
from consentum.domain.journal import DEPOSIT_CONTEXT
from consentum.domain.messages import Consent
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError, NotFoundError, SignatureRefused
from consentum.flow.client.receipts import verify_signature
from consentum.flow.gateway.cohort import choose
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import DepositRequest, ReleaseRequest
from consentum.ports.chain import Claim, Roles
from consentum.ports.enrolments import SignedEnrol
from consentum.ports.gateway_store import PendingDeposit

log = logging.getLogger("consentum.gateway")
MAX_COMMITTEE = 255
# What a custodian waits for its receipts; after that the batch is pending, and the servers are still being asked.
DEPOSIT_WAIT_SECONDS = 5.0


def release(gateway: Gateway, data: object, who: str) -> Mapping[str, Any]:
    """{server, request}: one page to one server. Openings are hints; the server believes only the chain and its vault.
    NotFoundError for anybody but the job's runner."""
    body = as_object(data, "request", "server", "request")
    plain = as_object(body["request"], "request", *(key for key in ReleaseRequest.KEYS if key != "openings"))
    nothing = [None] * len(plain["records"]) if isinstance(plain["records"], list) else []
    request = ReleaseRequest.parse({**plain, "openings": nothing})
    if who != request.job.runner:
        raise NotFoundError("no such job", field="job")
    digest = typed.digest(gateway.domain, request.release)
    openings = gateway.remembered(digest, lambda: _openings(gateway, request))
    hints = [None if opening is None else typed.to_json(opening) for opening in openings]
    return gateway.peer(str(body["server"])).release({**plain, "openings": hints})


def _openings(gateway: Gateway, request: ReleaseRequest) -> tuple[Consent | None, ...]:
    known = gateway.store.records_by_id(request.ids)
    chosen = choose(gateway, request.job, list(known.values()))
    by_id = {candidate.record.id: candidate.opening for candidate in chosen}
    return tuple(by_id.get(identity) for identity in request.ids)


def deposit(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{requests: {server: DepositRequest}}: keeps the batch, sends each server its part. Acknowledged when all have
    answered; until then it stays pending and is retried. NotFoundError unless a custodian of the settings (or whoever
    may deposit for it) asks; what a server refuses for good is raised, and the batch is dropped."""
    body = as_object(data, "request", "requests")
    requests = body["requests"]
    if not isinstance(requests, Mapping) or not 2 <= len(requests) <= MAX_COMMITTEE:
        raise MalformedError("one request per server", field="requests")
    parsed = {str(server).lower(): DepositRequest.parse(request) for server, request in requests.items()}
    first = next(iter(parsed.values()))
    if any((p.deposit, p.records) != (first.deposit, first.records) for p in parsed.values()):
        raise MalformedError("the servers' parts are not of one deposit", field="requests")
    _check(gateway, first, set(parsed), who)
    pending = PendingDeposit(
        first.deposit.recordsRoot,
        first.deposit.custodian,
        first.records,
        {server: request.to_json() for server, request in parsed.items()},
        {},
    )
    kept = gateway.store.add_deposit(pending)
    if kept.acknowledged:  # a crash may have come between the last receipt and this
        _recognise(gateway, kept, first)
    return _state(push(gateway, kept))


def _check(gateway: Gateway, request: DepositRequest, servers: set[str], who: str) -> None:
    """Before anything is kept: who asks, who signed, and one part for each member of the committee."""
    block, named = gateway.ledger.view().latest, request.deposit
    known = named.custodian.lower() in gateway.sponsorship.custodians
    if not known or not gateway.ledger.may_act(block, named.custodian, Roles.DEPOSIT, who):
        raise NotFoundError("no such custodian", field="custodian")
    digest = typed.digest(gateway.domain, named)
    if not gateway.ledger.signed_by(block, [Claim(named.custodian, Roles.DEPOSIT, digest, request.signature)])[0]:
        raise SignatureRefused("the deposit is not signed by its custodian", field="signature")
    members = {member.lower() for member in gateway.ledger.committee(block, named.committee).members}
    if servers != members:
        raise MalformedError("one part for each member of the committee, and no other", field="requests")


def _acknowledged(gateway: Gateway, pending: PendingDeposit, server: str) -> Mapping[str, Any]:
    """A server's receipt, signed with the key it wrote on chain, about this deposit. CorruptError otherwise."""
    answer = as_object(gateway.peer(server).deposit(pending.requests[server]), "receipt", "receipt", "signature")
    key = gateway.ledger.server_keys(gateway.ledger.view().latest, server).checkpoint_key
    if not isinstance(answer["receipt"], Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    verify_signature(key, DEPOSIT_CONTEXT, answer["receipt"], as_bytes(answer["signature"], "signature", 64))
    about = (answer["receipt"].get("server"), answer["receipt"].get("recordsRoot"))
    if about != (server, hexed(pending.records_root)):
        raise CorruptError("a receipt is about another deposit", field="receipt")
    return answer


def push(gateway: Gateway, pending: PendingDeposit) -> PendingDeposit:
    """Sends a pending deposit to every server that has not acknowledged it, and waits some seconds for the answers. A
    receipt that comes later is noted when it comes."""
    waiting = [server for server in pending.requests if server not in pending.receipts]
    if not waiting:
        return pending
    root = pending.records_root
    tasks = {server: partial(_send, gateway, pending, server) for server in waiting}
    answers = gateway.hedge.ask(tasks, DEPOSIT_WAIT_SECONDS)
    for server, error in answers.errors.items():
        log.warning("a key server did not take a deposit: %s", error.code)
        if error.code in _FINAL and error.field != "receipt" and server in waiting:
            gateway.store.drop_deposit(root)
            raise error
    return gateway.store.deposit(root)


def _send(gateway: Gateway, pending: PendingDeposit, server: str) -> PendingDeposit:
    """One server's part. Its receipt is kept; with the last one the subjects of the batch are recognised: the custodian
    knows them, or it would not deposit. Requests are dropped with the last receipt, so this comes first."""
    receipt = _acknowledged(gateway, pending, server)
    request = DepositRequest.parse(pending.requests[server])
    with gateway.settling:
        if set(gateway.store.deposit(pending.records_root).receipts) | {server} == set(pending.requests):
            _recognise(gateway, pending, request)
        kept = gateway.store.add_receipt(pending.records_root, server, receipt)
    if kept.acknowledged:  # another worker's receipt may have come between
        _recognise(gateway, pending, request)
    return kept


def _recognise(gateway: Gateway, pending: PendingDeposit, request: DepositRequest) -> None:
    subjects = {record.subject.lower() for record in pending.records}
    for one in request.enrolments:
        if one.enrol.custodian.lower() == pending.custodian.lower() and one.enrol.subject.lower() in subjects:
            gateway.enrolments.add(SignedEnrol(one.enrol, one.signature, recognised=True))


_FINAL = {"MALFORMED", "SIGNATURE", "CORRUPT", "CONFLICT"}


def retry_deposits(gateway: Gateway) -> None:
    """Another try for everything pending."""
    for pending in gateway.store.pending_deposits():
        try:
            push(gateway, pending)
        except ConsentumError as error:
            log.warning("a pending deposit is refused: %s", error.code)


def _state(deposit_: PendingDeposit) -> dict[str, Any]:
    return {
        "recordsRoot": hexed(deposit_.records_root),
        "acknowledged": deposit_.acknowledged,
        "receipts": dict(deposit_.receipts),
        "waiting": [server for server in deposit_.requests if server not in deposit_.receipts],
    }
