# SPDX-License-Identifier: Apache-2.0
"""Retraction at one key server: a custodian takes a record of its own back, for good or in favour of another one."""

from __future__ import annotations

from typing import Any

from consentum.crypto import typed
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, SignatureRefused
from consentum.flow.keyserver.server import KeyServer, asking_the_chain
from consentum.flow.wire import Retraction
from consentum.ports.chain import Claim, Roles
from consentum.ports.server_store import Tombstone

MAX_AHEAD_SECONDS = 3_600


def retract(server: KeyServer, request: Retraction) -> dict[str, Any]:
    """Destroys the record's share here and the key it is wrapped with, and answers with a signed receipt; again, with
    the same. The record is then as unknown as one that never was, and can never be deposited again.

    A retraction never lapses: one that a server missed for a month must still be taken. MalformedError,
    SignatureRefused: not by the custodian or its `deposit` delegate. NotFoundError: no such record of this custodian,
    which may also mean that its deposit has not arrived. ConflictError: retracted with another successor.
    RefusedError: the chain cannot be asked, BEHIND_ANCHOR, DRAINING.
    """
    server.require_serving()
    message = request.retract
    if message.signedAt > server.now() + MAX_AHEAD_SECONDS:
        raise MalformedError("signed more than an hour ahead", field="signedAt")
    view = server.fresh_view()
    claim = Claim(message.custodian, Roles.DEPOSIT, typed.digest(server.domain, message), request.signature)
    with asking_the_chain():
        signed = server.ledger.signed_by(view.latest, [claim])[0]
    if not signed:
        raise SignatureRefused("the retraction is not signed by its custodian", field="signature")
    asked = Tombstone(message.record, message.custodian.lower(), message.successor, message.signedAt, request.signature)
    kept = server.store.retract(asked)
    receipt = {
        "v": 1,
        "server": server.address.lower(),
        "custodian": kept.custodian,
        "record": hexed(kept.record),
        "successor": hexed(kept.successor),
    }
    return {"receipt": receipt, "signature": hexed(server.sign(RETRACT_CONTEXT, receipt))}
