# SPDX-License-Identifier: Apache-2.0
"""The gateway's routes for identities, studies and boards."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from consentum.flow.gateway import boards, identities, studies
from consentum.flow.gateway.gateway import Gateway
from consentum.services import schemas
from consentum.services.gateway.idempotent import IdempotencyKey, once
from consentum.services.http import Body, SignedIn
from consentum.wiring.gateway import GatewayProcess


def add_routes(app: FastAPI, process: GatewayProcess) -> None:
    """Adds them all."""
    _identity_routes(app, process.gateway)
    _study_routes(app, process.gateway)
    _board_routes(app, process.gateway)


def _identity_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/identities", openapi_extra=schemas.body(schemas.IDENTITY))
    def identity(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{kind, message, signature}: delegates, recovery and owner changes, for those the gateway pays for."""
        return once(gateway.shared, key, ("/v1/identities", body), lambda: identities.submit(gateway, body))

    @app.post("/v1/identities/recoveries", openapi_extra=schemas.body(schemas.RECOVERY))
    def recovery(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{identity, newOwner, votes}: her recovery delegates propose a new owner."""
        return once(gateway.shared, key, ("/v1/identities/recoveries", body), lambda: identities.recover(gateway, body))

    @app.post("/v1/identities/finalizations", openapi_extra=schemas.body(schemas.FINALIZATION))
    def finalization(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{identity}: completes an owner change whose delay is over."""
        where = ("/v1/identities/finalizations", body)
        return once(gateway.shared, key, where, lambda: identities.finalize(gateway, body))

    @app.get("/v1/relayed/{identity}")
    def relayed(identity: str) -> dict[str, Any]:
        """What became of a message that was queued for the chain."""
        return identities.relayed(gateway, identity)


def _study_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/studies", openapi_extra=schemas.body(schemas.STUDY))
    def propose(body: Body, who: SignedIn, key: IdempotencyKey = None) -> dict[str, Any]:
        """{propose, signature, name, title, summary, forms}: a study's card, and its proposal to its board."""
        return once(gateway.shared, key, (f"/v1/studies {who}", body), lambda: studies.propose(gateway, body, who))

    @app.get("/v1/studies")
    def listed() -> dict[str, Any]:
        """Every study that has a card here, as the chain has it."""
        return studies.listed(gateway)

    @app.get("/v1/studies/{study}")
    def show(study: str) -> dict[str, Any]:
        """One study by name or id."""
        return studies.show(gateway, study)

    @app.post("/v1/studies/{study}/amendments", openapi_extra=schemas.body(schemas.AMENDMENT))
    def amend(study: str, body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{message, signature, forms}: the lead proposes the next version."""
        where = (f"/v1/studies/{study}/amendments", body)
        return once(gateway.shared, key, where, lambda: studies.amend(gateway, study, body))

    @app.post("/v1/studies/{study}/members", openapi_extra=schemas.body(schemas.by_lead("SetMember")))
    def member(study: str, body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{message, signature}: the lead lets somebody in or out."""
        where = (f"/v1/studies/{study}/members", body)
        return once(gateway.shared, key, where, lambda: studies.set_member(gateway, study, body))

    @app.post("/v1/studies/{study}/withdrawal", openapi_extra=schemas.body(schemas.by_lead("Withdraw")))
    def withdraw(study: str, body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{message, signature}: the lead closes her study."""
        where = (f"/v1/studies/{study}/withdrawal", body)
        return once(gateway.shared, key, where, lambda: studies.withdraw(gateway, study, body))


def _board_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/boards", openapi_extra=schemas.body(schemas.BOARD))
    def create(body: Body, who: SignedIn, key: IdempotencyKey = None) -> dict[str, Any]:
        """{members, quorum, salt}: a new board."""
        return once(gateway.shared, key, (f"/v1/boards {who}", body), lambda: boards.create(gateway, body, who))

    @app.post("/v1/motions", openapi_extra=schemas.body(schemas.MOTION))
    def vote(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{kind, message, signature}: a member's vote; at quorum the decision goes to the chain."""
        return once(gateway.shared, key, ("/v1/motions", body), lambda: boards.vote(gateway, body))

    @app.get("/v1/motions")
    def motions(who: SignedIn, board: str) -> dict[str, Any]:
        """A board's motions, to its members."""
        return boards.motions(gateway, board, who)

    @app.post("/v1/motions/{motion}/recusals", openapi_extra=schemas.body(schemas.RECUSAL))
    def recuse(motion: str, body: Body, who: SignedIn, key: IdempotencyKey = None) -> dict[str, Any]:
        """{motion}: a member takes herself out of this decision."""
        where = (f"/v1/motions/{motion}/recusals {who}", body)
        return once(gateway.shared, key, where, lambda: boards.recuse(gateway, motion, body, who))
