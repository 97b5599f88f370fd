# SPDX-License-Identifier: Apache-2.0
"""What a job would get now, as its requester may see it: rounded, small numbers hidden, reasons in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from consentum.domain.explanations import EXPLANATIONS
from consentum.domain.parsing import as_integer
from consentum.errors import MalformedError, Reason

MAX_BLOCK = 1 << 64
MAX_COUNT = 1 << 53
Shown = int | str


def shown(value: object, field: str) -> Shown:
    """A count as the gateway shows it: a number, or text like "<5". MalformedError for anything else."""
    if isinstance(value, str) and value.startswith("<") and value[1:].isdecimal() and len(value) < 8:
        return value
    return as_integer(value, field, MAX_COUNT)


@dataclass(frozen=True, slots=True)
class Cohort:
    """n of `of` records would be released at `block`; reasons: how many would not, by reason. Numbers are rounded to 5,
    small ones are text: "<5"."""

    study: str
    n: Shown
    of: Shown
    block: int
    reasons: Mapping[str, Shown]

    @classmethod
    def parse(cls, study: str, data: Mapping[str, Any]) -> Cohort:
        """A gateway's answer; MalformedError if it is none."""
        counts = data.get("counts")
        if not isinstance(counts, Mapping) or not set(counts) <= set(Reason.__members__):
            raise MalformedError("counts are by reason", field="counts")
        told = {str(name): shown(count, "counts") for name, count in counts.items()}
        released = told.pop(Reason.ALLOWED.name, 0)
        block = as_integer(data.get("block"), "block", MAX_BLOCK)
        return cls(study, released, shown(data.get("of"), "of"), block, told)

    def __str__(self) -> str:
        lines = [f"{self.study}: {self.n} of {self.of} records would be released at block {self.block}"]
        width = max((len(str(count)) for count in self.reasons.values()), default=0)
        for name, count in self.reasons.items():
            told = EXPLANATIONS[Reason[name]].researcher
            lines.append(f"  {count:>{width}}  {name.lower().replace('_', ' ')}: {told}")
        return "\n".join([*lines, "Numbers are rounded to 5; smaller ones are hidden."])

    __repr__ = __str__

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"study": self.study, "n": self.n, "of": self.of, "block": self.block, "reasons": dict(self.reasons)}
