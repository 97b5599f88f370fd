# SPDX-License-Identifier: Apache-2.0
"""A researcher with a home, an approved study on a chain in memory, and a gateway that speaks the protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.peers.http import HttpClient
from consentum.adapters.peers.session import Session
from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import Terms
from consentum.domain.terms import Access, Category, Purpose
from consentum.sdk.client import Client
from consentum.settings import ClientSettings
from consentum.wiring.client import PATIENCE_SECONDS, Connection, HomeKeys
from tests.fakes.ledger import FakeLedger
from tests.fakes.state import Study as OnChain
from tests.fakes.web import client_of, through
from tests.unit.sdk.stand_in import ORIGIN, StandIn

STUDY, BOARD, NAME = b"\x05" * 32, b"\x0b" * 32, "breast-diagnosis"
WARD = "0x" + "c3" * 20
TERMS = Terms(
    purposes=int(Purpose.HEALTH_RESEARCH | Purpose.DISEASE_RESEARCH),
    conditions=0,
    categories=int(Category.PATHOLOGY | Category.LABORATORY),
    access=int(Access.COMPUTE),
    diseases=(),
    protocol=bytes(32),
)
DICTIONARY = {
    "title": "Aspirates",
    "version": 1,
    "contentType": "application/json",
    "columns": [
        {"name": "radius", "type": "number", "unit": "px", "minimum": 6, "maximum": 30, "mean": 14, "deviation": 3},
        {"name": "nuclei", "type": "integer", "minimum": 1, "maximum": 9},
        {"name": "benign", "type": "boolean"},
        {"name": "site", "type": "category", "values": ["left", "right"]},
        {"name": "taken", "type": "date", "minimum": "2019-01-01", "maximum": "2020-12-31"},
        {"name": "remark", "type": "text"},
    ],
}


def in_process(gateway: StandIn) -> HttpClient:
    """A client whose requests do not leave the process."""
    return client_of(TestClient(gateway.app(), base_url=ORIGIN), ORIGIN)


class InProcess(Connection):
    """A connection to a stand-in."""

    stand_in: StandIn

    @cached_property
    def gateway(self) -> HttpClient:
        client = in_process(self.stand_in)
        client.sign_in(self.key, self.deployment.user_domain)
        return client

    def patient(self, seconds: float = PATIENCE_SECONDS) -> Session:
        return through(TestClient(self.stand_in.app(), base_url=ORIGIN), Connection.patient(self, seconds))


@dataclass(slots=True)
class Lab:
    """Everything of one test."""

    ledger: FakeLedger
    gateway: StandIn
    researcher: WalletKey
    runner: WalletKey
    folder: Path
    terms: Terms = TERMS

    def on_chain(self, terms: Terms = TERMS, until: int | None = None) -> None:
        """The study, approved for a year unless told."""
        year = self.ledger.now + 365 * 86_400
        lead = WalletKey().address.lower()
        me = {self.researcher.address.lower()}
        self.ledger.pending.studies[STUDY] = OnChain(lead, BOARD, terms, frozenset(), until or year, me)
        self.ledger.pending.runners[BOARD, self.runner.address.lower()] = year
        self.ledger.settle()
        card = {"study": hexed(STUDY), "name": NAME, "title": "Shapes of tumours", "board": hexed(BOARD)}
        card |= {"terms": typed.to_json(terms), "approvedUntil": until or year, "status": "approved"}
        self.gateway.cards = {NAME: card, hexed(STUDY): card}

    def connection(self, key: WalletKey | None = None, sealing: SealingKey | None = None) -> InProcess:
        who = key or self.researcher
        made = InProcess(
            home=self.folder,
            settings=ClientSettings(gateway=ORIGIN, rpc="", identity=who.address.lower()),
            keys=HomeKeys(who, sealing or SealingKey(b"\x07" * 32)),
            deployment=self.ledger.at,
            ledger=self.ledger,  # type: ignore[arg-type]
        )
        made.stand_in = self.gateway
        return made

    def client(self, key: WalletKey | None = None, sealing: SealingKey | None = None) -> Client:
        """A client that never really waits."""
        client = Client(connection=self.connection(key, sealing))
        now = [0.0]

        def pause(seconds: float) -> None:
            now[0] += seconds

        client.session.pause, client.session.clock = pause, lambda: now[0]
        return client


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    ledger, runner = FakeLedger(), WalletKey()
    gateway = StandIn(ledger, runner, runners=[{"address": runner.address.lower(), "seen": 5}])
    gateway.dictionaries = [{"custodian": WARD, "category": int(Category.PATHOLOGY), "dictionary": DICTIONARY}]
    made = Lab(ledger, gateway, WalletKey(), runner, tmp_path)
    made.on_chain()
    return made


@pytest.fixture
def client(lab: Lab) -> Client:
    return lab.client()


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """A job's folder."""
    folder = tmp_path / "train"
    folder.mkdir()
    (folder / "train.py").write_text("def main(dataset):\n    return {'metrics': {'n': len(list(dataset))}}\n")
    return folder


def submitted(client: Client, train: Path, **options: Any) -> Any:
    job = client.study(NAME).submit(train, "train:main", ["pathology"], {"metrics": "json"}, **options)
    job.pause, job.clock = client.session.pause, client.session.clock
    return job
