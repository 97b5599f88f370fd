# SPDX-License-Identifier: Apache-2.0
"""Messages about an identity, for DidRegistry: delegates, recovery, owner changes. Paid for those the gateway knows."""

from __future__ import annotations

from typing import Any

from consentum.crypto import typed
from consentum.domain.parsing import as_bytes, as_list, as_object, as_signature, hexed
from consentum.domain.registry_messages import ProposeOwner
from consentum.errors import ConflictError, MalformedError, NotFoundError, SignatureRefused
from consentum.flow.gateway import registering
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.gateway.sponsoring import require_sponsored
from consentum.ports.chain import Claim, Roles
from consentum.ports.gateway_store import Relayed

# How many messages of one identity may wait for their turn.
MAX_AHEAD = 16
MAX_VOTES = 100


def submit(gateway: Gateway, data: object) -> dict[str, Any]:
    """{kind, message, signature}: queues one of the controller's messages; {id, state}. NotSponsoredError,
    SignatureRefused, and ConflictError for a nonce that is spent."""
    body = as_object(data, "request", "kind", "message", "signature")
    if body["kind"] not in registering.IDENTITY_KINDS:
        raise MalformedError(f"kind is one of {', '.join(registering.IDENTITY_KINDS)}", field="kind")
    message: Any = typed.from_json(typed.MESSAGES[body["kind"]], body["message"])
    signature = as_signature(body["signature"], "signature")
    identity = message.identity.lower()
    claim = Claim(identity, Roles.CONTROLLER, typed.digest(gateway.registries.did_domain, message), signature)
    if not gateway.ledger.signed_by(gateway.ledger.view().latest, [claim])[0]:
        raise SignatureRefused("not signed by the identity's controller", field="signature")
    require_sponsored(gateway, identity)
    queued = registering.of_message(message, identity, signature)
    known = _known(gateway, queued.id)
    if known is not None and known.state != "refused":
        return _told(known)
    _check_nonce(message.nonce, gateway.registries.identity(identity).nonce)
    return _told(gateway.store.enqueue(queued))


def _check_nonce(nonce: int, next_: int) -> None:
    if nonce < next_:
        raise ConflictError(f"this nonce is spent; the next is {next_}", field="nonce")
    if nonce >= next_ + MAX_AHEAD:
        raise MalformedError(f"at most {MAX_AHEAD} messages may wait; the next nonce is {next_}", field="nonce")


def recover(gateway: Gateway, data: object) -> dict[str, Any]:
    """{identity, newOwner, votes: [{member, signature}]}: her recovery delegates propose a new owner."""
    body = as_object(data, "request", "identity", "newOwner", "votes")
    identity, new_owner = (hexed(typed.address_bytes(body[key])) for key in ("identity", "newOwner"))
    votes = dict(as_list(body["votes"], "votes", _vote, MAX_VOTES))
    message = ProposeOwner(identity, new_owner, gateway.registries.identity(identity).nonce)
    digest, block = typed.digest(gateway.registries.did_domain, message), gateway.ledger.view().latest
    claims = [Claim(member, Roles.CONTROLLER, digest, signature) for member, signature in votes.items()]
    entitled = [gateway.ledger.may_act(block, identity, Roles.RECOVERY, member) for member in votes]
    if not all(entitled) or not all(gateway.ledger.signed_by(block, claims)):
        raise SignatureRefused("not signed by recovery delegates over the next nonce", field="votes")
    require_sponsored(gateway, identity)
    if len(votes) < max(1, gateway.registries.identity(identity).recovery_threshold):
        raise MalformedError("fewer votes than the identity asks for", field="votes")
    value = {
        "identity": identity,
        "newOwner": new_owner,
        "nonce": message.nonce,
        "votes": [{"member": member, "signature": hexed(signature)} for member, signature in votes.items()],
    }
    return _told(gateway.store.enqueue(registering.of_call("RecoverOwner", identity, value)))


def _vote(data: object) -> tuple[str, bytes]:
    body = as_object(data, "votes", "member", "signature")
    return hexed(typed.address_bytes(body["member"])), as_signature(body["signature"], "signature")


def finalize(gateway: Gateway, data: object) -> dict[str, Any]:
    """{identity}: completes an owner change whose delay is over; anybody may ask. ConflictError before that."""
    body = as_object(data, "request", "identity")
    identity = hexed(typed.address_bytes(body["identity"]))
    require_sponsored(gateway, identity)
    facts = gateway.registries.identity(identity)
    if not facts.pending_from:
        raise NotFoundError("no owner change is pending", field="identity")
    if gateway.ledger.view().latest.timestamp < facts.pending_from:
        raise ConflictError(f"the owner change can be finalized from {facts.pending_from} on", field="identity")
    value = {"identity": identity, "from": facts.pending_from}
    return _told(gateway.store.enqueue(registering.of_call("FinalizeOwner", identity, value)))


def relayed(gateway: Gateway, identity: str) -> dict[str, Any]:
    """{id, kind, state} of any message that was queued, to whoever knows its id."""
    found = gateway.store.relayed(as_bytes(identity, "id", 32))
    return {"id": hexed(found.id), "kind": found.kind, "state": found.state}


def _known(gateway: Gateway, identity: bytes) -> Relayed | None:
    try:
        return gateway.store.relayed(identity)
    except NotFoundError:
        return None


def _told(message: Relayed) -> dict[str, Any]:
    return {"id": hexed(message.id), "state": message.state}
