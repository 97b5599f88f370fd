# SPDX-License-Identifier: Apache-2.0
"""A small real application that speaks the gateway's protocol for researchers, over a chain in memory. It checks what a
gateway must, written anew from docs/protocol.md, so that client and gateway are not wrong together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak
from fastapi import FastAPI

from consentum.crypto import sealing, typed
from consentum.crypto.signing import WalletKey
from consentum.domain.journal import canonical
from consentum.domain.messages import Job
from consentum.domain.package import JobPackage
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import MalformedError, NotFoundError, UnavailableError
from consentum.flow.login import LoginDesk
from consentum.ports.chain import Claim
from consentum.services.http import Body, SignedIn, add_login, new_app
from tests.fakes.ledger import FakeLedger

ORIGIN = "http://gateway.test"


@dataclass(slots=True)
class StandIn:
    """away: how many requests find nobody. counts: what cohorts are told. rows: what a job's runner is told."""

    ledger: FakeLedger
    runner: WalletKey
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    runners: list[dict[str, Any]] = field(default_factory=list)
    dictionaries: list[Any] = field(default_factory=list)
    counts: dict[str, Any] = field(default_factory=lambda: {"ALLOWED": 385, "NO_CONSENT": 105, "REVOKED": "<5"})
    rows: list[dict[str, Any]] = field(default_factory=list)
    away: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: dict[str, dict[str, Any]] = field(default_factory=dict)

    def app(self) -> FastAPI:
        made = new_app("stand-in", 1 << 24)
        desk = LoginDesk(self.ledger, self.ledger.at.user_domain, ORIGIN, lambda: float(self.ledger.now))
        add_login(made, desk)
        self._study_routes(made)
        self._job_routes(made)
        return made

    def _study_routes(self, app: FastAPI) -> None:
        @app.get("/v1/studies/{name}")
        def study(name: str) -> dict[str, Any]:
            self._here()
            if name not in self.cards:
                raise NotFoundError("no such study", field="study")
            return self.cards[name]

        @app.get("/v1/runners")
        def runners() -> dict[str, Any]:
            return {"runners": self.runners}

        @app.get("/v1/dictionaries")
        def dictionaries(categories: int) -> dict[str, Any]:
            return {"dictionaries": [one for one in self.dictionaries if one["category"] & categories]}

        @app.post("/v1/cohorts")
        def cohorts(body: Body, who: SignedIn) -> dict[str, Any]:
            job = self._signed(body, who)
            self.asked.append(body)
            answer = {"block": 7, "of": 490, "counts": self.counts}
            return {**answer, "records": self.rows} if job.runner == who else answer

    def _job_routes(self, app: FastAPI) -> None:
        @app.post("/v1/jobs")
        def submit(body: Body, who: SignedIn) -> dict[str, Any]:
            self._here()
            job = self._signed(body, who)
            key, nonce = as_bytes(body["resultKey"], "resultKey"), as_bytes(body["resultNonce"], "resultNonce")
            if job.salt != keccak(b"consentum/result-key/v1" + key + nonce):
                raise MalformedError("the outputs would be sealed to another", field="salt")
            if job.code != JobPackage.parse(body["package"]).digest:
                raise MalformedError("the code is not the signed one", field="code")
            identity = hexed(typed.struct_hash(job))
            self.sent.setdefault(identity, body)
            events = [{"at": self.ledger.now, "state": "queued", "stage": ""}]
            empty = {"manifest": None, "sealedOutputs": None, "error": None}
            told = {"id": identity, "state": "queued", "stage": "", "events": events, "who": who, **empty}
            self.jobs.setdefault(identity, told)
            return {"id": identity, "state": self.jobs[identity]["state"]}

        @app.get("/v1/jobs")
        def jobs(who: SignedIn) -> dict[str, Any]:
            return {"jobs": [told for told in self.jobs.values() if told["who"] == who]}

        @app.get("/v1/jobs/{identity}")
        def job(identity: str, who: SignedIn) -> dict[str, Any]:
            self._here()
            return {key: value for key, value in self._mine(identity, who).items() if key != "who"}

        @app.post("/v1/jobs/{identity}/cancel")
        def cancel(identity: str, who: SignedIn) -> dict[str, Any]:
            told = self._mine(identity, who)
            self.step(identity, "failed", "cancelled", error={"code": "CANCELLED", "detail": "cancelled"})
            return {"id": identity, "state": told["state"]}

    # What a test does to it

    def step(self, identity: str, state: str, stage: str = "", **changes: Any) -> None:
        """The job goes on."""
        told = self.jobs[identity]
        event = {"at": self.ledger.now + len(told["events"]), "state": state, "stage": stage}
        told.update(state=state, stage=stage, events=[*told["events"], event], **changes)

    def release(self, identity: str, outputs: Any, **manifest: Any) -> None:
        """The runner is done: outputs sealed to the key the job committed to, a manifest it signed."""
        sealed, told = self.sealed(identity, outputs, **manifest)
        self.step(identity, "released", "done", manifest=told, sealedOutputs=hexed(sealed))

    def sealed(self, identity: str, outputs: Any, **manifest: Any) -> tuple[bytes, dict[str, Any]]:
        """What the runner sends."""
        key = as_bytes(self.sent[identity]["resultKey"], "resultKey")
        parts = (b"consentum/outputs/1", as_bytes(identity, "id"), typed.address_bytes(self.runner.address))
        info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        sealed = sealing.seal(json.dumps(outputs).encode(), key, info)
        return sealed, self.manifest(identity, outputsHash=hexed(hashlib.sha256(sealed).digest()), **manifest)

    def manifest(self, identity: str, signer: WalletKey | None = None, **changes: Any) -> dict[str, Any]:
        """What the runner says of the job, signed by it unless told."""
        sent = self.sent[identity]
        said = {
            "v": 1,
            "at": self.ledger.now,
            "job": sent["job"],
            "jobSignature": sent["jobSignature"],
            "code": sent["job"]["code"],
            "of": 490,
            "released": 385,
            "dropped": 0,
            "refused": {"NO_CONSENT": 105},
            "cohortRoot": hexed(bytes(32)),
            "blocks": [f"0:0x{'00' * 32}"],
            "receiptsRoot": hexed(bytes(32)),
            "outputsHash": None,
            **changes,
        }
        domain = self.ledger.at.user_domain
        digest = keccak(b"consentum/manifest/1\n" + domain.separator + canonical(said))
        return {**said, "signature": hexed((signer or self.runner).sign(digest))}

    # Inside

    def _here(self) -> None:
        if self.away > 0:
            self.away -= 1
            raise UnavailableError("nobody is here")

    def _mine(self, identity: str, who: str) -> dict[str, Any]:
        if identity not in self.jobs or self.jobs[identity]["who"] != who:
            raise NotFoundError("no such job", field="id")
        return self.jobs[identity]

    def _signed(self, body: Any, who: str) -> Job:
        job = typed.from_json(Job, body["job"])
        block = self.ledger.view().latest
        digest = typed.digest(self.ledger.at.user_domain, job)
        claim = Claim(job.requester, 0, digest, as_bytes(body["jobSignature"], "jobSignature"))
        if who not in (job.requester, job.runner) or not self.ledger.signed_by(block, [claim])[0]:
            raise NotFoundError("no such job", field="job")
        return job
