# SPDX-License-Identifier: Apache-2.0
"""Releases by real key servers on real Anvil: one server alone, and 2 of 3 collected as a job does."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.crypto import typed
from consentum.domain.terms import Category
from consentum.flow.client.collect import collect
from consentum.ports.chain import Item, Question
from consentum.wiring.runner import collector_for
from scripts.benchmarks.live import DEADLINE_SECONDS, Live, opening
from scripts.benchmarks.measure import Run, Suite, best, milliseconds, samples, seconds_of

CONCURRENCY = 8
WARM_UP = 5

KEYS = {
    **{f"single_p{share}_ms": "ms" for share in (50, 95, 99)},
    **{f"page_1000_p{share}_ms": "ms" for share in (50, 95, 99)},
    "page_records_per_second": "records/s",
    "checks_per_second": "checks/s",
    "ratio_page_to_checks": "ratio",
    **{f"collect_single_p{share}_ms": "ms" for share in (50, 99)},
    **{f"collect_page_1000_p{share}_ms": "ms" for share in (50, 99)},
    "collect_records_per_second": "records/s",
    **{f"concurrent_8_p{share}_ms": "ms" for share in (50, 95, 99)},
    "concurrent_8_per_second": "requests/s",
}


def _granting(peer: HttpKeyServer, body: Mapping[str, Any]) -> None:
    """One release, every record of it allowed: a refusal would be a faster answer to another question."""
    receipt = peer.release(body)["receipt"]
    if receipt["counts"] != {"ALLOWED": receipt["count"]}:
        raise RuntimeError(f"a release of the benchmark was not allowed: {receipt['counts']}")


def _singles(run: Run, live: Live, many: int) -> list[dict[str, Any]]:
    run.story.doing("requests are signed")
    people = itertools.cycle(live.page)
    return live.bodies([[next(people)] for _ in range(many)])


def _one_server(run: Run, live: Live) -> dict[str, float]:
    peer = live.peers()[0]
    for body in _singles(run, live, WARM_UP):
        _granting(peer, body)
    bodies = _singles(run, live, run.many(300, 5))
    one = samples(run, "single releases", [partial(_granting, peer, body) for body in bodies])
    pages = live.bodies([live.page] * run.many(30, 2))
    page = samples(run, "pages of 1,000", [partial(_granting, peer, body) for body in pages])
    speed = len(live.page) * len(page) / sum(page)
    found = milliseconds("single", one, 50, 95, 99) | milliseconds("page_1000", page, 50, 95, 99)
    return found | {"page_records_per_second": speed}


def _concurrent(run: Run, live: Live) -> dict[str, float]:
    """Eight clients, each asking as soon as it is answered."""
    bodies = _singles(run, live, run.many(400, 16))
    taken: list[float] = []
    peers = [live.peers()[0] for _ in range(CONCURRENCY)]
    for peer, body in zip(peers, _singles(run, live, CONCURRENCY), strict=True):
        _granting(peer, body)

    def ask(number: int) -> None:
        for body in bodies[number::CONCURRENCY]:
            taken.append(seconds_of(partial(_granting, peers[number], body)))

    run.story.doing("eight clients at once")
    begun = time.perf_counter()
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        list(pool.map(ask, range(CONCURRENCY)))
    speed = len(bodies) / (time.perf_counter() - begun)
    return milliseconds("concurrent_8", taken, 50, 95, 99) | {"concurrent_8_per_second": speed}


def _checks(run: Run, live: Live) -> float:
    """ReleasePolicy.check over a page through eth_call, as a key server asks it, and nothing else."""
    request = live.request(live.page)
    digest = typed.digest(live.domain, request.release)
    question = Question(request.job, request.job_signature, digest, request.release_signature)
    items = [Item(opening(person), int(Category.PATHOLOGY)) for person in live.page]
    ledger = live.system.ledger
    latest = ledger.view().latest
    if any(ledger.check(latest, question, items)):
        raise RuntimeError("a check of the benchmark was not allowed")
    run.story.doing("checks by eth_call")
    return len(items) / best(run.many(20, 2), lambda: ledger.check(latest, question, items))


def _collected(run: Run, live: Live) -> dict[str, float]:
    """As a job does it: through the gateway, two servers of three, receipts verified, keys rebuilt and checked."""
    key, job = live.people.researcher, live.job()
    client = HttpClient(live.system.gateway_url, timeout=60)
    client.sign_in(key, live.domain)
    what = (job, live.sign(job), live.committee)
    collector = collector_for(live.system.ledger, live.system.deployment, client, key, what)
    deadline = int(time.time()) + DEADLINE_SECONDS

    def ask(ids: list[bytes]) -> None:
        if len(collect(collector, ids, deadline).keys) != len(ids):
            raise RuntimeError("not every key of the benchmark was released")

    ids = [person.record for person in live.page]
    ones: list[Callable[[], None]] = [partial(ask, [ids[n % len(ids)]]) for n in range(run.many(100, 3))]
    one = samples(run, "single records from 2 of 3", ones)
    page = samples(run, "pages of 1,000 from 2 of 3", [partial(ask, ids)] * run.many(15, 2))
    found = milliseconds("collect_single", one, 50, 99) | milliseconds("collect_page_1000", page, 50, 99)
    return found | {"collect_records_per_second": len(ids) * len(page) / sum(page)}


def measure(run: Run) -> dict[str, float]:
    live = run.live()
    found = _one_server(run, live) | _concurrent(run, live) | _collected(run, live)
    found["checks_per_second"] = _checks(run, live)
    found["ratio_page_to_checks"] = found["page_records_per_second"] / found["checks_per_second"]
    return found


SUITE = Suite("release", "Releases by key servers in processes of their own", KEYS, measure)
