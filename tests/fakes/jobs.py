# SPDX-License-Identifier: Apache-2.0
"""Jobs in memory, the port's promises kept in the most obvious way."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from consentum.domain.jobs import LEASED, Progress, State
from consentum.errors import NotFoundError, Reason, RefusedError
from consentum.ports.jobs import JobLimits, KeptJob


class MemoryJobs:
    """`ports.jobs.Jobs`."""

    def __init__(self) -> None:
        self.rows: dict[bytes, KeptJob] = {}
        self._submissions: dict[bytes, str] = {}
        self._runners: dict[str, int] = {}
        self._lock = threading.RLock()

    def add(self, job: KeptJob, submission: Mapping[str, Any], limits: JobLimits) -> KeptJob:
        with self._lock:
            if job.id in self.rows:
                return self.rows[job.id]
            hers = [row for row in self.rows.values() if row.requester.lower() == job.requester.lower()]
            if sum(row.progress.is_open for row in hers) >= limits.open:
                raise RefusedError(Reason.LIMIT)
            finished = [row.id for row in hers if not row.progress.is_open]
            for identity in finished[: max(0, len(hers) + 1 - limits.kept)]:
                del self.rows[identity], self._submissions[identity]
            self.rows[job.id], self._submissions[job.id] = job, json.dumps(submission)
            return job

    def get(self, identity: bytes) -> KeptJob:
        with self._lock:
            if identity not in self.rows:
                raise NotFoundError("no such job", field="id")
            return self.rows[identity]

    def submission(self, identity: bytes) -> Mapping[str, Any]:
        self.get(identity)
        found: Mapping[str, Any] = json.loads(self._submissions[identity])
        return found

    def of_requester(self, requester: str) -> list[KeptJob]:
        return [row for row in self.rows.values() if row.requester.lower() == requester.lower()][::-1]

    def due(self, now: int) -> list[bytes]:
        open_ = [row for row in self.rows.values() if row.progress.is_open]
        return [row.id for row in open_ if row.progress.due(row.deadline) <= now]

    def waiting(self, runner: str) -> list[bytes]:
        return self._of_runner(runner, frozenset({State.QUEUED}))

    def held(self, runner: str) -> list[bytes]:
        return self._of_runner(runner, LEASED)

    def change(self, identity: bytes, step: Callable[[KeptJob], Progress]) -> KeptJob:
        with self._lock:
            before = self.get(identity)
            self.rows[identity] = replace(before, progress=step(before))
            return self.rows[identity]

    def note_runner(self, address: str, at: int) -> None:
        self._runners[address.lower()] = at

    def runners(self, since: int) -> list[tuple[str, int]]:
        lately = [(address, at) for address, at in self._runners.items() if at >= since]
        return sorted(lately, key=lambda pair: -pair[1])

    def _of_runner(self, runner: str, states: frozenset[State]) -> list[bytes]:
        mine = [row for row in self.rows.values() if row.runner.lower() == runner.lower()]
        return [row.id for row in mine if row.progress.state in states]
