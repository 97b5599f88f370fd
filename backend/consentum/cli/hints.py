# SPDX-License-Identifier: Apache-2.0
"""What to do about a failure, by its code. Reasons have their words in domain.explanations."""

from __future__ import annotations

from consentum.domain.explanations import EXPLANATIONS

_HINTS = {
    "ERROR": "The message says what is missing; consentum doctor looks for the usual causes.",
    "MALFORMED": "Correct the named field; unchanged it is refused again.",
    "SIGNATURE": "Sign with the controller's key, or with a delegate's that may act in this respect; look at --home.",
    "NOT_FOUND": "Check the id and whose key you use: what is not yours looks as if it were not there.",
    "CONFLICT": "Something else is there under this name; what was there stays. Choose another name, or look at it.",
    "OUTDATED": "Something arrived meanwhile; run the command again.",
    "REPLAYED": "Sign a new message: a nonce counts once.",
    "UNAVAILABLE": "Nothing was changed. See that the other side runs (consentum status), then run the command again.",
    "NOT_READY": "The named part says what to look at; consentum explain CODE says more.",
    "NOT_RUNNING": "Start it: consentum up.",
    "RPC": "The chain node refused; look at its log. Nothing was changed.",
    "REVERTED": "The contract refuses this; look at who signs, at dates and at what is on chain already.",
    "CORRUPT": "Do not use it; take it again from its source. In a journal: keep the folder, somebody altered it.",
    "KEY_FILE": "Look at the key file: it must exist, be whole and have mode 0600 (chmod 600 FILE); restore your copy.",
    "SETTINGS": "Correct the named setting; docs/settings.md lists all with their defaults.",
    "PORT_TAKEN": "End what uses this port, or choose others with --port.",
    "NOT_SPONSORED": "This gateway pays only for subjects whom a custodian recognised; enrol first, or pay yourself.",
    "IDEMPOTENCY": "This Idempotency-Key was used for another body; choose a new one.",
    "LIMIT": "Too much at once; wait, or ask for less.",
    "USAGE": "Add --help to the command to see what it takes.",
    "INTERRUPTED": "Run it again; what was acknowledged stays.",
    "UNEXPECTED": "Our mistake: report it with the ticket; consentum doctor looks for the usual causes.",
    "TOO_LARGE": "Send less at once.",
    "METHOD_NOT_ALLOWED": "The other side is of another version; compare consentum --version.",
    "HTTP": "The other side is no Consentum process, or a proxy answers in its place; check the URL.",
}

HINTS: dict[str, str] = {**{reason.name: told.remedy for reason, told in EXPLANATIONS.items()}, **_HINTS}


def hint_of(code: str) -> str:
    """What to do about a code; for one we do not know, where to look."""
    return HINTS.get(code, _HINTS["ERROR"])
