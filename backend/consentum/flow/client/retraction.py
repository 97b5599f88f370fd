# SPDX-License-Identifier: Apache-2.0
"""Taking a record back: what the gateway answers, believed as far as key servers' own receipts go."""

from __future__ import annotations

from collections.abc import Mapping

from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.messages import Retract
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError
from consentum.flow.client.receipts import verify_signature
from consentum.ports.chain import Block, Ledger

DONE = "destroyed its share"


def standing(ledger: Ledger, message: Retract, answer: object) -> dict[str, str]:
    """By server: DONE where its receipt was verified, else the code of why not yet. MalformedError if the answer is
    about something else."""
    body = as_object(answer, "answer", "record", "acknowledged", "receipts", "waiting")
    receipts, waiting = body["receipts"], body["waiting"]
    if body["record"] != hexed(message.record) or not isinstance(receipts, Mapping) or not isinstance(waiting, Mapping):
        raise MalformedError("the gateway answers about another record", field="record")
    latest = ledger.view().latest
    found = {str(server): str(code)[:64] for server, code in waiting.items()}
    for server, receipt in receipts.items():
        try:
            _verify(ledger, latest, message, str(server), receipt)
            found[str(server)] = DONE
        except ConsentumError as error:
            found[str(server)] = error.code
    return found


def complete(servers: Mapping[str, str]) -> bool:
    """Whether every server has destroyed its share."""
    return set(servers.values()) == {DONE}


def _verify(ledger: Ledger, latest: Block, message: Retract, server: str, answer: object) -> None:
    """CorruptError unless the receipt is this server's own and about this retraction."""
    body = as_object(answer, "receipt", "receipt", "signature")
    receipt = body["receipt"]
    if not isinstance(receipt, Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    key = ledger.server_keys(latest, server).checkpoint_key
    verify_signature(key, RETRACT_CONTEXT, receipt, as_bytes(body["signature"], "signature", 64))
    about = (server.lower(), message.custodian.lower(), hexed(message.record), hexed(message.successor))
    if tuple(receipt.get(name) for name in ("server", "custodian", "record", "successor")) != about:
        raise CorruptError("a receipt is about another retraction", field="receipt")
