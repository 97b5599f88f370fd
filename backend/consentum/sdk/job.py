# SPDX-License-Identifier: Apache-2.0
"""A job that was handed in: how it stands, what happens, its result. Attaches by id alone, from any process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from consentum.adapters.peers.session import Session
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, UnavailableError
from consentum.sdk.failures import StillRunningError
from consentum.sdk.result import Result
from consentum.wiring.client import Connection

STATES = ("queued", "admitted", "running", "released", "failed", "expired")
TERMINAL = frozenset({"released", "failed", "expired"})
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 2.0
MAX_TEXT = 500


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job; at in UTC seconds."""

    at: float
    state: str
    stage: str

    @classmethod
    def parse(cls, data: object) -> Event:
        """MalformedError if it is none."""
        if not isinstance(data, Mapping) or type(data.get("at")) not in (int, float):
            raise MalformedError("an event is a time, a state and a stage", field="events")
        return cls(float(data["at"]), _state(data.get("state")), str(data.get("stage") or "")[:MAX_TEXT])

    def __str__(self) -> str:
        when = time.strftime("%H:%M:%S", time.localtime(self.at))
        return f"{when}  {self.state}{': ' if self.stage else ''}{self.stage}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"at": self.at, "state": self.state, "stage": self.stage}


@dataclass(slots=True)
class Job:
    """One job of this home's. pause: how waiting is done."""

    connection: Connection = field(repr=False)
    session: Session = field(repr=False)
    identity: bytes
    pause: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    @property
    def id(self) -> str:
        """0x text: the struct hash of the signed Job."""
        return hexed(self.identity)

    @property
    def state(self) -> str:
        """queued, admitted, running, released, failed or expired, as of now."""
        return _state(self._asked().get("state"))

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Everything that has happened and happens, until the job has ended. An absent gateway is waited for, as long
        as it takes: the job does not need it to be watched. StillRunningError after `timeout` seconds."""
        for told in self._follow(timeout):
            yield from told[1]

    def result(self, timeout: float | None = None) -> Result:
        """The result, waited for. JobFailed with the reason if the job ended without, JobRefused if no record was
        released to it; StillRunningError after `timeout` seconds."""
        told: Mapping[str, Any] = {}
        for answer, _ in self._follow(timeout):
            told = answer
        return Result.of(self.connection, self.identity, told)

    def cancel(self) -> None:
        """Ends it; what is on its way may still end before. A job that has ended stays as it is."""
        self.session.post(f"/v1/jobs/{self.id}/cancel", {})

    def to_json(self) -> dict[str, Any]:
        """As the gateway shows it, without what is sealed."""
        told = self._asked()
        events = [event.to_json() for event in _events(told)]
        return {"id": self.id, "state": _state(told.get("state")), "stage": told.get("stage"), "events": events}

    def _asked(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = self.session.get(f"/v1/jobs/{self.id}")
        return told

    def _follow(self, timeout: float | None) -> Iterator[tuple[Mapping[str, Any], list[Event]]]:
        """Each answer with the events that are new in it; the last answer is of a job that has ended."""
        seen, pause = 0, FIRST_PAUSE_SECONDS
        end = None if timeout is None else self.clock() + timeout
        while True:
            try:
                told = self._asked()
            except UnavailableError:
                told = {}
            events = _events(told)
            if told:
                yield told, events[seen:]
                pause = FIRST_PAUSE_SECONDS if len(events) > seen else min(1.5 * pause, LONGEST_PAUSE_SECONDS)
                seen = max(seen, len(events))
                if _state(told.get("state")) in TERMINAL:
                    return
            if end is not None and self.clock() + pause > end:
                raise StillRunningError(f"job {self.id} has not ended yet; it runs on without you")
            self.pause(pause)


def _events(told: Mapping[str, Any]) -> list[Event]:
    rows = told.get("events", [])
    if not isinstance(rows, list):
        raise MalformedError("events are a list", field="events")
    return [Event.parse(row) for row in rows]


def _state(value: object) -> str:
    if value not in STATES:
        raise MalformedError("not a state of a job", field="state")
    return str(value)
