# SPDX-License-Identifier: Apache-2.0
"""Studies: cards that show them to people, and what their leads sign. What counts is read from the chain, never from a
card; the card only adds words, and the forms' texts whose hashes the lead signed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeVar

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.domain.messages import Message
from consentum.domain.parsing import as_bytes, as_list, as_object, as_signature, hexed
from consentum.domain.registry_messages import Amend, Propose, SetMember, Withdraw
from consentum.errors import ConflictError, MalformedError, NotSponsoredError, Reason, RefusedError, SignatureRefused
from consentum.flow.gateway import registering
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.gateway.sponsoring import pays_for
from consentum.ports.chain import Claim, Roles
from consentum.ports.registries import StudyFacts
from consentum.ports.studies import Card

_NAME = re.compile(r"[a-z][a-z0-9-]{2,63}")
MAX_TITLE, MAX_SUMMARY = 200, 10_000
MAX_FORMS = 20
MAX_FORM_CHARACTERS = 200_000
STRANGERS_PER_DAY = 100
DAY_SECONDS = 86_400
M = TypeVar("M", bound=Message)


def propose(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{propose, signature, name, title, summary, forms}: keeps the card and queues the proposal; {study}. From the lead
    alone: the words of a card are under no signature, and a proposal is public once it is on chain. SignatureRefused
    for anybody else, ConflictError for a name that another study has, RefusedError(LIMIT)."""
    body = as_object(data, "request", "propose", "signature", "name", "title", "summary", "forms")
    message = typed.from_json(Propose, body["propose"])
    signature = as_signature(body["signature"], "signature")
    name = body["name"]
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise MalformedError("a name is 3 to 64 of a-z, 0-9 and -, the first a letter", field="name")
    words = (_text(body["title"], "title", MAX_TITLE), _text(body["summary"], "summary", MAX_SUMMARY))
    texts = _forms(body["forms"], message.forms)
    study = typed.struct_hash(message)
    _require_signed(gateway, message.lead, message, signature)
    if not gateway.ledger.may_act(gateway.ledger.view().latest, message.lead, Roles.CONTROLLER, who):
        raise SignatureRefused("a card is for the study's lead to give", field="propose")
    there = gateway.registries.study(study).status != "none"
    if not there:
        _require_paid(gateway, message.board, message.lead, message.board)
    gateway.studies.add_card(Card(study, message, name, *words))
    for text in texts:
        gateway.store.add_form(keccak(text.encode()), text)
    if not there:
        gateway.store.enqueue(registering.of_message(message, hexed(study), signature))
    return {"study": hexed(study)}


def amend(gateway: Gateway, study: str, data: object) -> dict[str, Any]:
    """{message, signature, forms}: the lead proposes the next version; {id, state}."""
    body = as_object(data, "request", "message", "signature", "forms")
    card, facts, message, signature = _by_lead(gateway, study, Amend, body)
    texts = _forms(body["forms"], message.forms)
    if message.version != max(1, facts.proposed) + 1:
        raise ConflictError(f"the next version is {max(1, facts.proposed) + 1}", field="version")
    gateway.studies.amend(message)
    for text in texts:
        gateway.store.add_form(keccak(text.encode()), text)
    return _queue(gateway, card, message, signature)


def set_member(gateway: Gateway, study: str, data: object) -> dict[str, Any]:
    """{message, signature}: the lead lets somebody request under her study, or no longer; {id, state}."""
    body = as_object(data, "request", "message", "signature")
    card, facts, message, signature = _by_lead(gateway, study, SetMember, body)
    _require_unspent(message.nonce, facts)
    gateway.studies.add_member(card.study, message.member)
    return _queue(gateway, card, message, signature)


def withdraw(gateway: Gateway, study: str, data: object) -> dict[str, Any]:
    """{message, signature}: the lead closes her study for ever; {id, state}."""
    body = as_object(data, "request", "message", "signature")
    card, facts, message, signature = _by_lead(gateway, study, Withdraw, body)
    _require_unspent(message.nonce, facts)
    return _queue(gateway, card, message, signature)


def show(gateway: Gateway, name: str) -> dict[str, Any]:
    """One study by its name or 0x id."""
    return _shown(gateway, gateway.studies.card(as_bytes(name, "study", 32) if name.startswith("0x") else name))


def listed(gateway: Gateway) -> dict[str, Any]:
    """Every study that has a card here."""
    return {"studies": [_shown(gateway, card) for card in gateway.studies.cards()]}


def _shown(gateway: Gateway, card: Card) -> dict[str, Any]:
    facts = gateway.registries.study(card.study)
    known = list(dict.fromkeys(form for v in (1, *card.amendments) for form in card.forms_of(v)))
    approved = gateway.registries.forms_approved(card.study, known) if facts.version else [False] * len(known)
    people = list(dict.fromkeys((card.propose.lead.lower(), *card.members)))
    allowed = gateway.registries.members(card.study, people) if facts.status != "none" else [False] * len(people)
    version = facts.version or facts.proposed
    terms = gateway.registries.terms(card.study, version) if version else card.propose.terms
    pending = facts.proposed if facts.proposed > facts.version else 0
    return {
        "study": hexed(card.study),
        "name": card.name,
        "title": card.title,
        "summary": card.summary,
        "board": hexed(card.propose.board),
        "lead": card.propose.lead.lower(),
        "status": facts.status,
        "version": facts.version,
        "approvedUntil": facts.approved_until,
        "terms": typed.to_json(terms),
        "forms": [hexed(form) for form, good in zip(known, approved, strict=True) if good],
        "members": [who for who, good in zip(people, allowed, strict=True) if good],
        "leadNonce": facts.lead_nonce,
        "proposed": _pending(gateway, card, pending) if pending else None,
    }


def _pending(gateway: Gateway, card: Card, version: int) -> dict[str, Any]:
    """What the board has before it."""
    forms = [hexed(form) for form in card.forms_of(version)]
    return {"version": version, "terms": typed.to_json(gateway.registries.terms(card.study, version)), "forms": forms}


def _by_lead(gateway: Gateway, study: str, kind: type[M], body: Any) -> tuple[Card, StudyFacts, Any, bytes]:
    """The card, what the chain says, and the lead's message about this very study."""
    card = gateway.studies.card(as_bytes(study, "study", 32))
    message: Any = typed.from_json(kind, body["message"])
    signature = as_signature(body["signature"], "signature")
    if message.study != card.study:
        raise MalformedError("the message is about another study", field="study")
    _require_signed(gateway, card.propose.lead, message, signature)
    _require_paid(gateway, card.propose.board, card.propose.lead, card.study)
    facts = gateway.registries.study(card.study)
    if facts.status == "closed":
        raise ConflictError("the study is closed", field="study")
    return card, facts, message, signature


def _require_signed(gateway: Gateway, lead: str, message: Message, signature: bytes) -> None:
    claim = Claim(lead, Roles.CONTROLLER, typed.digest(gateway.registries.study_domain, message), signature)
    if not gateway.ledger.signed_by(gateway.ledger.view().latest, [claim])[0]:
        raise SignatureRefused("not signed by the study's lead", field="signature")


def _require_paid(gateway: Gateway, board: bytes, lead: str, counted: bytes) -> None:
    """Anybody can be the lead of a proposal to a board: so many a day to the board, and so many messages about each
    study, are paid for one the gateway does not know."""
    if pays_for(gateway, lead):
        return
    if board not in gateway.sponsorship.boards:
        raise NotSponsoredError("the gateway pays neither for this board nor for this lead")
    if gateway.shared.count("strangers", counted, DAY_SECONDS) > STRANGERS_PER_DAY:
        raise RefusedError(Reason.LIMIT, f"at most {STRANGERS_PER_DAY} a day for leads the gateway does not know")


def _require_unspent(nonce: int, facts: StudyFacts) -> None:
    if nonce < facts.lead_nonce:
        raise ConflictError(f"this nonce is spent; the next is {facts.lead_nonce}", field="nonce")


def _queue(gateway: Gateway, card: Card, message: Message, signature: bytes) -> dict[str, Any]:
    queued = gateway.store.enqueue(registering.of_message(message, hexed(card.study), signature))
    return {"id": hexed(queued.id), "state": queued.state}


def _text(value: object, what: str, at_most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= at_most:
        raise MalformedError(f"{what} has 1 to {at_most} characters", field=what)
    return value


def _forms(value: object, hashes: Sequence[bytes]) -> tuple[str, ...]:
    """The texts, which must be exactly those whose hashes were signed."""
    texts = as_list(value, "forms", lambda text: _text(text, "forms", MAX_FORM_CHARACTERS), MAX_FORMS)
    if {keccak(text.encode()) for text in texts} != set(hashes):
        raise MalformedError("the forms are not those whose hashes are signed", field="forms")
    return texts
