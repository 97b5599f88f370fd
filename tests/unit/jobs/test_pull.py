# SPDX-License-Identifier: Apache-2.0
"""The runner's loop: one job after the other, a lease while it works, and what it does when that is lost."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest

from consentum.adapters.peers.session import Session
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import as_bytes
from consentum.errors import LeaseError, UnavailableError
from consentum.flow.client.verification import open_outputs
from consentum.flow.gateway import jobs
from consentum.jobs import pull
from consentum.jobs.pull import Beat, Puller
from consentum.jobs.work import Attempt
from tests.unit.client.world import DOMAIN
from tests.unit.jobs.conftest import Runner

SLOW = b"def main(data):\n    import time\n    list(data)\n    time.sleep(30)\n    return {'out': 1}\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "RENEW_SECONDS", 0.02)
    monkeypatch.setattr(pull, "SWEEP_SECONDS", 0.02)


def puller(runner: Runner) -> Puller:
    return Puller(runner)  # type: ignore[arg-type]


def when(runner: Runner, stage: str, then: Any) -> None:
    """Calls `then` once, as soon as the gateway has heard of that stage."""
    post, done = runner.post, threading.Event()

    def noticing(path: str, body: Any) -> Any:
        answer = post(path, body)
        if path.endswith("/events") and str(body["stage"]).startswith(stage) and not done.is_set():
            done.set()
            then()
        return answer

    runner.post = noticing  # type: ignore[method-assign]


def test_a_job_is_pulled_run_and_told(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit()
    assert puller(runner).once()
    shown = runner.shown(identity)
    assert (shown["state"], shown["attempt"]) == ("released", 1)
    assert [e["state"] for e in shown["events"]][:2] == ["queued", "admitted"]
    assert {e["state"] for e in shown["events"]} == {"queued", "admitted", "running", "released"}
    sealed = as_bytes(shown["sealedOutputs"], "sealedOutputs")
    assert len(json.loads(open_outputs(shown["manifest"], sealed, runner.result_key))["out"]) == 2


def test_without_a_job_there_is_nothing_to_do(runner: Runner) -> None:
    assert not puller(runner).once()


def test_jobs_are_run_one_after_the_other_in_their_order(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    ids = [runner.submit(deadline=runner.submission().job.deadline - n) for n in range(2)]
    one = puller(runner)
    assert [one.once(), one.once(), one.once()] == [True, True, False]
    assert [runner.shown(identity)["state"] for identity in ids] == ["released"] * 2


def test_a_job_that_fails_is_told_with_its_code(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit(b"def main(data):\n    raise ValueError\n")
    puller(runner).once()
    shown = runner.shown(identity)
    assert (shown["state"], shown["error"]["code"]) == ("failed", "JOB_FAILED")


@pytest.mark.parametrize("end", ["cancelled", "expired"])
def test_a_job_that_is_no_longer_its_own_ends_at_once_and_nothing_of_it_leaves(runner: Runner, end: str) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit(SLOW)

    def cancel() -> None:
        jobs.cancel(runner.gateway_, identity, runner.world.researcher.address.lower())

    def expire() -> None:
        runner.now += 4_000

    when(runner, "running", cancel if end == "cancelled" else expire)
    with pytest.raises(LeaseError):
        puller(runner).once()
    shown = runner.shown(identity)
    assert shown["state"] == ("failed" if end == "cancelled" else "expired")
    assert shown["sealedOutputs"] is None
    assert not [path for path, _ in runner.said if path.endswith("/result")]


def test_a_gateway_that_is_away_for_longer_than_a_lease_has_lost_its_runner(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit(SLOW)

    def away() -> None:
        runner.down = True
        runner.steady += 61
        runner.now += 61

    when(runner, "running", away)
    with pytest.raises(LeaseError):
        puller(runner).once()
    runner.down = False
    assert runner.shown(identity)["state"] == "queued"


def test_a_gateway_that_is_away_for_a_moment_is_forgiven(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit()
    claim = jobs.claim(runner.gateway_, {}, runner.key.address.lower())
    attempt = Attempt.parse(claim)
    runner.down = True
    with Beat(runner, attempt) as beat:  # type: ignore[arg-type]
        beat.tell("asking which records there are")
        runner.steady += 30
        pause = threading.Event()
        pause.wait(0.1)
        assert attempt.halt.why is None
        runner.down = False
        beat.tell("still here")
        for _ in range(100):
            if runner.shown(identity)["stage"] == "still here":
                break
            pause.wait(0.02)
    assert runner.shown(identity)["stage"] == "still here"


def test_while_it_works_keys_are_dropped_at_the_end_of_their_lease(runner: Runner) -> None:
    class Leases:
        swept = threading.Event()

        def sweep(self) -> None:
            self.swept.set()

    runner.submit()
    attempt = Attempt.parse(jobs.claim(runner.gateway_, {}, runner.key.address.lower()))
    attempt.leases = Leases()  # type: ignore[assignment]
    with Beat(runner, attempt):  # type: ignore[arg-type]
        assert Leases.swept.wait(5)


def test_a_runner_that_is_stopped_ends_its_job_which_the_next_one_runs(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    identity = runner.submit(SLOW)
    one, reached = puller(runner), threading.Event()
    when(runner, "running", reached.set)
    one.start()
    assert reached.wait(10)
    one.stop()
    assert runner.shown(identity)["state"] == "running"
    again = jobs.claim(runner.gateway_, {}, runner.key.address.lower())
    assert (again["id"], again["attempt"]) == (identity, 2)


def test_what_is_no_job_is_told_back_and_not_offered_again(runner: Runner) -> None:
    identity = runner.submit()
    post = runner.post

    def meddled(path: str, body: Any) -> Any:
        answer = post(path, body)
        if path == "/v1/runner/claims" and answer:
            answer["resultNonce"] = "0x" + "77" * 32
        return answer

    runner.post = meddled  # type: ignore[method-assign]
    assert puller(runner).once()
    shown = runner.shown(identity)
    assert (shown["state"], shown["error"]["code"]) == ("failed", "MALFORMED")


def test_the_loop_outlives_its_gateway_and_every_surprise(runner: Runner) -> None:
    """It waits, asks again, and works when there is something."""
    runner.deposited(runner.world.alice)
    identity = runner.submit()
    troubles: list[Exception] = [UnavailableError(), RuntimeError("canary"), LeaseError()]
    post = runner.post

    def troubled(path: str, body: Any) -> Any:
        if path == "/v1/runner/claims" and troubles:
            raise troubles.pop()
        return post(path, body)

    runner.post = troubled  # type: ignore[method-assign]
    done = threading.Event()

    def pause(_: float) -> None:
        if runner.shown(identity)["state"] == "released":
            done.set()
        threading.Event().wait(0.01)

    one = Puller(runner, pause)  # type: ignore[arg-type]
    one.start()
    assert done.wait(20)
    one.stop()
    assert troubles == []


class Away(Session):
    """A session with a gateway that nobody answers for; notes that it was asked."""

    def __init__(self, patience: float, asked: threading.Event) -> None:
        super().__init__("http://127.0.0.1:9", (WalletKey(), DOMAIN), patience)
        self._asked = asked

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        self._asked.set()
        return super()._send(method, path, **options)


def test_a_runner_whose_gateway_is_away_stops_when_it_is_told_to(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between jobs it has nothing to wait for; with the patience of a job it would hold its process for 45 s."""
    asked = threading.Event()
    monkeypatch.setattr(runner, "gateway", lambda patience=45.0: Away(patience, asked))
    looping = puller(runner)
    looping.start()
    assert asked.wait(20)
    looping.stop()
    assert not looping._thread.is_alive()
