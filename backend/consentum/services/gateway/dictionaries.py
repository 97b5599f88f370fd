# SPDX-License-Identifier: Apache-2.0
"""Data dictionaries over HTTP: what a custodian declares about its records, for researchers to plan with."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from consentum.domain.dictionary import KINDS, MAX_COLUMNS, MAX_VALUES
from consentum.flow.gateway import dictionaries
from consentum.services import schemas
from consentum.services.http import Body, SignedIn
from consentum.wiring.gateway import GatewayProcess

_TEXT: schemas.Schema = {"type": "string"}
_NUMBER: schemas.Schema = {"type": ["number", "null"]}
_BOUND: schemas.Schema = {"type": ["number", "string", "null"]}
_COLUMN: schemas.Schema = {
    "type": "object",
    "required": ["name", "type"],
    "additionalProperties": False,
    "properties": {
        "name": _TEXT,
        "type": {"enum": list(KINDS)},
        "unit": _TEXT,
        "description": _TEXT,
        "minimum": _BOUND,
        "maximum": _BOUND,
        "mean": _NUMBER,
        "deviation": _NUMBER,
        "values": {"type": "array", "items": _TEXT, "maxItems": MAX_VALUES},
    },
}
DICTIONARY = schemas.exactly(
    title=_TEXT,
    version={"type": "integer", "minimum": 1},
    contentType=_TEXT,
    columns=schemas.list_of(_COLUMN, MAX_COLUMNS),
)


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    """PUT one, GET those of some categories."""
    gateway = process.gateway

    @app.put("/v1/dictionaries/{custodian}/{category}", openapi_extra=schemas.body(DICTIONARY))
    def put(custodian: str, category: str, body: Body, who: SignedIn) -> dict[str, Any]:
        """{title, version, contentType, columns}: published by whoever may deposit for the custodian."""
        published = dictionaries.parse(custodian, category, body)
        return dictionaries.publish(gateway, process.settings.custodians, published, who)

    @app.get("/v1/dictionaries")
    def get(categories: int) -> dict[str, Any]:
        """The dictionaries of a mask of categories: declared properties, never data, so for anybody."""
        return dictionaries.listed(gateway, categories)
