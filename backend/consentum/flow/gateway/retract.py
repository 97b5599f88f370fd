# SPDX-License-Identifier: Apache-2.0
"""Retraction through the gateway: the record is listed no more at once, its content is erased from the store, and every
server of its committee is told until it has acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from consentum.crypto import typed
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConflictError, ConsentumError, CorruptError, NotFoundError, SignatureRefused
from consentum.flow.client.receipts import verify_signature
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import Retraction
from consentum.ports.chain import Block, Claim, Roles
from consentum.ports.retractions import KeptRetraction

log = logging.getLogger("consentum.gateway")


def retract(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{retract, signature} to {record, acknowledged, erased, receipts, waiting}: waiting says, by server, why it has
    not acknowledged. Once answered it is kept and retried for ever; again, it gives how it stands.

    NotFoundError unless the record is of this custodian and whoever asks may deposit for it; field `successor`: no such
    record of the custodian's. SignatureRefused. ConflictError: retracted in favour of another record.
    """
    request = Retraction.parse(data)
    message, block = request.retract, gateway.ledger.view().latest
    if not gateway.ledger.may_act(block, message.custodian, Roles.DEPOSIT, who):
        raise NotFoundError("no such record", field="record")
    claim = Claim(message.custodian, Roles.DEPOSIT, typed.digest(gateway.domain, message), request.signature)
    if not gateway.ledger.signed_by(block, [claim])[0]:
        raise SignatureRefused("the retraction is not signed by its custodian", field="signature")
    kept = gateway.retractions.find(message.record) or gateway.retractions.add(_kept(gateway, request, block))
    first = Retraction.parse(kept.request).retract
    if first.custodian != message.custodian:
        raise NotFoundError("no such record", field="record")
    if first.successor != message.successor:
        raise ConflictError("retracted already, in favour of another record", field="successor")
    return push(gateway, kept)


def _kept(gateway: Gateway, request: Retraction, block: Block) -> KeptRetraction:
    message = request.retract
    wanted = [message.record, *([message.successor] if any(message.successor) else [])]
    known = gateway.store.records_by_id(wanted)
    for identity, field in zip(wanted, ("record", "successor"), strict=False):
        if identity not in known or known[identity].custodian.lower() != message.custodian.lower():
            raise NotFoundError("no such record", field=field)
    record = known[message.record]
    servers = tuple(member.lower() for member in gateway.ledger.committee(block, record.committee).members)
    return KeptRetraction(message.record, message.custodian, request.to_json(), servers, {}, record.cid)


def push(gateway: Gateway, kept: KeptRetraction) -> dict[str, Any]:
    """Erases the content and tells every server that has not acknowledged; how it stands then. What a server refuses
    is asked again later: its deposit may be on its way, its operator at work, a delegate renewed."""
    kept = kept if kept.erased else _erased(gateway, kept)
    refused: dict[str, str] = {}

    def tell(server: str) -> tuple[str, Mapping[str, Any] | ConsentumError]:
        try:
            return server, _acknowledged(gateway, kept, server)
        except ConsentumError as error:
            return server, error

    if kept.waiting:
        with ThreadPoolExecutor(max_workers=len(kept.waiting)) as pool:
            results = list(pool.map(tell, kept.waiting))
        for server, result in results:
            if isinstance(result, ConsentumError):
                log.warning("a key server did not take a retraction: %s", result.code)
                refused[server] = result.code
            else:
                kept = gateway.retractions.add_receipt(kept.record, server, result)
    return {
        "record": hexed(kept.record),
        "acknowledged": not kept.waiting,
        "erased": kept.erased,
        "receipts": dict(kept.receipts),
        "waiting": {server: refused.get(server, "UNAVAILABLE") for server in kept.waiting},
    }


def _erased(gateway: Gateway, kept: KeptRetraction) -> KeptRetraction:
    """The ciphertext goes from our store, unless another record has the same; copies elsewhere are noise once the
    shares are destroyed. A store that does not answer is asked again later."""
    try:
        if not gateway.store.uses(kept.content):
            with suppress(NotFoundError):
                gateway.content.remove(kept.content)
    except ConsentumError as error:
        log.warning("the content of a retracted record is not erased yet: %s", error.code)
        return kept
    return gateway.retractions.erased(kept.record)


def _acknowledged(gateway: Gateway, kept: KeptRetraction, server: str) -> Mapping[str, Any]:
    """A server's receipt, signed with the key it wrote on chain, about this retraction. CorruptError otherwise."""
    answer = as_object(gateway.peer(server).retract(kept.request), "receipt", "receipt", "signature")
    key = gateway.ledger.server_keys(gateway.ledger.view().latest, server).checkpoint_key
    if not isinstance(answer["receipt"], Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    verify_signature(key, RETRACT_CONTEXT, answer["receipt"], as_bytes(answer["signature"], "signature", 64))
    about = tuple(answer["receipt"].get(name) for name in ("server", "record", "successor"))
    if about != (server, hexed(kept.record), kept.request["retract"]["successor"]):
        raise CorruptError("a receipt is about another retraction", field="receipt")
    return answer


def retry_retractions(gateway: Gateway) -> None:
    """Another try for everything pending."""
    for kept in gateway.retractions.pending():
        push(gateway, kept)
