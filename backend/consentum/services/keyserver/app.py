# SPDX-License-Identifier: Apache-2.0
"""The key server over HTTP: deposit, release, notices, journal, health."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.errors import NotFoundError, RefusedError
from consentum.flow.keyserver import anchor, deposit, notice, release, retract, spread
from consentum.flow.wire import DepositRequest, Notice, ReleaseRequest, Retraction
from consentum.ports.chain import Roles
from consentum.services import schemas
from consentum.services.frame import framed
from consentum.services.http import Body, SignedIn, add_login
from consentum.services.observe import age_of
from consentum.wiring.keyserver import KeyServerProcess


def create_app(process: KeyServerProcess) -> FastAPI:
    """The application of one server; its background work lives as long as the application."""
    app = framed("Consentum key server", process, process.start, process.stop, process.warnings)
    add_login(app, process.desk)
    _numbers(app, process)
    _working_routes(app, process)
    _notice_routes(app, process)
    _journal_routes(app, process)
    return app


def _numbers(app: FastAPI, process: KeyServerProcess) -> None:
    server, metrics = process.server, app.state.metrics
    metrics.gauge("consentum_journal_size", "Entries of the journal.", process.store.journal_size)
    metrics.gauge("consentum_balance_wei", "What the account can pay.", process.sender.balance)
    metrics.gauge("consentum_newest_block_age_seconds", "Age of the newest block.", lambda: age_of(server.ledger))
    metrics.gauge("consentum_serving", "1 if it would release now.", lambda: float(not process.why_not_ready()))


def _working_routes(app: FastAPI, process: KeyServerProcess) -> None:
    server, metrics = process.server, app.state.metrics

    @app.get("/v1/server")
    def about() -> dict[str, Any]:
        """Who this is: address, chain, and the newest sealing key, which the chain knows by its hash."""
        epoch, public = server.sealing_key()
        return {
            "address": server.address.lower(),
            "chainId": server.domain.chain_id,
            "consentRegistry": server.domain.contract,
            "checkpointKey": hexed(server.checkpoint_key.public_key().public_bytes_raw()),
            "epoch": epoch,
            "sealingKey": hexed(public),
        }

    @app.post("/v1/deposits", openapi_extra=schemas.body(schemas.DEPOSIT))
    def deposit_(body: Body) -> dict[str, Any]:
        """D5: a custodian's batch."""
        return deposit.accept(server, DepositRequest.parse(body))

    @app.post("/v1/releases", openapi_extra=schemas.body(schemas.RELEASE))
    def release_(body: Body) -> dict[str, Any]:
        """R1 to R7: one page of a job."""
        try:
            answer = release.release(server, ReleaseRequest.parse(body))
        except RefusedError as error:
            metrics.decided({error.reason.name: 1})  # a whole page at once
            raise
        metrics.decided(answer.receipt["counts"])
        return answer.to_json()

    @app.post("/v1/retractions", openapi_extra=schemas.body(schemas.RETRACTION))
    def retract_(body: Body) -> dict[str, Any]:
        """A custodian's record taken back, by the custodian or its `deposit` delegate."""
        return retract.retract(server, Retraction.parse(body))


def _notice_routes(app: FastAPI, process: KeyServerProcess) -> None:
    server = process.server

    @app.post("/v1/notices", openapi_extra=schemas.body(schemas.NOTICE))
    def notice_(body: Body) -> dict[str, Any]:
        """A signed Revoke, RevokeAll or Freeze, from anybody."""
        return notice.accept(server, Notice.parse(body))

    @app.get("/v1/notices")
    def notices(after: int = 0) -> dict[str, Any]:
        """What this server holds, at most 1,000 in the order of their coming, from the first above number `after`. To
        anybody: every one of these messages is, or is about to be, public on chain."""
        return spread.page(server, after)


def _journal_routes(app: FastAPI, process: KeyServerProcess) -> None:
    server, store = process.server, process.store

    @app.get("/v1/journal/checkpoint", response_class=PlainTextResponse)
    def checkpoint() -> str:
        """The signed checkpoint (C2SP tlog-checkpoint)."""
        return anchor.checkpoint(server)

    @app.get("/v1/journal/inclusion")
    def inclusion(index: int, size: int) -> dict[str, Any]:
        """RFC 9162 inclusion proof of one leaf in the tree of `size`."""
        return {"index": index, "size": size, "proof": [hexed(node) for node in store.inclusion(index, size)]}

    @app.get("/v1/journal/consistency")
    def consistency(old: int, new: int) -> dict[str, Any]:
        """RFC 9162 consistency proof between two sizes."""
        return {"old": old, "new": new, "proof": [hexed(node) for node in store.consistency(old, new)]}

    @app.get("/v1/journal/entries")
    def entries(who: SignedIn, subject: str) -> dict[str, Any]:
        """Every decision about a subject's records, to herself, her delegates and guardians."""
        if not _may_read(process, subject, who):
            raise NotFoundError("no such entries", field="subject")
        return {"entries": [{"index": index, "entry": asdict(entry)} for index, entry in store.entries_of(subject)]}

    @app.get("/v1/journal/entries/{index}")
    def entry(index: int, who: SignedIn) -> dict[str, Any]:
        """One decision; not there and not yours are the same."""
        found = store.entry(index) if 0 <= index < store.journal_size() else None
        if found is None or not _may_read(process, found.subject, who):
            raise NotFoundError("no such entry", field="index")
        return {"index": index, "entry": asdict(found)}


def _may_read(process: KeyServerProcess, subject: str, who: str) -> bool:
    ledger = process.server.ledger
    if not subject:
        return False
    typed.address_bytes(subject)
    return ledger.may_act(ledger.view().latest, subject, Roles.CONSENT | Roles.GUARDIAN, who)
