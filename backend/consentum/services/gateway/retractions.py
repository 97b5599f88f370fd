# SPDX-License-Identifier: Apache-2.0
"""The gateway's route for records that their custodian takes back."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from consentum.flow.gateway import retract
from consentum.services import schemas
from consentum.services.http import Body, SignedIn
from consentum.wiring.gateway import GatewayProcess


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    """POST /v1/retractions."""

    @app.post("/v1/retractions", openapi_extra=schemas.body(schemas.RETRACTION))
    def retract_(body: Body, who: SignedIn) -> dict[str, Any]:
        """{retract, signature}: lists the record no more, and has every server of its committee destroy its share."""
        return retract.retract(process.gateway, body, who)
