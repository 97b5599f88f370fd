# SPDX-License-Identifier: Apache-2.0
"""Relay: anybody's validly signed message goes to the chain at the gateway's cost, and a revocation to every server.

Messages are monotone, so each may be sent twice: a crash between sending and noting costs gas, never meaning.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.domain.messages import Consent, Freeze, Revoke, RevokeAll
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, SignatureRefused
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import MAX_SIGNATURE, Notice
from consentum.ports.chain import Claim, Roles
from consentum.ports.gateway_store import Relayed
from consentum.ports.transactions import Call

log = logging.getLogger("consentum.gateway")
_FUNCTIONS = {"Consent": "grantBatch", "Revoke": "revokeBatch"}


def grant(gateway: Gateway, data: object) -> dict[str, Any]:
    """{consent, signature}: keeps the opening and queues the grant. SignatureRefused, MalformedError."""
    body = as_object(data, "request", "consent", "signature")
    consent = typed.from_json(Consent, body["consent"])
    signature = as_bytes(body["signature"], "signature", at_most=MAX_SIGNATURE)
    commitment = typed.struct_hash(consent)
    _require_signed(gateway, consent.subject, Roles.CONSENT, commitment, signature)
    gateway.store.add_opening(commitment, consent)
    queued = gateway.store.enqueue(_relayed("Consent", consent.subject, hexed(commitment), signature))
    return {"commitment": hexed(commitment), "state": queued.state}


def revoke(gateway: Gateway, data: object) -> dict[str, Any]:
    """A notice: to every key server at once, and into the queue for the chain. The answer names the servers that hold
    it; from n-t+1 on, no key can be rebuilt under what it revokes."""
    notice = Notice.parse(data)
    message = notice.message
    roles = Roles.GUARDIAN if isinstance(message, Freeze) else Roles.CONSENT | Roles.GUARDIAN
    _require_signed(gateway, message.subject, roles, typed.struct_hash(message), notice.signature)
    queued = gateway.store.enqueue(_relayed(notice.kind, message.subject, _value(message), notice.signature))
    return {"id": hexed(queued.id), "state": queued.state, "servers": _spread(gateway, notice)}


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
    peers, body = gateway.peers(), notice.to_json()
    if not peers:
        return []

    def tell(peer: Any) -> str | None:
        try:
            peer.notice(body)
        except ConsentumError as error:
            log.warning("a key server did not take a notice: %s", error.code)
            return None
        return str(peer.address)

    with ThreadPoolExecutor(max_workers=len(peers)) as pool:
        return [address for address in pool.map(tell, peers) if address is not None]


def relay_once(gateway: Gateway, batch: int) -> int:
    """Sends what is queued, waits until it is mined, and notes what became of it. How many left the queue.

    Revocations first: granting must never delay them.
    """
    queued = gateway.store.queued(batch * 10)
    done = 0
    for kind in ("Freeze", "RevokeAll", "Revoke", "Consent"):
        messages = [message for message in queued if message.kind == kind]
        size = batch if kind in _FUNCTIONS else 1
        for start in range(0, len(messages), size):
            done += _send(gateway, kind, messages[start : start + size])
    return done


def _send(gateway: Gateway, kind: str, messages: Sequence[Relayed]) -> int:
    try:
        gateway.sender.send([_call(kind, messages)])
    except ConsentumError as error:
        if error.code != "RPC":
            raise
        if len(messages) > 1:  # too much gas for one block: in halves
            half = len(messages) // 2
            return _send(gateway, kind, messages[:half]) + _send(gateway, kind, messages[half:])
        gateway.store.mark([messages[0].id], "refused")
        return 1
    _note(gateway, kind, messages)
    return len(messages)


def _call(kind: str, messages: Sequence[Relayed]) -> Call:
    if kind in _FUNCTIONS:
        items = [(m.subject, bytes.fromhex(m.value[2:]), m.signature) for m in messages]
        return Call("ConsentRegistry", _FUNCTIONS[kind], (items,))
    [message] = messages
    function = "revokeAll" if kind == "RevokeAll" else "freeze"
    return Call("ConsentRegistry", function, (message.subject, int(message.value), message.signature))


def _note(gateway: Gateway, kind: str, messages: Sequence[Relayed]) -> None:
    """A batch skips items it refuses, so what counts is what the registry now holds."""
    if kind not in _FUNCTIONS:
        gateway.store.mark([m.id for m in messages], "mined")
        return
    pairs = [(m.subject, bytes.fromhex(m.value[2:])) for m in messages]
    standings = gateway.ledger.standings(gateway.ledger.view().latest, pairs)
    mined = [m.id for m, s in zip(messages, standings, strict=True) if s.granted_at or s.revoked_at]
    gateway.store.mark(mined, "mined")
    gateway.store.mark([m.id for m in messages if m.id not in set(mined)], "refused")
