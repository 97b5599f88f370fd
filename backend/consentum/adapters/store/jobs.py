# SPDX-License-Identifier: Apache-2.0
"""The Jobs port, in the gateway's sealed file. Code and sealed outputs are contents; rows are found by keyed tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from eth_utils.crypto import keccak
from sqlalchemy import BigInteger, Column, Connection, LargeBinary, String, delete, func, insert, select, update

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.domain.jobs import LEASED, OPEN, Event, Outcome, Progress, State
from consentum.errors import NotFoundError, Reason, RefusedError
from consentum.ports.jobs import JobLimits, KeptJob

MAX_RUNNERS = 1_000
jobs = sealed_table(
    "jobs",
    Column("requester", LargeBinary(32), nullable=False, index=True),
    Column("runner", LargeBinary(32), nullable=False, index=True),
    Column("state", String(16), nullable=False, index=True),
    Column("due", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),
)
submissions = sealed_table("job_submissions")
runners = sealed_table("runners", Column("seen", BigInteger, nullable=False))


class JobBook:
    """`ports.jobs.Jobs`."""

    def __init__(self, file: SealedFile) -> None:
        self._file, self._engine = file, file.engine

    def add(self, job: KeptJob, submission: Mapping[str, Any], limits: JobLimits) -> KeptJob:
        whose = jobs.c.requester == self._file.tag(job.requester)
        with transaction(self._engine) as connection:
            known = connection.execute(select(jobs).where(jobs.c.id == job.id)).first()
            if known is not None:
                return self._kept(known)
            states = connection.execute(select(jobs.c.id, jobs.c.state).where(whose).order_by(jobs.c.place)).all()
            if sum(row.state in OPEN for row in states) >= limits.open:
                raise RefusedError(Reason.LIMIT, f"at most {limits.open} unfinished jobs at a time")
            finished = [row.id for row in states if row.state not in OPEN]
            self._forget(connection, finished[: max(0, len(states) + 1 - limits.kept)])
            place = connection.execute(select(func.coalesce(func.max(jobs.c.place), 0))).scalar_one() + 1
            found_by = {"requester": self._file.tag(job.requester), "runner": self._file.tag(job.runner)}
            connection.execute(insert(jobs), {"id": job.id, "place": place, **found_by, **self._columns(job)})
            row = {"id": job.id, "box": self._file.seal(_inner(job.id), submission)}
            connection.execute(insert(submissions), row)
        return job

    def get(self, identity: bytes) -> KeptJob:
        with reading(self._engine) as connection:
            return self._one(connection, identity)

    def submission(self, identity: bytes) -> Mapping[str, Any]:
        with reading(self._engine) as connection:
            row = connection.execute(select(submissions).where(submissions.c.id == identity)).first()
        if row is None:
            raise NotFoundError("no such job", field="id")
        found: Mapping[str, Any] = self._file.open(_inner(identity), row.box)
        return found

    def of_requester(self, requester: str) -> list[KeptJob]:
        query = select(jobs).where(jobs.c.requester == self._file.tag(requester)).order_by(jobs.c.place.desc())
        with reading(self._engine) as connection:
            return [self._kept(row) for row in connection.execute(query)]

    def due(self, now: int) -> list[bytes]:
        query = select(jobs.c.id).where(jobs.c.state.in_(sorted(OPEN)), jobs.c.due <= now)
        with reading(self._engine) as connection:
            return list(connection.execute(query).scalars())

    def waiting(self, runner: str) -> list[bytes]:
        return self._of_runner(runner, [State.QUEUED])

    def held(self, runner: str) -> list[bytes]:
        return self._of_runner(runner, sorted(LEASED))

    def change(self, identity: bytes, step: Callable[[KeptJob], Progress]) -> KeptJob:
        with transaction(self._engine) as connection:
            before = self._one(connection, identity)
            after = replace(before, progress=step(before))
            if after != before:
                connection.execute(update(jobs).where(jobs.c.id == identity).values(**self._columns(after)))
        return after

    def note_runner(self, address: str, at: int) -> None:
        identity = self._file.tag(address)
        box = self._file.seal(identity, {"address": address.lower()})
        row = {"id": identity, "seen": at, "box": box}
        oldest = select(runners.c.id).order_by(runners.c.seen.desc()).offset(MAX_RUNNERS)
        with transaction(self._engine) as connection:
            connection.execute(insert(runners).prefix_with("OR REPLACE"), row)
            connection.execute(delete(runners).where(runners.c.id.in_(oldest)))

    def runners(self, since: int) -> list[tuple[str, int]]:
        query = select(runners).where(runners.c.seen >= since).order_by(runners.c.seen.desc())
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        return [(str(self._file.open(row.id, row.box)["address"]), row.seen) for row in rows]

    def _of_runner(self, runner: str, states: list[State]) -> list[bytes]:
        mine = (jobs.c.runner == self._file.tag(runner), jobs.c.state.in_(states))
        with reading(self._engine) as connection:
            return list(connection.execute(select(jobs.c.id).where(*mine).order_by(jobs.c.place)).scalars())

    def _one(self, connection: Connection, identity: bytes) -> KeptJob:
        row = connection.execute(select(jobs).where(jobs.c.id == identity)).first()
        if row is None:
            raise NotFoundError("no such job", field="id")
        return self._kept(row)

    def _forget(self, connection: Connection, gone: list[bytes]) -> None:
        for table in (jobs, submissions):
            connection.execute(delete(table).where(table.c.id.in_(gone)))

    def _columns(self, job: KeptJob) -> dict[str, Any]:
        progress = asdict(job.progress)
        sealed = progress["outcome"]["sealed"]
        progress["outcome"]["sealed"] = None if sealed is None else sealed.hex()
        plain = {**asdict(replace(job, progress=Progress())), "id": job.id.hex(), "study": job.study.hex()}
        box = self._file.seal(job.id, {**plain, "progress": progress})
        return {"state": job.progress.state, "due": job.progress.due(job.deadline), "box": box}

    def _kept(self, row: Any) -> KeptJob:
        plain = self._file.open(row.id, row.box)
        progress = plain.pop("progress")
        outcome = progress["outcome"]
        sealed = outcome["sealed"]
        parts = {
            "state": State(progress["state"]),
            "events": tuple(Event(e["at"], State(e["state"]), e["stage"]) for e in progress["events"]),
            "outcome": Outcome(
                **{
                    **outcome,
                    "receipts": tuple(outcome["receipts"]),
                    "sealed": None if sealed is None else bytes.fromhex(sealed),
                }
            ),
        }
        ids = {"id": bytes.fromhex(plain["id"]), "study": bytes.fromhex(plain["study"])}
        return KeptJob(**{**plain, **ids, "progress": Progress(**{**progress, **parts})})


def _inner(identity: bytes) -> bytes:
    """What a submission's box is bound to: a box of one table must not open in the other."""
    return keccak(b"job submission" + identity)
