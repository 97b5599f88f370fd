# SPDX-License-Identifier: Apache-2.0
"""Deposits: what a custodian's machine prepares, and what three servers acknowledge."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

from consentum.adapters.ipfs import unixfs
from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.crypto.signing import WalletKey
from consentum.domain.cid import Cid
from consentum.flow.client import deposit, terms
from consentum.flow.wire import Enrolment
from scripts.benchmarks.live import CONTENT_BYTES, PAGE, Live, document, patient
from scripts.benchmarks.measure import Run, Suite, best, milliseconds, samples

KEYS = {
    "prepare_records_per_second": "records/s",
    "acknowledged_records_per_second": "records/s",
    "acknowledged_page_p50_ms": "ms",
    "request_bytes_per_record": "bytes",
    "content_bytes_per_record": "bytes",
    "total_bytes_per_record": "bytes",
    "ratio_total_to_plain_bytes": "ratio",
}


@dataclass(slots=True)
class Nowhere:
    """A depository that only computes the CIDs, and counts."""

    stored: int = 0

    def put_all(self, contents: Sequence[bytes]) -> list[Cid]:
        self.stored += sum(map(len, contents))
        return [unixfs.cid_of(io.BytesIO(content)) for content in contents]

    def put_file(self, cid: Cid, source: BinaryIO, advance: Callable[[int], None]) -> None:
        raise NotImplementedError

    def get_all(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        raise NotImplementedError

    def open(self, cid: Cid) -> BinaryIO:
        raise NotImplementedError


@dataclass(slots=True)
class Work:
    """One batch before it is prepared: fresh people, so that nothing about them is known to a server."""

    documents: list[deposit.Document]
    enrolments: list[Enrolment]


def _work(live: Live, custodian: str) -> Work:
    people = [patient(number) for number in range(live.run.many(PAGE, 20))]
    signed = [terms.enrol(live.domain, person.key, custodian) for person in people]
    enrolments = [Enrolment(each.message, each.signature) for each in signed]  # type: ignore[arg-type]
    return Work([document(person) for person in people], enrolments)


def _custodian(live: Live, key: WalletKey, depository: Any) -> deposit.Custodian:
    ledger = live.system.ledger
    latest = ledger.view().latest
    committee = ledger.committee(latest, live.committee)
    return deposit.Custodian(
        domain=live.domain,
        address=key.address,
        signer=key,
        committee_id=live.committee,
        committee=committee,
        targets=deposit.sealing_targets(ledger, latest, committee, live.peers()),
        depository=depository,
    )


def _acknowledged(client: HttpClient, custodian: deposit.Custodian, live: Live, work: Work) -> None:
    """From the documents in the clear to the verified receipts of all three servers."""
    batch = deposit.prepare(custodian, work.documents, work.enrolments, int(time.time()))
    answer = client.post("/v1/deposits", batch.to_json())
    latest = live.system.ledger.view().latest
    for member in custodian.committee.members:
        public = live.system.ledger.server_keys(latest, member).checkpoint_key
        deposit.verify_receipt(batch, member, public, answer["receipts"][member.lower()])


def measure(run: Run) -> dict[str, float]:
    live, key = run.live(), run.live().people.custodians[0]
    run.story.doing("enrolments are signed")
    work, nowhere = _work(live, key.address), Nowhere()
    alone = _custodian(live, key, nowhere)
    now, count = int(time.time()), len(work.documents)
    run.story.doing("batches are prepared")
    batch = deposit.prepare(alone, work.documents, work.enrolments, now)
    stored = nowhere.stored
    preparing = best(run.many(5, 1), lambda: deposit.prepare(alone, work.documents, work.enrolments, now))
    client = HttpClient(live.system.gateway_url, timeout=120)
    client.sign_in(key, live.domain)
    whole = _custodian(live, key, GatewayContent(client))
    todo = [_work(live, key.address) for _ in range(run.many(4, 1))]
    taken = samples(run, "deposits", [partial(_acknowledged, client, whole, live, each) for each in todo])
    asked = len(json.dumps(batch.to_json(), separators=(",", ":")))
    plain = sum(len(each.content) for each in work.documents)
    return {
        "prepare_records_per_second": count / preparing,
        "acknowledged_records_per_second": count * len(taken) / sum(taken),
        **milliseconds("acknowledged_page", taken, 50),
        "request_bytes_per_record": asked / count,
        "content_bytes_per_record": stored / count,
        "total_bytes_per_record": (asked + stored) / count,
        "ratio_total_to_plain_bytes": (asked + stored) / plain,
    }


SUITE = Suite("deposit", f"Deposits of records of {CONTENT_BYTES:,} bytes at three servers", KEYS, measure)
