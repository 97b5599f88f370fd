# SPDX-License-Identifier: Apache-2.0
"""The gateway's routes of enrolments, and a patient's list of her records."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from consentum.domain.parsing import as_bytes
from consentum.flow.gateway import enrolments
from consentum.services import schemas
from consentum.services.http import Body, SignedIn
from consentum.wiring.gateway import GatewayProcess


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    gateway = process.gateway

    @app.post("/v1/invites", openapi_extra=schemas.body(schemas.INVITES))
    def invite(body: Body, who: SignedIn) -> dict[str, Any]:
        """{custodian, tickets}: what the gateway will know a custodian's invites by."""
        return enrolments.invite(gateway, body, who)

    @app.post("/v1/enrolments", openapi_extra=schemas.body(schemas.HANDED_IN))
    def enrol(body: Body) -> dict[str, Any]:
        """{enrol, signature, proof}: a subject's word for a custodian of this gateway, kept until it looks."""
        return enrolments.enrol(gateway, process.settings.custodians, body)

    @app.get("/v1/enrolments")
    def list_enrolments(who: SignedIn, custodian: str, after: str = "") -> dict[str, Any]:
        """A custodian's enrolments in the order of their hashes, the first page or the one after a hash."""
        start = as_bytes(after, "after", 32) if after else b""
        return enrolments.of_custodian(gateway, custodian, start, who)

    @app.post("/v1/enrolments/{enrolment}/recognise")
    def recognise(enrolment: str, who: SignedIn) -> dict[str, Any]:
        """The custodian knows the subject behind it: from now on this gateway pays for her."""
        return enrolments.recognise(gateway, as_bytes(enrolment, "enrolment", 32), who)

    @app.get("/v1/records")
    def records(who: SignedIn, subject: str) -> dict[str, Any]:
        """A subject's records: custodian, categories, committee and when each was deposited."""
        return enrolments.records_of(gateway, subject, who)
