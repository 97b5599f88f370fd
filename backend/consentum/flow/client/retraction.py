# SPDX-License-Identifier: Apache-2.0
"""Taking a record back, the custodian's side: build and sign, and believe the gateway's answer as far as key servers'
own receipts go."""

from __future__ import annotations

from collections.abc import Mapping

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.messages import Retract
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError
from consentum.flow.client.receipts import verify_signature
from consentum.flow.wire import Retraction
from consentum.ports.chain import Ledger

DONE = "destroyed its share"


def retract(domain: Domain, signer: Signer, message: Retract) -> Retraction:
    """A signed word that a record of the custodian's is taken back, or superseded by one that every server holds
    already. signer: the custodian, or its `deposit` delegate; signedAt: by the chain's clock. MalformedError for what
    no server would take."""
    return Retraction.parse(Retraction(message, signer.sign(typed.digest(domain, message))).to_json())


def verify_receipt(message: Retract, server: str, checkpoint_key: bytes, signed: object) -> None:
    """That this server has destroyed its share, as it says over its checkpoint key. CorruptError otherwise."""
    body = as_object(signed, "receipt", "receipt", "signature")
    receipt = body["receipt"]
    if not isinstance(receipt, Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    verify_signature(checkpoint_key, RETRACT_CONTEXT, receipt, as_bytes(body["signature"], "signature", 64))
    about = {
        "server": server.lower(),
        "custodian": message.custodian.lower(),
        "record": hexed(message.record),
        "successor": hexed(message.successor),
    }
    if any(receipt.get(name) != value for name, value in about.items()):
        raise CorruptError("a receipt is about another retraction", field="receipt")


def standing(ledger: Ledger, message: Retract, answer: object) -> dict[str, str]:
    """By server: DONE where its receipt was verified, else the code of why not yet. MalformedError if the answer is
    about something else."""
    body = as_object(answer, "answer", "record", "acknowledged", "erased", "receipts", "waiting")
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
