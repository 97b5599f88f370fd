# SPDX-License-Identifier: Apache-2.0
"""The gateway over HTTP: consents, revocations, forms, content, deposits, cohorts, releases."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from eth_utils.crypto import keccak
from fastapi import FastAPI

from consentum.crypto import typed
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import MalformedError, NotFoundError
from consentum.flow.gateway import cohort, forward, relay
from consentum.flow.gateway.studies import MAX_FORM_CHARACTERS
from consentum.ports.chain import Roles
from consentum.services import schemas
from consentum.services.frame import framed
from consentum.services.gateway import content, dictionaries, enrolments, jobs, registries, retractions
from consentum.services.gateway.idempotent import IdempotencyKey, check, once
from consentum.services.gateway.limits import ANONYMOUS_PER_MINUTE, Meter, Metered, count_form
from consentum.services.http import Body, SignedIn, add_login
from consentum.services.observe import Metrics, age_of
from consentum.wiring.gateway import GatewayProcess
from consentum.wiring.upkeep import Upkeep


def create_app(process: GatewayProcess) -> FastAPI:
    """The application of one gateway; its background work lives as long as the application."""
    app = framed("Consentum gateway", process, process.start, process.stop, process.warnings)
    add_login(app, process.desk)
    metrics, gateway = app.state.metrics, process.gateway
    metrics.gauge("consentum_balance_wei", "What the relayer can pay.", gateway.sender.balance)
    metrics.gauge("consentum_newest_block_age_seconds", "Age of the newest block.", lambda: age_of(gateway.ledger))
    if process.upkeep is not None:
        _copy_metrics(metrics, process.upkeep)
    _patient_routes(app, process)
    _form_routes(app, process)
    content.add_routes(app, process)
    _job_routes(app, process)
    enrolments.add_routes(app, process)
    retractions.add_routes(app, process)
    dictionaries.add_routes(app, process)
    jobs.add_routes(app, process)
    registries.add_routes(app, process)
    app.add_middleware(Metered, meter=Meter(ANONYMOUS_PER_MINUTE), desk=process.desk)
    return app


def _copy_metrics(metrics: Metrics, upkeep: Upkeep) -> None:
    scrubber = upkeep.scrubber
    metrics.gauge(
        "consentum_store_copies_missing", "Copies of records to be had again.", lambda: scrubber.tally().missing
    )
    metrics.gauge("consentum_store_removals_owed", "Copies still to be removed.", lambda: scrubber.tally().owed)
    metrics.gauge("consentum_store_pins_missing", "Pins that services do not confirm.", upkeep.unpinned)
    metrics.gauge("consentum_store_last_full_pass_seconds", "When every copy was last verified.", scrubber.last_pass)


def _patient_routes(app: FastAPI, process: GatewayProcess) -> None:
    gateway = process.gateway

    @app.get("/v1/deployment")
    def deployment() -> dict[str, Any]:
        """The chain and the contracts this gateway works with, and the key servers it forwards to."""
        return {**asdict(process.deployment), "key_servers": list(process.settings.key_servers)}

    @app.post("/v1/consents", openapi_extra=schemas.body(schemas.GRANT))
    def grant(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{consent, signature}: keeps the opening and puts the grant on chain, for those the gateway pays for."""
        return once(gateway.shared, key, ("/v1/consents", body), lambda: relay.grant(gateway, body))

    @app.post("/v1/revocations", openapi_extra=schemas.body(schemas.NOTICE))
    def revoke(body: Body, key: IdempotencyKey = None) -> dict[str, Any]:
        """{kind, message, signature}: to every key server at once, and on chain. Done anew each time, whatever the key:
        said twice it means the same, and a server that missed it is told again."""
        check(key)
        return relay.revoke(gateway, body)

    @app.get("/v1/consents")
    def consents(who: SignedIn, subject: str) -> dict[str, Any]:
        """A subject's consents with their state on chain, to herself and her delegates."""
        typed.address_bytes(subject)
        block = gateway.ledger.view().latest
        if not gateway.ledger.may_act(block, subject, Roles.CONSENT | Roles.GUARDIAN, who):
            raise NotFoundError("no such subject", field="subject")
        found = gateway.store.openings_of([subject]).get(subject.lower(), [])
        pairs = [(subject, typed.struct_hash(consent)) for consent in found]
        standings = gateway.ledger.standings(block, pairs)
        rows = zip(found, pairs, standings, strict=True)
        return {
            "consents": [
                {"consent": typed.to_json(c), "commitment": hexed(h), "standing": asdict(s)} for c, (_, h), s in rows
            ]
        }


def _form_routes(app: FastAPI, process: GatewayProcess) -> None:
    store = process.gateway.store

    @app.post("/v1/forms", openapi_extra=schemas.body(schemas.FORM))
    def add_form(body: Body, who: SignedIn) -> dict[str, str]:
        """{text}: keeps a form's text; its keccak256 is the hash that studies and consents name."""
        text = as_object(body, "request", "text")["text"]
        if not isinstance(text, str) or not 0 < len(text) <= MAX_FORM_CHARACTERS:
            raise MalformedError(f"a form has 1 to {MAX_FORM_CHARACTERS} characters", field="text")
        count_form(process.gateway.shared, who)
        form = keccak(text.encode())
        store.add_form(form, text)
        return {"form": hexed(form)}

    @app.get("/v1/forms/{form}")
    def form(form: str) -> dict[str, str]:
        """The exact text behind a form's hash."""
        return {"form": form, "text": store.form(as_bytes(form, "form", 32))}


def _job_routes(app: FastAPI, process: GatewayProcess) -> None:
    gateway = process.gateway

    @app.post("/v1/deposits", openapi_extra=schemas.body(schemas.DEPOSITS))
    def deposit(body: Body, who: SignedIn) -> dict[str, Any]:
        """{requests}: a batch of a custodian of the settings, one part per key server."""
        return forward.deposit(gateway, body, who)

    @app.post("/v1/cohorts", openapi_extra=schemas.body(schemas.COHORT))
    def cohort_(body: Body, who: SignedIn) -> dict[str, Any]:
        """{job, jobSignature, categories}: what the job would get now; the records only for its runner."""
        return cohort.cohort(gateway, body, who)

    @app.post("/v1/releases", openapi_extra=schemas.body(schemas.FORWARD))
    def release(body: Body, who: SignedIn) -> dict[str, Any]:
        """{server, request}: one page to one key server, openings attached."""
        return dict(forward.release(gateway, body, who))
