# SPDX-License-Identifier: Apache-2.0
"""Ending consent: revoke, stop, freeze; for oneself or, as a guardian, for somebody else. Works without the gateway."""

from __future__ import annotations

import time

from consentum.domain.messages import Freeze, Revoke, RevokeAll
from consentum.errors import ConsentumError, MalformedError
from consentum.flow.client import terms
from consentum.flow.client.notices import Told, tell
from consentum.flow.wire import Notice
from consentum.wiring.patient import SERVER_TIMEOUT_SECONDS, PatientHome

MAX_FREEZE_DAYS = 30
DAY_SECONDS = 86_400


def revoke(home: PatientHome, commitment: bytes, subject: str | None = None) -> Told:
    """Ends one consent, or withdraws one enrolment, by its hash, whether or not it is on chain yet."""
    return _send(home, Revoke(subject or home.connection.identity, commitment))


def stop(home: PatientHome, subject: str | None = None) -> Told:
    """Ends every consent signed until now."""
    return _send(home, RevokeAll(subject or home.connection.identity, _now(home)))


def freeze(home: PatientHome, days: int, subject: str | None = None) -> Told:
    """Stops every release for 1 to 30 days; it cannot be taken back."""
    if not 1 <= days <= MAX_FREEZE_DAYS:
        raise MalformedError(f"a freeze lasts 1 to {MAX_FREEZE_DAYS} days", field="days")
    # The chain allows 30 days from its own clock: a minute less, so that a clock a little ahead is no refusal.
    until = _now(home) + days * DAY_SECONDS - 60
    return _send(home, Freeze(subject or home.connection.identity, until))


def _send(home: PatientHome, message: Revoke | RevokeAll | Freeze) -> Told:
    connection = home.connection
    domain = connection.deployment.user_domain
    notice = Notice(message, terms.sign(domain, message, connection.key).signature)
    gateway = home.client(SERVER_TIMEOUT_SECONDS)
    return tell(
        connection.ledger, domain, notice, lambda body: gateway.post("/v1/revocations", body), home.key_servers()
    )


def _now(home: PatientHome) -> int:
    """The chain's clock; our own where no node answers, because ending must not wait for one."""
    try:
        return home.connection.ledger.view().latest.timestamp
    except ConsentumError:
        return int(time.time())
