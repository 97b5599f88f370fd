# SPDX-License-Identifier: Apache-2.0
"""What can go wrong for a researcher, beyond errors.py: each says with its code and hint what she can do."""

from __future__ import annotations

from collections.abc import Mapping

from consentum.domain.explanations import EXPLANATIONS
from consentum.errors import ConsentumError, Reason, RefusedError, UnavailableError

_HINTS = {
    "JOB_FAILED": "Look at the named line of your code; try it on study.sample(…) first.",
    "CANCELLED": "You cancelled it; submit again for another run.",
    "EXPIRED": "Its deadline passed before it was done; submit again with a larger deadline_hours.",
    "RUNNER_LOST": "The runner fell silent three times; submit again, or name another with runner=….",
    "CONSENT_ENDED": 'A patient ended her consent while it ran; submit again, or with on_consent_change="drop".',
    "UNEXPECTED": "A mistake on our side; report it with the job's id.",
}


def hint_of(code: str) -> str:
    """What to do about a job that ended with this code."""
    if code in Reason.__members__ and code not in _HINTS:
        return EXPLANATIONS[Reason[code]].remedy
    return _HINTS.get(code, "Submit again; if it stays so, ask the runner's operator, naming the job's id.")


class JobFailed(ConsentumError):
    """The job ended without outputs; `code` says why, `hint` what to do."""

    code = "JOB_FAILED"

    def __init__(self, code: str, detail: str) -> None:
        self.hint = hint_of(code)
        super().__init__(f"{detail or code}. {self.hint}")
        self.code = code


class JobRefused(ConsentumError):
    """No record was released to the job: `refused` says how many were refused for which reason."""

    code = "JOB_REFUSED"

    def __init__(self, refused: Mapping[str, int | str], detail: str = "") -> None:
        self.refused = dict(refused)
        super().__init__(detail or f"no record was released; {in_words(refused) or 'there are none'}")


class VerificationFailed(ConsentumError):
    """A manifest says something that the chain or a signature contradicts; do not publish it."""

    code = "VERIFICATION"


class NoRunnerError(UnavailableError):
    """No accredited runner of the study's board was seen lately."""

    code = "NO_RUNNER"


class StillRunningError(UnavailableError):
    """The job has not ended in the time you gave it; it runs on."""

    code = "STILL_RUNNING"


def refused(reason: Reason) -> RefusedError:
    """The refusal of a whole job, in words for whoever asks."""
    told = EXPLANATIONS[reason]
    return RefusedError(reason, f"{told.researcher} {told.remedy}")


def in_words(counts: Mapping[str, int | str]) -> str:
    """Counts by reason: "no consent: 105, revoked: <5"."""
    named = {name: count for name, count in counts.items() if name != Reason.ALLOWED.name}
    return ", ".join(f"{name.lower().replace('_', ' ')}: {count}" for name, count in named.items())


class MissingExtraError(ConsentumError):
    """A part of the package is not installed."""

    code = "MISSING_EXTRA"
