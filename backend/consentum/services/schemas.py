# SPDX-License-Identifier: Apache-2.0
"""What the OpenAPI documents say about bodies, derived from types.json. Parsing itself is flow.wire's."""

from __future__ import annotations

from typing import Any

from consentum.crypto import typed
from consentum.domain.package import DROP, OUTPUT_KINDS, RAISE
from consentum.domain.parsing import MAX_ITEMS

Schema = dict[str, Any]

HEX: Schema = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}


def hex_of(length: int) -> Schema:
    """0x text of `length` bytes."""
    return {"type": "string", "pattern": f"^0x[0-9a-fA-F]{{{2 * length}}}$"}


def exactly(**properties: Schema) -> Schema:
    """An object with these fields and no other."""
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def list_of(item: Schema, at_most: int = MAX_ITEMS) -> Schema:
    return {"type": "array", "items": item, "minItems": 1, "maxItems": at_most}


def message(name: str) -> Schema:
    """A signed struct."""
    return exactly(**{field: _field(kind) for field, kind in typed.fields_of(name)})


def _field(kind: str) -> Schema:
    if kind.endswith("[]"):
        return {"type": "array", "items": _field(kind[:-2])}
    if kind in typed.MESSAGES:
        return message(kind)
    if kind == "address":
        return hex_of(20)
    if kind.startswith("uint"):
        return {"type": "integer", "minimum": 0, "maximum": 2 ** int(kind[4:]) - 1}
    if kind == "bytes32":
        return hex_of(32)
    return {"bool": {"type": "boolean"}, "string": {"type": "string"}}.get(kind, HEX)


def body(schema: Schema) -> Schema:
    """For a route's openapi_extra."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_RECORD = exactly(
    subject=hex_of(20),
    categories={"type": "integer", "minimum": 1},
    cid={"type": "string"},
    keyCommitment=hex_of(32),
    salt=hex_of(32),
)
_ENROLMENT = exactly(enrol=message("Enrol"), signature=HEX)
_PAGE = {
    "job": message("Job"),
    "jobSignature": HEX,
    "release": message("Release"),
    "releaseSignature": HEX,
    "responseKey": hex_of(1216),
    "records": list_of(hex_of(32)),
}

LOGIN = exactly(login=message("Login"), signature=HEX)
RELEASE = exactly(**_PAGE, openings=list_of({"anyOf": [message("Consent"), {"type": "null"}]}))
DEPOSIT = exactly(
    deposit=message("Deposit"),
    signature=HEX,
    records=list_of(_RECORD),
    enrolments=list_of(_ENROLMENT),
    epoch={"type": "integer", "minimum": 1},
    sealed=HEX,
)
RETRACTION = exactly(retract=message("Retract"), signature=HEX)
NOTICE = exactly(
    kind={"enum": ["Revoke", "RevokeAll", "Freeze"]},
    message={"anyOf": [message(kind) for kind in ("Revoke", "RevokeAll", "Freeze")]},
    signature=HEX,
)
_TEXT = {"type": "string", "minLength": 1}
_VOTE = exactly(member=hex_of(20), signature=HEX)


def one_of(*kinds: str) -> Schema:
    """A signed message of one of these kinds."""
    messages = {"anyOf": [message(kind) for kind in kinds]}
    return exactly(kind={"enum": list(kinds)}, message=messages, signature=HEX)


def by_lead(kind: str) -> Schema:
    """A message of a study's lead."""
    return exactly(message=message(kind), signature=HEX)


IDENTITY = one_of("AddDelegate", "RevokeDelegate", "SetRecovery", "ProposeOwner", "CancelOwner")
RECOVERY = exactly(identity=hex_of(20), newOwner=hex_of(20), votes=list_of(_VOTE, 100))
FINALIZATION = exactly(identity=hex_of(20))
STUDY = exactly(
    propose=message("Propose"), signature=HEX, name=_TEXT, title=_TEXT, summary=_TEXT, forms=list_of(_TEXT, 20)
)
AMENDMENT = exactly(message=message("Amend"), signature=HEX, forms=list_of(_TEXT, 20))
BOARD = exactly(members=list_of(hex_of(20), 100), quorum={"type": "integer", "minimum": 1}, salt=hex_of(32))
MOTION = one_of("Approve", "Reject", "Suspend", "Close", "Accredit", "AcceptForm", "ChangeBoard")
RECUSAL = exactly(motion=hex_of(32))
GRANT = exactly(consent=message("Consent"), signature=HEX)
HANDED_IN = exactly(enrol=message("Enrol"), signature=HEX, proof=hex_of(32))
INVITES = exactly(
    custodian=hex_of(20),
    tickets=list_of(exactly(ticket=hex_of(32), expires={"type": "integer", "minimum": 0})),
)
FORM = exactly(text={"type": "string", "minLength": 1})
UPLOAD = exactly(cid={"type": "string"}, size={"type": "integer", "minimum": 1, "maximum": 1 << 40})
CIDS = exactly(cids=list_of({"type": "string"}))
DEPOSITS = exactly(requests={"type": "object", "additionalProperties": DEPOSIT, "minProperties": 2})
COHORT = exactly(job=message("Job"), jobSignature=HEX, categories={"type": "integer", "minimum": 1})
FORWARD = exactly(server=hex_of(20), request=exactly(**_PAGE))
PACKAGE = exactly(
    files={"type": "object", "additionalProperties": {"type": "string", "contentEncoding": "base64"}},
    entry={"type": "string"},
    categories={"type": "integer", "minimum": 1},
    outputs={"type": "object", "additionalProperties": {"enum": list(OUTPUT_KINDS)}},
)
PACKAGE["properties"]["onConsentChange"] = {"enum": [RAISE, DROP]}
JOB = exactly(job=message("Job"), jobSignature=HEX, package=PACKAGE, resultKey=hex_of(1216), resultNonce=hex_of(32))
NOTHING = exactly()
_ANY: Schema = {"type": "object"}
EVENT = exactly(lease=_TEXT, state={"enum": ["admitted", "running"]}, stage={"type": "string"})
_ACCOUNT = {
    "manifest": _ANY,
    "counts": _ANY,
    "receipts": {"type": "array", "items": exactly(receipt=_ANY, signature=HEX)},
}
RESULT: Schema = {
    "anyOf": [
        exactly(lease=_TEXT, sealedOutputs=HEX, **_ACCOUNT),
        {
            "type": "object",
            "properties": {"lease": _TEXT, "error": exactly(code=_TEXT, detail=_TEXT), **_ACCOUNT},
            "required": ["lease", "error"],
            "additionalProperties": False,
        },
    ]
}
CAR = {"requestBody": {"required": True, "content": {"application/vnd.ipld.car": {"schema": {"type": "string"}}}}}
PIECE = {"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}}
