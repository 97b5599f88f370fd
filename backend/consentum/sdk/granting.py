# SPDX-License-Identifier: Apache-2.0
"""Giving consent, and seeing what was given: every standing is read from the chain, not believed."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.domain.messages import Consent
from consentum.domain.parsing import as_bytes, as_list, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError, NotFoundError, RefusedError, UnavailableError
from consentum.flow.client import terms
from consentum.ports.chain import Standing
from consentum.ports.home import Kept
from consentum.wiring.patient import PatientHome

KIND = "consent"
MAX_CONSENTS = 100_000
_NAME = re.compile(r"[a-z][a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a consent is for: 32 bytes, and what the gateway tells about it, which is for reading only."""

    id: bytes
    title: str
    summary: str
    forms: tuple[bytes, ...] = ()


def find_scope(home: PatientHome, text: str) -> Scope:
    """A study's name or id, a board's id, or an address. NotFoundError for a name the gateway does not know; an id it
    does not know is taken as it is."""
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        return Scope(bytes(12) + typed.address_bytes(text), "one person or assistant, by address", text.lower())
    known = re.fullmatch(r"0x[0-9a-fA-F]{64}", text) is not None
    if not known and not _NAME.fullmatch(text):
        raise MalformedError("a study's name or id, a board's id, or an address", field="study")
    try:
        card = home.client().get(f"/v1/studies/{text}")
    except NotFoundError:
        if not known:
            raise NotFoundError("the gateway knows no study of that name", field="study") from None
        return Scope(bytes.fromhex(text[2:]), "a board, or a study this gateway does not describe", text.lower())
    identity = as_bytes(card.get("study"), "study", 32)
    if known and identity != bytes.fromhex(text[2:]):
        raise CorruptError("the gateway answers about another study", field="study")
    forms = tuple(as_bytes(form, "forms", 32) for form in card.get("forms", []))
    return Scope(identity, str(card.get("title", ""))[:200], str(card.get("summary", ""))[:2_000], forms)


def form_text(home: PatientHome, form: bytes) -> str:
    """The exact text behind a hash. CorruptError if the gateway gives another."""
    text = home.client().get(f"/v1/forms/{hexed(form)}").get("text")
    if not isinstance(text, str) or keccak(text.encode()) != form:
        raise CorruptError("the gateway's text is not the form of that hash", field="form")
    return text


def prepare(home: PatientHome, choice: terms.Choice) -> Consent:
    """The consent to show and to sign, dated by the chain's clock. MalformedError if it would never count."""
    now = home.connection.ledger.view().latest.timestamp
    if choice.expires <= now:
        raise MalformedError("the consent would end before it begins", field="until")
    return terms.consent(choice, home.connection.ledger.policy, home.connection.identity, now, int(time.time()))


def grant(home: PatientHome, consent: Consent) -> dict[str, Any]:
    """Signs and sends; kept before it is sent. What was refused is forgotten; if no answer came, it may have arrived:
    it stays in the book and can be revoked. {commitment, state}."""
    connection = home.connection
    signed = terms.sign(connection.deployment.user_domain, consent, connection.key)
    body = {"consent": typed.to_json(consent), "signature": hexed(signed.signature)}
    home.book.keep(Kept(KIND, signed.hash, body))
    try:
        answer = home.client().post("/v1/consents", body)
    except (UnavailableError, RefusedError):
        raise
    except ConsentumError:
        home.book.drop(KIND, signed.hash)
        raise
    home.book.arrived(KIND, signed.hash)
    return {"commitment": hexed(signed.hash), "state": str(answer.get("state", ""))}


@dataclass(frozen=True, slots=True)
class Given:
    """A consent of hers and how it stands on chain now. sent: the gateway has answered for it."""

    commitment: bytes
    consent: Consent
    standing: Standing
    state: str
    sent: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "commitment": hexed(self.commitment),
            "consent": typed.to_json(self.consent),
            "state": self.state,
            "grantedAt": self.standing.granted_at,
            "revokedAt": self.standing.revoked_at,
            "sent": self.sent,
        }


def consents(home: PatientHome) -> tuple[list[Given], bool]:
    """All of hers that home or gateway know, the oldest first; and whether the gateway answered."""
    mine = home.connection.identity
    found = {kept.id: (typed.from_json(Consent, kept.body["consent"]), kept.arrived) for kept in home.book.all(KIND)}
    try:
        told, answered = _told(home), True
    except (UnavailableError, RefusedError):
        told, answered = [], False
    for consent in told:
        if consent.subject == mine:
            found[typed.struct_hash(consent)] = (consent, True)
    latest = home.connection.ledger.view().latest
    pairs = [(mine, commitment) for commitment in found]
    standings = home.connection.ledger.standings(latest, pairs) if pairs else []
    given = [
        Given(commitment, consent, standing, _state(consent, standing, latest.timestamp), sent)
        for (commitment, (consent, sent)), standing in zip(found.items(), standings, strict=True)
    ]
    return sorted(given, key=lambda one: one.consent.signedAt), answered


def _told(home: PatientHome) -> Sequence[Consent]:
    rows = home.connection.gateway.get("/v1/consents", subject=home.connection.identity)["consents"]
    if rows == []:
        return []
    return as_list(rows, "consents", _consent, MAX_CONSENTS)


def _consent(row: object) -> Consent:
    return typed.from_json(Consent, as_object(row, "consents", "consent", "commitment", "standing")["consent"])


def _state(consent: Consent, standing: Standing, now: int) -> str:
    """One word, in the order in which the policy looks."""
    if standing.revoked_at:
        return "revoked"
    if not standing.granted_at:
        return "not on chain yet"
    if consent.signedAt <= standing.cutoff:
        return "stopped"
    if standing.frozen_until > now:
        return "frozen"
    if consent.expires <= now:
        return "expired"
    return "active" if consent.notBefore <= now else "not valid yet"
