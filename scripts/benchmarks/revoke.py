# SPDX-License-Identifier: Apache-2.0
"""How fast a no counts: from a signed revocation at the gateway to the first refusal of every server, and to the chain;
beside it, from a signed consent to the chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.flow.client import terms
from consentum.flow.wire import Notice
from scripts.benchmarks.live import Live
from scripts.benchmarks.measure import Run, Suite, milliseconds, percentile
from scripts.demonstration.people import Patient, choice_of

WAIT_SECONDS = 30
ASKS = 200  # releases asked of one server at most while a revocation is on its way
POLL_SECONDS = 0.02
# Between two grants, so that they do not all meet the same block.
APART_SECONDS = 0.13

KEYS = {
    **{f"refused_everywhere_p{share}_ms": "ms" for share in (50, 99)},
    **{f"acknowledged_p{share}_ms": "ms" for share in (50, 99)},
    **{f"revoke_mined_p{share}_ms": "ms" for share in (50, 99)},
    **{f"grant_mined_p{share}_ms": "ms" for share in (50, 99)},
    "ratio_grant_mined_to_revoke_mined": "ratio",
    "ratio_revoke_mined_to_refused_everywhere": "ratio",
}


@dataclass
class Watch:
    """Looks at the latest block again and again, and notes when each consent got what is waited for."""

    live: Live
    granted: bool
    begun: dict[tuple[str, bytes], float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, who: Patient) -> None:
        self.begun[(who.address, who.given().hash)] = time.perf_counter()

    def look(self) -> None:
        pairs, ledger = list(self.begun), self.live.system.ledger
        standings = ledger.standings(ledger.view().latest, pairs) if pairs else []
        now = time.perf_counter()
        for pair, standing in zip(pairs, standings, strict=True):
            if standing.granted_at if self.granted else standing.revoked_at:
                self.seconds.append(now - self.begun.pop(pair))

    def wait(self) -> None:
        """Until nothing is waited for."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self.begun:
            if time.monotonic() > deadline:
                raise TimeoutError("not everything came onto the chain")
            time.sleep(POLL_SECONDS)


@contextmanager
def watching(live: Live, granted: bool) -> Iterator[Watch]:
    """A Watch that looks from a thread of its own until the end; at the end everything has come."""
    watch, over = Watch(live, granted), threading.Event()

    def again() -> None:
        while not over.wait(POLL_SECONDS):
            watch.look()

    thread = threading.Thread(target=again, daemon=True)
    thread.start()
    try:
        yield watch
        watch.wait()
    finally:
        over.set()
        thread.join()


def _first_refusal(peer: HttpKeyServer, bodies: list[dict[str, Any]]) -> float:
    """Asks one server again and again about one record; when its first refusal arrived."""
    for body in bodies:
        if "ALLOWED" not in peer.release(body)["receipt"]["counts"]:
            return time.perf_counter()
    raise RuntimeError("a key server went on releasing")


def _revocation(live: Live, who: Patient) -> dict[str, Any]:
    """Signs her revocation; the request's body."""
    signed = terms.revoke(live.domain, who.key, who.address, who.given().hash)
    return Notice(signed.message, signed.signature).to_json()  # type: ignore[arg-type]


def _revoke_one(
    live: Live, who: Patient, peers: list[HttpKeyServer], send: Callable[[Any], Any]
) -> tuple[float, float]:
    """Seconds until every server has refused, and until the gateway had answered."""
    body = _revocation(live, who)
    asks = [live.bodies([[who]] * ASKS) for _ in peers]
    with ThreadPoolExecutor(max_workers=len(peers)) as pool:
        begun = time.perf_counter()
        told = pool.submit(lambda: (send(body), time.perf_counter())[1])
        refused = max(pool.map(_first_refusal, peers, asks))
        return refused - begun, told.result() - begun


def _refusals(run: Run, live: Live) -> tuple[list[float], list[float]]:
    """Seconds until refused everywhere, and until acknowledged, of everybody who leaves."""
    client, peers = HttpClient(live.system.gateway_url), live.peers()
    found = []
    for number, who in enumerate(live.leaving, start=1):
        run.story.doing(f"revocations and refusals: {number} of {len(live.leaving)}")
        found.append(_revoke_one(live, who, peers, lambda body: client.post("/v1/revocations", body)))
    return [refused for refused, _ in found], [told for _, told in found]


def _consent(live: Live, who: Patient) -> dict[str, Any]:
    """Signs her consent; the request's body."""
    now, policy = live.system.ledger.view().latest.timestamp, live.system.deployment.release_policy
    message = terms.consent(choice_of(who, live.studies, now), policy, who.address, now, int(time.time()))
    who.consent = terms.sign(live.domain, message, who.key)
    return {"consent": typed.to_json(message), "signature": hexed(who.consent.signature)}


def _mined(run: Run, live: Live, people: list[Patient], granted: bool) -> list[float]:
    """Seconds onto the chain of each person's grant or revocation: both in the same way, one after another."""
    client, what = HttpClient(live.system.gateway_url), "grants" if granted else "revocations"
    with watching(live, granted) as watch:
        for number, who in enumerate(people, start=1):
            run.story.doing(f"{what} onto the chain: {number} of {len(people)}")
            body = _consent(live, who) if granted else _revocation(live, who)
            watch.add(who)
            client.post("/v1/consents" if granted else "/v1/revocations", body)
            time.sleep(APART_SECONDS)
        run.story.doing(f"the last {what} come onto the chain")
    return watch.seconds


def measure(run: Run) -> dict[str, float]:
    live = run.live()
    people = live.page[: live.samples]  # enrolled, so that the gateway pays
    granted, revoked = _mined(run, live, people, True), _mined(run, live, people, False)
    everywhere, answered = _refusals(run, live)
    found = milliseconds("refused_everywhere", everywhere, 50, 99) | milliseconds("acknowledged", answered, 50, 99)
    found |= milliseconds("revoke_mined", revoked, 50, 99) | milliseconds("grant_mined", granted, 50, 99)
    grant, revoke, refused = (percentile(taken, 0.5) for taken in (granted, revoked, everywhere))
    return found | {
        "ratio_grant_mined_to_revoke_mined": grant / revoke,
        "ratio_revoke_mined_to_refused_everywhere": revoke / refused,
    }


SUITE = Suite("revoke", "From a signed revocation to the last refusal, and to the chain", KEYS, measure)
