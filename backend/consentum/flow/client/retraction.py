# SPDX-License-Identifier: Apache-2.0
"""Taking a record back: what the gateway answers, believed as far as key servers' own receipts go."""

from __future__ import annotations

from collections.abc import Mapping

from consentum.domain.messages import Retract
from consentum.domain.parsing import as_object, hexed
from consentum.errors import ConsentumError, MalformedError
from consentum.flow.client.retract import verify_receipt
from consentum.ports.chain import Ledger

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
            verify_receipt(message, str(server), ledger.server_keys(latest, str(server)).checkpoint_key, receipt)
            found[str(server)] = DONE
        except ConsentumError as error:
            found[str(server)] = error.code
    return found


def complete(servers: Mapping[str, str]) -> bool:
    """Whether every server has destroyed its share."""
    return set(servers.values()) == {DONE}
