# SPDX-License-Identifier: Apache-2.0
"""What a custodian does: invite, take in who enrolled, deposit, retract and supersede."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consentum.crypto import typed
from consentum.domain.invites import MAX_VALID_DAYS, Invite
from consentum.domain.messages import Retract
from consentum.domain.parsing import MAX_ITEMS, as_object, hexed
from consentum.domain.terms import Category, words_of
from consentum.errors import ConflictError, ConsentumError, MalformedError, NotFoundError
from consentum.flow.client import custody, filing, retraction, terms
from consentum.flow.client.manifest import Entry, read_file, read_manifest
from consentum.flow.wire import Enrolment
from consentum.ports.custody import Filed, taken
from consentum.ports.enrolments import SignedEnrol
from consentum.wiring.custodian import CustodianHome

DAY_SECONDS = 86_400


def invite(home: CustodianHome, number: str, days: int) -> Invite:
    """A one-time code for a patient known by a number, valid for some days by the chain's clock. The gateway is left
    its ticket first; without an answer the code is not given out, and the next invite for the number replaces it."""
    if not 1 <= days <= MAX_VALID_DAYS:
        raise MalformedError(f"an invite is valid for 1 to {MAX_VALID_DAYS} days", field="days")
    connection = home.connection
    expires = connection.ledger.view().latest.timestamp + days * DAY_SECONDS
    made = custody.invite(home.book, number, connection.identity, connection.settings.gateway, expires)
    _leave_tickets(home, [made])
    return made


def _leave_tickets(home: CustodianHome, invites: Sequence[Invite]) -> None:
    for start in range(0, len(invites), MAX_ITEMS):
        tickets = custody.tickets(invites[start : start + MAX_ITEMS])
        home.connection.gateway.post("/v1/invites", {"custodian": home.connection.identity, "tickets": tickets})


@dataclass(frozen=True, slots=True)
class Taken:
    """What a look at the enrolments brought; told: how many the gateway was told of as recognised."""

    linked: int
    told: int
    turned: tuple[custody.Turned, ...]
    strangers: int


def take_in(home: CustodianHome) -> Taken:
    """Fetches who enrolled, links those under our codes, and tells the gateway whom we know. Each step is written down,
    so a run that is interrupted is finished by the next. The tickets of what is still open are left again: a gateway
    that was restored from an older copy has lost some."""
    connection = home.connection
    found = custody.take_in(
        connection.ledger, connection.deployment.user_domain, home.book, connection.identity, _enrolments(home)
    )
    told = 0
    for patient in home.book.patients():
        if not patient.enrolment.recognised:
            hashed = hexed(typed.struct_hash(patient.enrolment.enrol))
            connection.gateway.post(f"/v1/enrolments/{hashed}/recognise", {})
            home.book.recognised(patient.subject)
            told += 1
    _leave_tickets(home, custody.open_invites(home.book, connection.ledger.view().latest.timestamp))
    return Taken(found.linked, told, found.turned, found.strangers)


def _enrolments(home: CustodianHome) -> list[SignedEnrol]:
    """All pages. A row that is not an enrolment fails the whole: the gateway is not what it should be."""
    found: list[SignedEnrol] = []
    after = ""
    while True:
        page = home.connection.gateway.get("/v1/enrolments", custodian=home.connection.identity, after=after)
        rows = page.get("enrolments")
        if not isinstance(rows, list):
            raise MalformedError("enrolments is not a list", field="enrolments")
        if not rows:
            return found
        found += [_row(row) for row in rows]
        last = hexed(typed.struct_hash(found[-1].enrol))
        if last <= after:
            raise MalformedError("the gateway's pages do not go on", field="enrolments")
        after = last


def _row(row: object) -> SignedEnrol:
    body = as_object(row, "enrolments", "enrol", "signature", "recognised")
    one = Enrolment.parse({"enrol": body["enrol"], "signature": body["signature"]})
    return SignedEnrol(one.enrol, one.signature, body["recognised"] is True)


def check(home: CustodianHome, folder: Path, manifest: Path) -> list[Entry]:
    """The manifest, whole. ManifestError with every problem."""
    return read_manifest(manifest, folder, custody.enrolments_by_number(home.book))


def deposit(
    home: CustodianHome, committee: bytes, entries: list[Entry], advance: Callable[[int], None]
) -> filing.Report:
    """Deposits what is not deposited yet, after finishing what an earlier run left."""
    enrolments = custody.enrolments_by_number(home.book)
    return filing.deposit(home.filing(), home.depositor(committee), entries, enrolments, advance)


def records(home: CustodianHome) -> list[dict[str, Any]]:
    """Every file that this home ever put on its way, the oldest first, with its record's id and what became of it."""
    return [
        {
            "record": hexed(filed.record),
            "file": filed.path,
            "number": filed.number,
            "categories": words_of(Category(filed.categories)),
            "state": filed.state,
            "reason": filed.reason,
        }
        for filed in home.book.files()
    ]


def find_deposited(home: CustodianHome, *, record: bytes | None = None, path: str | None = None) -> Filed:
    """One deposited file by its record's id or by its name in the manifest. NotFoundError; ConflictError with the ids
    if several records have that name."""
    found = [f for f in home.book.files() if f.state == "deposited" and (f.record == record or f.path == path)]
    if not found:
        raise NotFoundError("no deposited record of that id or file in this home", field="record")
    if len(found) > 1:
        ids = ", ".join(hexed(f.record) for f in found)
        raise ConflictError(f"several records have that file name; name one of {ids}", field="file")
    return found[0]


def retract(home: CustodianHome, filed: Filed, successor: bytes = bytes(32)) -> dict[str, Any]:
    """Takes a record back: it is listed no more at once, and every key server destroys its share. Noted here only when
    the receipt of each was verified: until then the same command goes on. {record, servers, complete}."""
    connection = home.connection
    now = connection.ledger.view().latest.timestamp
    message = Retract(connection.identity, filed.record, successor, now)
    signed = terms.sign(connection.deployment.user_domain, message, connection.key)
    body = {"retract": typed.to_json(message), "signature": hexed(signed.signature)}
    servers = retraction.standing(connection.ledger, message, connection.gateway.post("/v1/retractions", body))
    complete = retraction.complete(servers)
    if complete:
        home.book.end(filed.record, "superseded" if any(successor) else "retracted")
    return {"record": hexed(filed.record), "servers": servers, "complete": complete}


def supersede(home: CustodianHome, filed: Filed, new_file: Path, committee: bytes) -> dict[str, Any]:
    """Deposits a new file for the same patient and categories, then retracts the old record in its favour. Interrupted,
    the same command goes on where it stopped."""
    entry = read_file(new_file, filed.number, filed.categories)
    if entry.digest == filed.digest:
        raise ConflictError("the new file is the old one", field="file")
    report = deposit(home, committee, [entry], lambda _: None)
    known = taken(home.book.files()).get((entry.digest, entry.number, entry.categories))
    if known is None or known.state != "deposited":
        code = report.stopped or next(iter(report.refused), "pending")
        raise ConsentumError(f"the new record is not deposited ({code}); the old one stays. Run the command again")
    answer = retract(home, filed, known.record)
    return {**answer, "successor": hexed(known.record)}
