# SPDX-License-Identifier: Apache-2.0
"""Relay: anybody's validly signed message goes to the chain at the gateway's cost, and a revocation to every server.

Messages are monotone, so each may be sent twice: a crash between sending and noting costs gas, never meaning.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.domain.messages import Consent, Freeze, Revoke, RevokeAll
from consentum.domain.parsing import as_object, as_signature, hexed
from consentum.errors import NotFoundError, RefusedError, RevertedError, SignatureRefused, UnavailableError
from consentum.flow import batches
from consentum.flow.gateway import registering
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.gateway.sponsoring import below_reserve, pays_for, require_sponsored
from consentum.flow.wire import Notice
from consentum.ports.chain import Claim, Roles
from consentum.ports.gateway_store import ENDINGS, SUPERSEDING, Relayed

log = logging.getLogger("consentum.gateway")
# A committee's threshold is at least 2, so once all servers but one hold a notice no key can be rebuilt.
NOTICE_WAIT_SECONDS = 2.0
# Revocations of one subject that wait for the chain, of what this gateway never heard of.
MAX_UNKNOWN_WAITING = 100


def grant(gateway: Gateway, data: object) -> dict[str, Any]:
    """{consent, signature}: keeps the opening and queues the grant. SignatureRefused, MalformedError, and
    NotSponsoredError for a subject whom no custodian recognised: of her nothing is kept."""
    body = as_object(data, "request", "consent", "signature")
    consent = typed.from_json(Consent, body["consent"])
    signature = as_signature(body["signature"], "signature")
    commitment = typed.struct_hash(consent)
    _require_signed(gateway, consent.subject, Roles.CONSENT, commitment, signature)
    require_sponsored(gateway, consent.subject)
    gateway.store.add_opening(commitment, consent)
    queued = gateway.store.enqueue(_relayed("Consent", consent.subject, hexed(commitment), signature))
    return {"commitment": hexed(commitment), "state": queued.state}


def revoke(gateway: Gateway, data: object) -> dict[str, Any]:
    """A notice: to every key server at once, and into the queue for the chain. The answer names the servers that hold
    it; from n-t+1 on, no key can be rebuilt under what it revokes. A stranger's goes to the servers alone."""
    notice = Notice.parse(data)
    message = notice.message
    roles = Roles.GUARDIAN if isinstance(message, Freeze) else Roles.CONSENT | Roles.GUARDIAN
    try:
        _require_signed(gateway, message.subject, roles, typed.struct_hash(message), notice.signature)
    except (UnavailableError, RefusedError):
        # Not queued: a forged one would keep the genuine one's place. The servers judge for themselves.
        log.warning("a notice goes to the servers unjudged: our node does not answer")
        return {"id": None, "state": "unjudged", "servers": _spread(gateway, notice)}
    if not pays_for(gateway, message.subject):
        return {"id": None, "state": "unsponsored", "servers": _spread(gateway, notice)}
    relayed = _relayed(notice.kind, message.subject, _value(message), notice.signature)
    if isinstance(message, Revoke) and _too_many(gateway, message, relayed.id):
        return {"id": None, "state": "held", "servers": _spread(gateway, notice)}
    queued = gateway.store.enqueue(relayed)
    return {"id": hexed(queued.id), "state": queued.state, "servers": _spread(gateway, notice)}


def _too_many(gateway: Gateway, message: Revoke, identity: bytes) -> bool:
    """Whether a Revoke of something this gateway never heard of is one too many in the queue of its subject: the
    servers hold it all the same, and put it on chain themselves. What she agreed to here is never too many."""
    if gateway.store.waiting(message.subject, "Revoke") < MAX_UNKNOWN_WAITING:
        return False
    with suppress(NotFoundError):
        return gateway.store.relayed(identity).state == "refused"
    with suppress(NotFoundError):
        return gateway.store.opening(message.commitment).subject.lower() != message.subject.lower()
    enrolled = gateway.enrolments.find(message.commitment)
    return enrolled is None or enrolled.enrol.subject.lower() != message.subject.lower()


def _value(message: Revoke | RevokeAll | Freeze) -> str:
    if isinstance(message, Revoke):
        return hexed(message.commitment)
    return str(message.cutoff if isinstance(message, RevokeAll) else message.until)


def _require_signed(gateway: Gateway, subject: str, roles: int, hashed: bytes, signature: bytes) -> None:
    claim = Claim(subject, roles, typed.digest_of_hash(gateway.domain, hashed), signature)
    if not gateway.ledger.signed_by(gateway.ledger.view().latest, [claim])[0]:
        raise SignatureRefused("not signed by the subject or a delegate of hers", field="signature")


def _relayed(kind: str, subject: str, value: str, signature: bytes) -> Relayed:
    identity = keccak(f"{kind}\n{subject.lower()}\n{value}".encode())
    return Relayed(identity, kind, subject.lower(), value, signature, "queued")


def _spread(gateway: Gateway, notice: Notice) -> list[str]:
    """Tells every server. Answers when all but one hold it, or after a while; the rest are told all the same."""
    peers, body = gateway.peers(), notice.to_json()
    answers = gateway.hedge.ask(
        {peer.address: partial(peer.notice, body) for peer in peers}, NOTICE_WAIT_SECONDS, max(1, len(peers) - 1)
    )
    for error in answers.errors.values():
        log.warning("a key server did not take a notice: %s", error.code)
    return list(answers.values)


def relay_once(gateway: Gateway, batch: int) -> None:
    """Sends what is queued, waits until it is mined, and notes what became of it."""
    relay_endings(gateway, batch)
    relay_others(gateway, batch)


def relay_endings(gateway: Gateway, batch: int) -> None:
    """Revocations and freezes: nothing else delays them, and nobody else's flood (see `GatewayStore.queued`)."""
    queued = [message for message in gateway.store.queued(batch * 10) if message.kind in ENDINGS]
    there = _already_there(gateway, queued)
    gateway.store.mark([message.id for message in there], "mined")
    for kind in ENDINGS:
        messages = [message for message in queued if message.kind == kind and message not in there]
        for part in batches.parts(messages, batch):
            _send(gateway, kind, part)


def _already_there(gateway: Gateway, queued: Sequence[Relayed]) -> list[Relayed]:
    """Those of SUPERSEDING that the registry says as much as: they cost nothing."""
    messages = [message for message in queued if message.kind in SUPERSEDING]
    if not messages:
        return []
    block = gateway.ledger.view().latest
    standings = gateway.ledger.standings(block, [(message.subject, bytes(32)) for message in messages])
    return [m for s, m in zip(standings, messages, strict=True) if batches.covers(s, m.kind, m.until, block.timestamp)]


def relay_others(gateway: Gateway, batch: int) -> None:
    """Grants, then what goes to the registries. None of it while only the reserve is left."""
    queued = [message for message in gateway.store.queued(batch * 10) if message.kind not in ENDINGS]
    if not queued or below_reserve(gateway):
        return
    for part in batches.parts([message for message in queued if message.kind == "Consent"], batch):
        _send(gateway, "Consent", part)
    registering.relay(gateway, [message for message in queued if message.kind != "Consent"])


def _send(gateway: Gateway, kind: str, messages: Sequence[Relayed]) -> None:
    """Whatever the node says, what it did not send stays queued. The contract's own no ends a message; one that costs
    transactions and never takes (an ERC-1271 wallet may change its mind) ends after some, and delays no other."""
    try:
        gateway.sender.send([batches.call(messages)])
    except RevertedError:
        for message in messages:
            gateway.store.failed(message.id, 1 if kind not in batches.BATCHED else batches.MAX_ATTEMPTS)
    else:
        _note(gateway, kind, messages)


def _note(gateway: Gateway, kind: str, messages: Sequence[Relayed]) -> None:
    """A batch skips items it refuses, so what counts is what the registry now holds. What it does not hold and its
    signer may still say is tried again; the rest was signed by somebody who meanwhile may not."""
    if kind not in batches.BATCHED:
        gateway.store.mark([m.id for m in messages], "mined")
        return
    block = gateway.ledger.view().latest
    pairs = [(m.subject, bytes.fromhex(m.value[2:])) for m in messages]
    standings = gateway.ledger.standings(block, pairs)
    done = [bool(s.revoked_at or (s.granted_at and kind == "Consent")) for s in standings]
    gateway.store.mark([m.id for m, d in zip(messages, done, strict=True) if d], "mined")
    missing = [m for m, d in zip(messages, done, strict=True) if not d]
    roles = Roles.CONSENT if kind == "Consent" else Roles.CONSENT | Roles.GUARDIAN
    claims = [Claim(m.subject, roles, typed.digest_of_hash(gateway.domain, _hash(m)), m.signature) for m in missing]
    valid = gateway.ledger.signed_by(block, claims)
    gateway.store.mark([m.id for m, v in zip(missing, valid, strict=True) if not v], "refused")
    for message, still in zip(missing, valid, strict=True):
        if still:
            gateway.store.failed(message.id, batches.MAX_ATTEMPTS)


def _hash(message: Relayed) -> bytes:
    commitment = bytes.fromhex(message.value[2:])
    return commitment if message.kind == "Consent" else typed.struct_hash(Revoke(message.subject, commitment))
