# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of jobs: the submission as it came, and where it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from consentum.domain.jobs import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptJob:
    """A job without its code. Addresses lower-case, times UTC seconds; study 32 bytes."""

    id: bytes
    requester: str
    runner: str
    study: bytes
    deadline: int
    submitted: int
    progress: Progress = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How many unfinished jobs a requester may have, and how many in all are remembered for her."""

    open: int
    kept: int


class Jobs(Protocol):
    """Durable on return. Every change is one transaction, so two that race are one after the other."""

    def add(self, job: KeptJob, submission: Mapping[str, Any], limits: JobLimits) -> KeptJob:
        """Keeps a new job; a known one is returned as it stands. RefusedError(LIMIT) if she has too many open; over
        `limits.kept` her own oldest finished job goes first: nobody pushes out another's."""
        ...

    def get(self, identity: bytes) -> KeptJob:
        """NotFoundError."""
        ...

    def submission(self, identity: bytes) -> Mapping[str, Any]:
        """As it came. NotFoundError."""
        ...

    def of_requester(self, requester: str) -> list[KeptJob]:
        """Newest first."""
        ...

    def due(self, now: int) -> list[bytes]:
        """Open jobs whose lease or deadline has run out by now."""
        ...

    def waiting(self, runner: str) -> list[bytes]:
        """Queued jobs for this runner, oldest first."""
        ...

    def held(self, runner: str) -> list[bytes]:
        """Jobs this runner holds by a lease."""
        ...

    def change(self, identity: bytes, step: Callable[[KeptJob], Progress]) -> KeptJob:
        """Reads, applies `step`, writes; nothing is written if it raises. NotFoundError."""
        ...

    def note_runner(self, address: str, at: int) -> None:
        """It asked for work just now; only so many are remembered, those seen last."""
        ...

    def runners(self, since: int) -> list[tuple[str, int]]:
        """(address, when it asked last), newest first."""
        ...
