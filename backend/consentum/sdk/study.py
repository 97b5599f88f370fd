# SPDX-License-Identifier: Apache-2.0
"""A study as its researcher works with it. Its name and words are the gateway's; whether it is there, open, and hers to
ask under is read from the chain."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentum.adapters.peers.session import Session
from consentum.crypto import typed
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.registry_messages import Terms
from consentum.domain.terms import Access, Category, Purpose, words_of
from consentum.errors import CorruptError, MalformedError, NotFoundError, Reason
from consentum.flow.client import submission
from consentum.flow.client.submission import Plan
from consentum.jobs.source import JobRecord
from consentum.sdk import failures, names, runners
from consentum.sdk.cohort import Cohort
from consentum.sdk.download import download
from consentum.sdk.folder import read_package
from consentum.sdk.job import Job
from consentum.sdk.sample import Sample
from consentum.wiring.client import Connection

QUESTION_SECONDS = 120
HOUR_SECONDS = 3_600
YEAR_10000 = 253_402_300_800
MAX_DEADLINE_HOURS = 24 * 7
Names = Sequence[str] | str
_NAME = re.compile(r"[a-z][a-z0-9-]{2,63}|0x[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study. terms and approved_until (UTC seconds) are as the gateway reads them; the policy on chain decides."""

    connection: Connection = field(repr=False)
    session: Session = field(repr=False)
    id: bytes
    name: str
    title: str
    terms: Terms
    approved_until: int

    @classmethod
    def find(cls, connection: Connection, session: Session, name: str) -> Study:
        """By name or id. NotFoundError if the chain has none; CorruptError if the gateway answers with another."""
        if _NAME.fullmatch(str(name)) is None:
            raise MalformedError("a study's name is like breast-diagnosis, its id 0x and 64 digits", field="study")
        card = session.get(f"/v1/studies/{name}")
        identity = as_bytes(card.get("study"), "study", 32)
        if name.startswith("0x") and hexed(identity) != name.lower():
            raise CorruptError("the gateway answered with another study", field="study")
        latest = connection.ledger.view().latest
        board, _ = connection.ledger.board_and_runner(latest, identity, connection.identity)
        if not any(board):
            raise NotFoundError("the chain has no such study", field="study")
        if hexed(board) != card.get("board"):
            raise CorruptError("the gateway names another board than the chain", field="board")
        until = card.get("approvedUntil")
        return cls(
            connection=connection,
            session=session,
            id=identity,
            name=str(card.get("name") or name)[:64],
            title=str(card.get("title", ""))[:500],
            terms=typed.from_json(Terms, card.get("terms")),
            approved_until=until if type(until) is int and 0 <= until < YEAR_10000 else 0,
        )

    @property
    def standing(self) -> Reason:
        """STUDY_NOT_OPEN, REQUESTER_NOT_MEMBER, or ALLOWED: you may ask under it. Read from the chain now."""
        # You are no accredited runner: what the policy says beyond these two is about that, not about the study.
        plan = self._plan(Access.AGGREGATE, self.terms.purposes, self.connection.identity, QUESTION_SECONDS)
        reason = self._reason(plan)
        return reason if reason in (Reason.STUDY_NOT_OPEN, Reason.REQUESTER_NOT_MEMBER) else Reason.ALLOWED

    def cohort(self, categories: Names, access: str = "compute", purpose: Names | None = None) -> Cohort:
        """What a job would get now. Signs a question that expires within minutes and that no runner can run."""
        wanted = self._categories(categories)
        plan = self._checked(names.access(access), purpose, None, QUESTION_SECONDS)
        job, signature = submission.question(self.connection.deployment.user_domain, self.connection.key, plan)
        body = {**submission.signed_json(job, signature), "categories": int(wanted)}
        return Cohort.parse(self.name, self.session.post("/v1/cohorts", body))

    def sample(self, categories: Names, n: int = 50, seed: int = 0) -> Sample:
        """n synthetic patients, drawn here from what custodians declare about their records; never from records."""
        return Sample.draw(self.session, self._categories(categories), n, seed)

    def submit(  # noqa: PLR0913 - one argument per thing a researcher decides, all but four with defaults
        self,
        folder: Path | str,
        entry: str,
        categories: Names,
        outputs: Mapping[str, str],
        *,
        runner: str | None = None,
        access: str = "compute",
        purpose: Names | None = None,
        on_consent_change: str = "raise",
        deadline_hours: float = 1,
    ) -> Job:
        """Signs a job over the folder's Python files as they are now and hands it in; nothing is signed that the chain
        would refuse as a whole. RefusedError says why it would; MalformedError what is wrong with the folder."""
        package = read_package(folder, entry, self._categories(categories), outputs, on_consent_change)
        if not 0 < deadline_hours <= MAX_DEADLINE_HOURS:
            raise MalformedError(f"a deadline is at most {MAX_DEADLINE_HOURS} hours away", field="deadline_hours")
        seconds = max(1, round(deadline_hours * HOUR_SECONDS))
        plan = self._checked(names.access(access), purpose, runner, seconds)
        connection = self.connection
        made = submission.submission(
            connection.deployment.user_domain, connection.key, plan, package, connection.keys.sealing.public
        )
        answer = self.session.post("/v1/jobs", made.to_json())
        if answer.get("id") != hexed(made.id):
            raise CorruptError("the gateway acknowledged another job", field="id")
        return Job(connection, self.session, made.id)

    def records(self, categories: Names, committees: Sequence[str] | None = None) -> Iterator[JobRecord]:
        """The records themselves, one by one, where study and consents say download: you are your own runner, and the
        key servers seal to you. RefusedError(ACCESS_NOT_OF_STUDY) otherwise. committees: ids you believe; without, the
        gateway's word is taken for who holds the keys."""
        wanted = self._categories(categories)
        plan = self._checked(Access.DOWNLOAD, None, None, HOUR_SECONDS)
        return download(self.connection, self.session, plan, wanted, committees)

    def _categories(self, wanted: Names) -> Category:
        mask = names.categories(wanted)
        if mask & ~Category(self.terms.categories):
            allowed = ", ".join(words_of(Category(self.terms.categories)))
            raise MalformedError(f"this study is about: {allowed}", field="categories")
        return mask

    def _checked(self, access: Access, purpose: Names | None, runner: str | None, seconds: int) -> Plan:
        """A plan that the policy on chain does not refuse as a whole."""
        purposes = names.purposes(purpose, self.terms.purposes)
        if self.standing != Reason.ALLOWED:
            raise failures.refused(self.standing)
        if access == Access.DOWNLOAD:
            chosen = self.connection.identity
        else:
            chosen = runners.pick(self.connection.ledger, self.session, self.id, runner)
        plan = self._plan(access, purposes, chosen, seconds)
        reason = self._reason(plan)
        if reason != Reason.ALLOWED:
            raise failures.refused(reason)
        return plan

    def _plan(self, access: Access, purpose: int, runner: str, seconds: int) -> Plan:
        """Dated by the chain's clock, which is the one that judges it."""
        return Plan(
            requester=self.connection.identity,
            runner=runner,
            study=self.id,
            purpose=int(purpose),
            access=int(access),
            deadline=self.connection.ledger.view().latest.timestamp + seconds,
        )

    def _reason(self, plan: Plan) -> Reason:
        ledger = self.connection.ledger
        return submission.job_reason(ledger, ledger.view().latest, plan.job(submission.QUESTION_CODE, bytes(32)))

    def __str__(self) -> str:
        standing = self.standing
        told = failures.refused(standing) if standing != Reason.ALLOWED else "open, and you may ask under it"
        until = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.approved_until)) if self.approved_until else "-"
        return "\n".join(
            [
                f"{self.name}: {self.title}",
                f"  id          {hexed(self.id)}",
                f"  now         {told}",
                f"  approved    until {until}",
                f"  purposes    {', '.join(words_of(Purpose(self.terms.purposes)))}",
                f"  categories  {', '.join(words_of(Category(self.terms.categories)))}",
                f"  access      at most {Access(self.terms.access).name.lower()}",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        told = {"study": hexed(self.id), "name": self.name, "title": self.title, "standing": self.standing.name}
        return {**told, "terms": typed.to_json(self.terms), "approvedUntil": self.approved_until}
