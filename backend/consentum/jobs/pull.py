# SPDX-License-Identifier: Apache-2.0
"""The runner's loop: asks the gateway for a job, works on it while it renews the lease, says what came of it.

It outlives the gateway: while nobody answers it waits and asks again. A job whose lease is lost, because it was
cancelled, expired, or nobody heard of its runner for a minute, ends here at once, and nothing of it leaves.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from consentum.domain.jobs import LEASE_SECONDS, State
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError, LeaseError, NotFoundError, UnavailableError
from consentum.jobs.leases import SWEEP_SECONDS
from consentum.jobs.work import Attempt, work
from consentum.wiring.runner import RunnerProcess

log = logging.getLogger("consentum.runner")
IDLE_SECONDS = 0.5
AWAY_SECONDS = 2.0
RENEW_SECONDS = 3.0


class Stopped(ConsentumError):
    """The runner is being stopped; the job waits for the next attempt."""

    code = "STOPPED"


class Beat:
    """While it lasts: renews the lease, tells the stage, drops keys at the end of theirs."""

    def __init__(self, process: RunnerProcess, attempt: Attempt) -> None:
        self._attempt = attempt
        self._client = process.gateway(patience=0)
        self._steady = process.clocks.steady
        self._path = f"/v1/runner/jobs/{hexed(attempt.id)}/events"
        self._stage, self._renewed = "", self._steady()
        self._news, self._over = threading.Event(), threading.Event()
        attempt.tell = self.tell
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._renew, self._sweep)]

    def __enter__(self) -> Beat:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._news.set()
        for thread in self._threads:
            thread.join()
        self._client.close()

    def tell(self, stage: str) -> None:
        """The next renewal says so, at once."""
        self._stage = stage
        self._news.set()

    def _renew(self) -> None:
        while not self._over.is_set():
            self._news.clear()
            self._say()
            self._news.wait(RENEW_SECONDS)

    def _say(self) -> None:
        body = {"lease": self._attempt.lease, "state": State.RUNNING, "stage": self._stage}
        begun = self._steady()
        try:
            self._client.post(self._path, body)
            self._renewed = begun
        except (LeaseError, NotFoundError) as error:
            self._attempt.halt.stop(error)
        except ConsentumError as error:
            log.warning("the lease is not renewed: %s", error.code)
            if self._steady() - self._renewed > LEASE_SECONDS:
                self._attempt.halt.stop(LeaseError("nobody answered for as long as the lease lasts"))

    def _sweep(self) -> None:
        while not self._over.wait(SWEEP_SECONDS):
            leases = self._attempt.leases
            if leases is not None:
                leases.sweep()


class Puller:
    """One job at a time, for as long as the process lives."""

    def __init__(self, process: RunnerProcess, pause: Callable[[float], Any] | None = None) -> None:
        self._process = process
        # One session for all questions, without patience: the loop asks again anyway, and can be stopped meanwhile.
        self._asking = process.gateway(patience=0)
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._attempt: Attempt | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends what runs; the gateway gives it to the next who asks."""
        self._stop.set()
        attempt = self._attempt
        if attempt is not None:
            attempt.halt.stop(Stopped())
        self._thread.join(timeout=10)
        self._asking.close()

    def once(self) -> bool:
        """Asks once, and works on what it is given. Whether there was anything."""
        given = self._asking.post("/v1/runner/claims", {})
        if not given:
            return False
        client = self._process.gateway()
        try:
            self._take(client, given)
        finally:
            client.close()
        return True

    def _take(self, client: Any, given: Any) -> None:
        try:
            attempt = Attempt.parse(given)
        except ConsentumError as error:
            self._refuse(client, given, error)
            return
        self._attempt = attempt
        try:
            with Beat(self._process, attempt):
                if self._stop.is_set():
                    attempt.halt.stop(Stopped())
                body = work(self._process, attempt)
                client.post(f"/v1/runner/jobs/{hexed(attempt.id)}/result", body)
        finally:
            self._attempt = None

    def _refuse(self, client: Any, given: Any, error: ConsentumError) -> None:
        """What this runner cannot read is no job of its; it says so, or the gateway would offer it again."""
        log.warning("the gateway offers what is no job: %s", error.code)
        said = {"code": error.code, "detail": str(error)}
        body = {"lease": str(given.get("lease", "")), "error": said}
        client.post(f"/v1/runner/jobs/{given.get('id', '')}/result", body)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._pause(0.0 if self.once() else IDLE_SECONDS)
            except (LeaseError, Stopped) as error:
                log.warning("a job ended before its end: %s", error.code)
            except UnavailableError:
                self._pause(AWAY_SECONDS)
            except ConsentumError as error:
                log.warning("the gateway is asked again later: %s", error.code)
                self._pause(AWAY_SECONDS)
            except Exception as error:  # noqa: BLE001 - the loop must live; the type says enough and leaks nothing
                log.error("a job could not be worked on: %s", type(error).__name__)
                self._pause(AWAY_SECONDS)
