# SPDX-License-Identifier: Apache-2.0
"""Enrolments at the gateway: custodians leave a ticket per invite, patients hand enrolments in under one, custodians
fetch them and say whom they recognise.

Who has no code has no proof, and what comes without one is not kept: however many strangers send something, they are
in no patient's way. Who she is the gateway cannot tell: only a custodian's word counts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from consentum.crypto import typed
from consentum.domain.invites import MAX_VALID_DAYS, ticket_of
from consentum.domain.parsing import as_bytes, as_integer, as_list, as_object, hexed
from consentum.domain.records import Record
from consentum.errors import MalformedError, NotFoundError, Reason, RefusedError, SignatureRefused
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import Enrolment
from consentum.ports.chain import Claim, Roles
from consentum.ports.enrolments import SignedEnrol

# A letter that is read by several people is worth no more room than this.
MAX_UNDER_A_TICKET = 8
MAX_OPEN_TICKETS = 100_000
DAY_SECONDS = 86_400
PAGE = 500


def invite(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{custodian, tickets: [{ticket, expires}]}: from now on an enrolment can be handed in under each, until it
    expires; the same again changes nothing. From whoever may deposit for a custodian of this gateway; NotFoundError
    otherwise. MalformedError, RefusedError(LIMIT): then none is kept."""
    body = as_object(data, "request", "custodian", "tickets")
    custodian = hexed(as_bytes(body["custodian"], "custodian", 20))
    now = int(gateway.clock())
    expiries = dict(as_list(body["tickets"], "tickets", lambda item: _ticket(item, now)))
    if custodian not in gateway.sponsorship.custodians:
        raise NotFoundError("no such custodian", field="custodian")
    _require_depositor(gateway, custodian, who)
    if gateway.enrolments.open_tickets(custodian, now) + len(expiries) > MAX_OPEN_TICKETS:
        raise RefusedError(Reason.LIMIT, "too many invites are open")
    gateway.enrolments.add_tickets(custodian, expiries, now)
    return {"tickets": len(expiries)}


def _ticket(item: object, now: int) -> tuple[bytes, int]:
    body = as_object(item, "tickets", "ticket", "expires")
    expires = as_integer(body["expires"], "expires", 1 << 48)
    # A day more, for clocks that differ.
    if expires > now + (MAX_VALID_DAYS + 1) * DAY_SECONDS:
        raise MalformedError(f"an invite is valid for {MAX_VALID_DAYS} days at most", field="expires")
    return as_bytes(body["ticket"], "ticket", 32), expires


def enrol(gateway: Gateway, custodians: Collection[str], data: object) -> dict[str, Any]:
    """{enrol, signature, proof}: keeps it for its custodian; the same again changes nothing. NotFoundError(custodian)
    for one this gateway does not serve, NotFoundError(proof) if no invite of its is open under that proof,
    SignatureRefused if not signed by the subject or withdrawn, RefusedError(LIMIT) if the code was used very often."""
    body = as_object(data, "request", "enrol", "signature", "proof")
    given = Enrolment.parse({"enrol": body["enrol"], "signature": body["signature"]})
    message, identity = given.enrol, typed.struct_hash(given.enrol)
    if message.custodian.lower() not in {custodian.lower() for custodian in custodians}:
        raise NotFoundError("no such custodian at this gateway", field="custodian")
    kept = gateway.enrolments.find(identity)
    ticket = ticket_of(as_bytes(body["proof"], "proof", 32), message.custodian)
    # Before anything that costs: a stranger makes us ask the node nothing.
    if kept is None and not gateway.enrolments.is_open(ticket, int(gateway.clock())):
        raise NotFoundError("no open invite has that proof", field="proof")
    latest = gateway.ledger.view().latest
    digest = typed.digest(gateway.domain, message)
    if not gateway.ledger.signed_by(latest, [Claim(message.subject, Roles.CONSENT, digest, given.signature)])[0]:
        raise SignatureRefused("the enrolment is not signed by its subject", field="signature")
    if gateway.ledger.standings(latest, [(message.subject, identity)])[0].revoked_at:
        raise SignatureRefused("the enrolment was withdrawn", field="enrol")
    if kept is None:
        if gateway.enrolments.under(ticket) >= MAX_UNDER_A_TICKET:
            raise RefusedError(Reason.LIMIT, "too many enrolments came under this invite")
        kept = gateway.enrolments.add(SignedEnrol(message, given.signature, False), ticket)
    return {"enrolment": hexed(identity), "recognised": kept.recognised}


def of_custodian(gateway: Gateway, custodian: str, after: bytes, who: str) -> dict[str, Any]:
    """One page of a custodian's enrolments after a hash, for whoever may deposit for it; NotFoundError otherwise."""
    _require_depositor(gateway, custodian, who)
    found = gateway.enrolments.of_custodian(custodian, PAGE, after)
    rows = [
        {"enrol": typed.to_json(one.enrol), "signature": hexed(one.signature), "recognised": one.recognised}
        for one in found
    ]
    return {"enrolments": rows}


def recognise(gateway: Gateway, identity: bytes, who: str) -> dict[str, Any]:
    """A custodian's word that it knows the subject. NotFoundError if it is not there or not the caller's, or the
    operator took the custodian out of the settings."""
    found = gateway.enrolments.find(identity)
    if found is None or found.enrol.custodian.lower() not in gateway.sponsorship.custodians:
        raise NotFoundError("no such enrolment", field="enrolment")
    latest = gateway.ledger.view().latest
    if not gateway.ledger.may_act(latest, found.enrol.custodian, Roles.DEPOSIT, who):
        raise NotFoundError("no such enrolment", field="enrolment")
    gateway.enrolments.recognise(identity, found.enrol.custodian)
    return {"enrolment": hexed(identity), "recognised": True}


def _require_depositor(gateway: Gateway, custodian: str, who: str) -> None:
    typed.address_bytes(custodian)
    if not gateway.ledger.may_act(gateway.ledger.view().latest, custodian, Roles.DEPOSIT, who):
        raise NotFoundError("no such custodian", field="custodian")


def records_of(gateway: Gateway, subject: str, who: str) -> dict[str, Any]:
    """A subject's records, to herself and her `consent` delegates. NotFoundError for anybody else."""
    typed.address_bytes(subject)
    if not gateway.ledger.may_act(gateway.ledger.view().latest, subject, Roles.CONSENT, who):
        raise NotFoundError("no such subject", field="subject")
    return {"records": [_row(record, at) for record, at in gateway.store.records_of(subject)]}


def _row(record: Record, deposited: int) -> dict[str, Any]:
    return {
        "record": hexed(record.id),
        "custodian": record.custodian,
        "categories": record.categories,
        "cid": str(record.cid),
        "committee": hexed(record.committee),
        "deposited": deposited,
    }
