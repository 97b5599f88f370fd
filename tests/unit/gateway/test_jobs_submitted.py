# SPDX-License-Identifier: Apache-2.0
"""What the gateway takes as a job: what its requester signed, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto.sealing import SealingKey
from consentum.domain.parsing import hexed
from consentum.domain.terms import Access
from consentum.errors import (
    ConsentumError,
    RefusedError,
    SignatureRefused,
)
from consentum.flow.gateway import jobs
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.submission import MAX_DEADLINE_AHEAD_SECONDS
from tests.unit.client.world import NOW, World
from tests.unit.gateway.submissions import PACKAGE, another, later, made, who


def refused(gateway: Gateway, body: Any, code: str, field: str | None = None) -> None:
    with pytest.raises(ConsentumError) as caught:
        jobs.submit(gateway, body)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert jobs.mine(gateway, json.loads(json.dumps(body))["job"]["requester"]) == {"jobs": []}, "nothing is kept"


# Submitting


def test_a_signed_job_waits_for_its_runner(gateway: Gateway, world: World) -> None:
    submission = made(world)
    answer = jobs.submit(gateway, submission.to_json())
    assert answer == {"id": hexed(submission.id), "state": "queued"}
    assert jobs.submit(gateway, submission.to_json()) == answer, "the same job again is the same answer"
    assert len(jobs.mine(gateway, who(world.researcher))["jobs"]) == 1


@pytest.mark.parametrize("signer", ["alice", "runner", "hospital"])
def test_a_job_its_requester_did_not_sign_is_refused(gateway: Gateway, world: World, signer: str) -> None:
    refused(gateway, made(world, getattr(world, signer)).to_json(), "SIGNATURE", "jobSignature")


@pytest.mark.parametrize("field", ["study", "purpose", "access", "epsilonMilli", "deadline"])
def test_a_job_changed_after_it_was_signed_is_refused(gateway: Gateway, world: World, field: str) -> None:
    body = made(world).to_json()
    value = body["job"][field]
    body["job"][field] = value + 1 if isinstance(value, int) else hexed(b"\x77" * 32)
    refused(gateway, body, "SIGNATURE", "jobSignature")


@pytest.mark.parametrize(
    ("part", "value"),
    [("entry", "job:other"), ("categories", 5), ("outputs", {"more": "json"}), ("files", {"job.py": ""})],
)
def test_code_that_is_not_the_signed_code_is_refused(gateway: Gateway, world: World, part: str, value: Any) -> None:
    body = made(world).to_json()
    body["package"][part] = value
    refused(gateway, body, "MALFORMED", "code")


def test_what_happens_on_a_consent_change_is_part_of_what_was_signed(gateway: Gateway, world: World) -> None:
    body = made(world).to_json()
    body["package"]["onConsentChange"] = "drop"
    refused(gateway, body, "MALFORMED", "code")
    body = made(world, package=replace(PACKAGE, on_consent_change="drop")).to_json()
    assert body["package"]["onConsentChange"] == "drop"
    jobs.submit(gateway, body)


@pytest.mark.parametrize("part", ["resultKey", "resultNonce"])
def test_nobody_on_the_way_can_have_the_outputs_sealed_to_another_key(
    gateway: Gateway, world: World, part: str
) -> None:
    body = made(world).to_json()
    body[part] = hexed(SealingKey().public if part == "resultKey" else bytes(32))
    refused(gateway, body, "MALFORMED", "salt")


def test_a_deadline_is_ahead_and_not_too_far(gateway: Gateway, world: World) -> None:
    refused(gateway, made(world, deadline=NOW).to_json(), "DEADLINE_PASSED")
    far = NOW + MAX_DEADLINE_AHEAD_SECONDS
    refused(gateway, made(world, deadline=far + 1).to_json(), "MALFORMED", "deadline")
    jobs.submit(gateway, made(world, deadline=far).to_json())
    jobs.submit(gateway, made(world, deadline=NOW + 1).to_json())


def test_aggregates_have_no_gate_yet(gateway: Gateway, world: World) -> None:
    refused(gateway, made(world, access=int(Access.AGGREGATE)).to_json(), "MALFORMED", "access")


@pytest.mark.parametrize(
    ("method", "answer", "code"),
    [
        ("is_member", False, "REQUESTER_NOT_MEMBER"),
        ("board_and_runner", (b"\x0b" * 32, False), "RUNNER_NOT_ACCREDITED"),
    ],
)
def test_who_may_not_is_told_before_anything_is_kept(
    gateway: Gateway, world: World, monkeypatch: pytest.MonkeyPatch, method: str, answer: Any, code: str
) -> None:
    monkeypatch.setattr(type(world.ledger), method, lambda *_: answer)
    refused(gateway, made(world).to_json(), code)


def test_a_job_is_refused_while_the_chain_cannot_be_asked(gateway: Gateway, world: World) -> None:
    world.ledger.down = True
    refused(gateway, made(world).to_json(), "UNAVAILABLE")


def test_one_unfinished_job_too_many_is_refused(gateway: Gateway, world: World) -> None:
    for n in range(jobs.LIMITS.open):
        jobs.submit(gateway, another(world, NOW + 100 + n).to_json())
    with pytest.raises(RefusedError) as caught:
        jobs.submit(gateway, another(world, NOW + 99).to_json())
    assert caught.value.code == "LIMIT"
    theirs = made(world, world.bob, requester=who(world.bob))
    jobs.submit(gateway, theirs.to_json())


def test_whoever_knows_a_job_but_cannot_sign_it_learns_nothing_of_it(
    gateway: Gateway, world: World, submitted: str
) -> None:
    submission = made(world, deadline=NOW + 7)
    jobs.submit(gateway, submission.to_json())
    with pytest.raises(SignatureRefused):
        jobs.submit(gateway, replace(submission, signature=world.bob.sign(bytes(32))).to_json())


def test_the_same_job_after_its_end_is_the_same_answer(gateway: Gateway, world: World) -> None:
    submission = made(world, deadline=NOW + 7)
    jobs.submit(gateway, submission.to_json())
    later(gateway, 99)
    assert jobs.submit(gateway, submission.to_json())["state"] == "expired"
