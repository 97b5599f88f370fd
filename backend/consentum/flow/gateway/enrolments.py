# SPDX-License-Identifier: Apache-2.0
"""Enrolments at the gateway: patients hand them in, custodians fetch them and say whom they recognise.

The gateway cannot tell a patient from a stranger, so anybody may hand one in, and only a custodian's word counts.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.domain.records import Record
from consentum.errors import NotFoundError, Reason, RefusedError, SignatureRefused
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import Enrolment
from consentum.ports.chain import Claim, Roles
from consentum.ports.enrolments import SignedEnrol

# Anybody may hand in enrolments; these wait until their custodian looks.
MAX_UNRECOGNISED = 1_000
PAGE = 500


def enrol(gateway: Gateway, custodians: Collection[str], data: object) -> dict[str, Any]:
    """{enrol, signature}: keeps it for its custodian; the same again changes nothing. NotFoundError for a custodian
    this gateway does not serve, SignatureRefused if not signed by the subject or withdrawn, RefusedError(LIMIT)."""
    given = Enrolment.parse(data)
    message, identity = given.enrol, typed.struct_hash(given.enrol)
    if message.custodian.lower() not in {custodian.lower() for custodian in custodians}:
        raise NotFoundError("no such custodian at this gateway", field="custodian")
    latest = gateway.ledger.view().latest
    digest = typed.digest(gateway.domain, message)
    if not gateway.ledger.signed_by(latest, [Claim(message.subject, Roles.CONSENT, digest, given.signature)])[0]:
        raise SignatureRefused("the enrolment is not signed by its subject", field="signature")
    if gateway.ledger.standings(latest, [(message.subject, identity)])[0].revoked_at:
        raise SignatureRefused("the enrolment was withdrawn", field="enrol")
    kept = gateway.enrolments.find(identity)
    if kept is None:
        if gateway.enrolments.waiting(message.custodian) >= MAX_UNRECOGNISED:
            raise RefusedError(Reason.LIMIT, "too many enrolments wait for this custodian")
        kept = gateway.enrolments.add(SignedEnrol(message, given.signature, False))
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
