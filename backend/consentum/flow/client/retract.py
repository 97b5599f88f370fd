# SPDX-License-Identifier: Apache-2.0
"""Retraction, the custodian's side: build and sign."""

from __future__ import annotations

from collections.abc import Mapping

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.messages import Retract
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import CorruptError
from consentum.flow.client.receipts import verify_signature
from consentum.flow.wire import Retraction


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
