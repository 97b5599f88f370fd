# SPDX-License-Identifier: Apache-2.0
"""A manifest's numbers add up: every record of the cohort is released, or refused for one reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from consentum.domain.cid import RAW, Cid
from consentum.domain.package import JobPackage
from consentum.flow.client.collect import Collected, Key
from consentum.jobs.work import JobState, manifest
from tests.unit.client.world import World

PACKAGE = JobPackage({"job.py": b""}, "job:main", 4, {"out": "json"})


def made(unlisted: dict[str, int], listed: int, answered: dict[str, int]) -> dict[str, Any]:
    """unlisted: the gateway's counts of what it did not list; listed: the rows it gave the runner; answered: a server's
    counts, over those."""
    world: Any = World(None, None, [], None)  # type: ignore[arg-type]
    state = JobState(world.job(), b"", PACKAGE)
    keys = tuple(Key(bytes([n]) * 32, Cid.of(RAW, b""), b"") for n in range(answered.get("ALLOWED", 0)))
    receipts: Any = (SimpleNamespace(counts=answered, latest="1:0x00"),)
    pages = [Collected(keys, receipts, (), {})] if listed else []
    cohort = {"of": sum(unlisted.values()) + listed, "unlisted": unlisted, "records": [{}] * listed}
    return manifest(state, cohort, pages)


@pytest.mark.parametrize(
    ("unlisted", "listed", "answered"),
    [
        ({}, 2, {"ALLOWED": 2}),
        ({}, 2, {"ALLOWED": 1, "NOTICE_HELD": 1}),
        ({"SCOPE": 3}, 2, {"ALLOWED": 2}),
        ({"SCOPE": 3}, 3, {"ALLOWED": 2, "REVOKED": 1}),
        ({"SCOPE": 3, "NO_CONSENT": 1}, 0, {}),
        ({"NO_CONSENT": 1}, 4, {"ALLOWED": 2, "NO_CONSENT": 2}),
    ],
)
def test_every_record_of_a_cohort_is_counted_once(
    unlisted: dict[str, int], listed: int, answered: dict[str, int]
) -> None:
    found = made(unlisted, listed, answered)
    assert found["released"] + sum(found["refused"].values()) == found["of"]
