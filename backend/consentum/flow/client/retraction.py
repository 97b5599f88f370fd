# SPDX-License-Identifier: Apache-2.0
"""Taking a record back: every key server is asked itself, and counts when its own receipt was verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from consentum.crypto.typed import address_bytes
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.messages import Retract
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, NotFoundError
from consentum.flow.client.receipts import verify_signature
from consentum.ports.chain import Ledger

DONE, NOT_THERE = "destroyed its share", "has no such record"
Ask = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def everywhere(ledger: Ledger, message: Retract, body: Mapping[str, Any], servers: Mapping[str, Ask]) -> dict[str, str]:
    """What became of it at each server: DONE, NOT_THERE, or the code of a failure."""
    found = {}
    for server, ask in servers.items():
        try:
            _verify(ledger, message, server, ask(body))
            found[server] = DONE
        except NotFoundError:
            found[server] = NOT_THERE
        except ConsentumError as error:
            found[server] = error.code
    return found


def complete(servers: Mapping[str, str]) -> bool:
    """Whether no server is left that may still have a share."""
    return DONE in servers.values() and set(servers.values()) <= {DONE, NOT_THERE}


def _verify(ledger: Ledger, message: Retract, server: str, answer: Mapping[str, Any]) -> None:
    """CorruptError unless the receipt is this server's own and about this retraction."""
    body = as_object(answer, "receipt", "receipt", "signature")
    receipt = body["receipt"]
    if not isinstance(receipt, Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    address_bytes(server)
    key = ledger.server_keys(ledger.view().latest, server).checkpoint_key
    verify_signature(key, RETRACT_CONTEXT, receipt, as_bytes(body["signature"], "signature", 64))
    about = (server.lower(), message.custodian.lower(), hexed(message.record), hexed(message.successor))
    if tuple(receipt.get(name) for name in ("server", "custodian", "record", "successor")) != about:
        raise CorruptError("a receipt is about another retraction", field="receipt")
