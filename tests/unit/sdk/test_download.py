# SPDX-License-Identifier: Apache-2.0
"""Downloads: where access says so, the requester collects for herself, from real key servers through the gateway."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from consentum.adapters.peers.content import GatewayContent
from consentum.crypto.envelope import Header
from consentum.domain.parsing import hexed
from consentum.domain.terms import Access
from consentum.errors import CorruptError, RefusedError
from consentum.flow.client.deposit import Document, prepare
from consentum.sdk.client import Client
from consentum.sdk.study import Study
from tests.unit.client.world import COMMITTEE, LAB, NOW
from tests.unit.gateway.conftest import gateway, sender, world
from tests.unit.gateway.messages import grant_body
from tests.unit.sdk.conftest import TERMS
from tests.unit.sdk.test_with_the_gateway import Bench, bench

__all__ = ["bench", "gateway", "sender", "world"]


@pytest.fixture
def study(bench: Bench) -> Study:
    """A study that may download, and one laboratory record each of Alice and Bob; nobody has consented yet."""
    hospital = bench.connection(bench.world.hospital)
    custodian = replace(bench.world.custodian(), depository=GatewayContent(hospital.gateway))
    documents = [
        Document(who.address, LAB, Header(f"{n}.json", "application/json"), b'{"n": %d}' % n)
        for n, who in enumerate((bench.world.alice, bench.world.bob))
    ]
    batch = prepare(custodian, documents, bench.world.enrolments(), NOW)
    assert hospital.gateway.post("/v1/deposits", batch.to_json())["acknowledged"]
    client = Client(connection=bench.connection(bench.world.researcher))
    return replace(bench.study(client), terms=replace(TERMS, access=int(Access.DOWNLOAD)))


def consents(bench: Bench, *people: str) -> None:
    for name in people:
        who = getattr(bench.world, name)
        consent = bench.world.granted(bench.world.consent(who))
        assert bench.web.post("/v1/consents", json=grant_body(consent, who)).status_code == 200


def test_a_record_whose_patient_allows_it_is_read_by_the_researcher_herself(bench: Bench, study: Study) -> None:
    consents(bench, "alice", "bob")
    records = sorted(study.records(["laboratory"]), key=lambda record: record.name)
    assert [(record.name, record.json()) for record in records] == [("0.json", {"n": 0}), ("1.json", {"n": 1})]
    assert len({record.pseudonym for record in records}) == 2


def test_a_record_whose_patient_did_not_is_not_there(bench: Bench, study: Study) -> None:
    consents(bench, "bob")
    assert [record.json() for record in study.records(["laboratory"])] == [{"n": 1}]


def test_without_any_consent_it_says_so(study: Study) -> None:
    with pytest.raises(RefusedError):
        study.records(["laboratory"])


def test_a_committee_that_she_does_not_believe_is_refused(bench: Bench, study: Study) -> None:
    consents(bench, "alice")
    assert len(list(study.records(["laboratory"], committees=[hexed(COMMITTEE)]))) == 1
    with pytest.raises(CorruptError):
        study.records(["laboratory"], committees=[hexed(bytes(32))])


def test_what_was_downloaded_lies_nowhere_in_the_clear(bench: Bench, study: Study, tmp_path: Path) -> None:
    consents(bench, "alice")
    [record] = study.records(["laboratory"])
    assert all(record.content not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
