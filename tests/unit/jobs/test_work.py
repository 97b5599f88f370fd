# SPDX-License-Identifier: Apache-2.0
"""One job from start to end, over real key server flows and a real child process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto import merkle
from consentum.crypto.sealing import SealingKey
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import CorruptError, LeaseError
from consentum.flow.client.verification import open_outputs, receipts_root
from consentum.flow.submission import Submission
from consentum.jobs.work import Attempt, work
from tests.unit.jobs.conftest import CODE, Runner


def worked(runner: Runner, code: bytes = CODE, submission: Submission | None = None) -> dict[str, Any]:
    made = submission or runner.submission(code)
    return work(runner, Attempt(made.id, "lease", made))  # type: ignore[arg-type]


def outputs(runner: Runner, body: dict[str, Any]) -> Any:
    sealed = as_bytes(body["sealedOutputs"], "sealedOutputs")
    return json.loads(open_outputs(body["manifest"], sealed, runner.result_key))["out"]


def test_a_job_sees_the_records_that_were_released_and_no_other(runner: Runner) -> None:
    batch = runner.deposited(runner.world.alice)
    body = worked(runner)
    rows = outputs(runner, body)
    assert sorted(n for _, n in rows) == [0, 2]
    assert len({pseudonym for pseudonym, _ in rows}) == 1
    released = sorted(r.id for r in batch.records if r.subject == runner.world.alice.address.lower())
    assert body["manifest"]["cohortRoot"] == hexed(merkle.root_of(released))
    assert body["counts"]["released"] == 2


def test_the_requesters_manifest_is_rounded_and_the_boards_numbers_are_exact(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    body = worked(runner)
    manifest, counts = body["manifest"], body["counts"]
    assert (manifest["of"], manifest["released"], manifest["refused"]) == ("<5", "<5", {"NO_CONSENT": "<5"})
    assert (counts["of"], counts["released"], counts["refused"], counts["dropped"]) == (3, 2, {"NO_CONSENT": 1}, 0)
    assert counts["released"] + sum(counts["refused"].values()) == counts["of"], "every record is counted once"
    assert len(body["receipts"]) == 2
    assert manifest["receiptsRoot"] == hexed(receipts_root(body["receipts"]))
    assert "receipts" not in manifest


@pytest.mark.parametrize("listed", [True, False])
def test_every_record_of_a_cohort_is_counted_once_whoever_refused_it(runner: Runner, listed: bool) -> None:
    runner.deposited(runner.world.alice, runner.world.bob)
    if listed:
        bob = runner.gateway_.store.openings_of([runner.world.bob.address])[runner.world.bob.address.lower()][0]
        runner.world.revoked(bob)
    counts = worked(runner)["counts"]
    assert counts["released"] + sum(counts["refused"].values()) == counts["of"] == 3
    assert counts["refused"] == ({"REVOKED": 1} if listed else {})


def test_outputs_open_for_nobody_but_the_requester_and_for_no_other_job(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    body = worked(runner)
    sealed = as_bytes(body["sealedOutputs"], "sealedOutputs")
    with pytest.raises(CorruptError):
        open_outputs(body["manifest"], sealed, SealingKey())
    other = {**body["manifest"], "job": {**body["manifest"]["job"], "deadline": 1}}
    with pytest.raises(CorruptError):
        open_outputs(other, sealed, runner.result_key)
    with pytest.raises(CorruptError) as caught:
        open_outputs(body["manifest"], worked(runner)["sealedOutputs"].encode(), runner.result_key)
    assert caught.value.field == "outputsHash"


def test_the_order_of_a_jobs_records_is_that_of_their_ids(runner: Runner) -> None:
    batch = runner.deposited(runner.world.alice, runner.world.bob)
    rows = outputs(runner, worked(runner))
    numbers = {record.id: n for n, record in enumerate(batch.records)}
    assert [n for _, n in rows] == [numbers[identity] for identity in sorted(numbers)]
    assert outputs(runner, worked(runner)) == rows


def test_the_requester_learns_no_address_and_no_record(runner: Runner) -> None:
    batch = runner.deposited(runner.world.alice, runner.world.bob)
    body = worked(runner)
    text = json.dumps([body["manifest"], outputs(runner, body)]).lower()
    for who in (runner.world.alice, runner.world.bob, runner.world.hospital):
        assert who.address[2:].lower() not in text
    for record in batch.records:
        assert record.id.hex() not in text


def test_a_job_no_record_was_released_to_does_not_run_and_says_why(runner: Runner) -> None:
    runner.deposited()
    body = worked(runner, b"raise SystemExit\n")
    assert body["error"]["code"] == "NOTHING_RELEASED"
    assert "sealedOutputs" not in body
    assert body["manifest"]["refused"] == {"NO_CONSENT": "<5"}
    assert body["manifest"]["outputsHash"] is None


def test_with_too_few_servers_the_job_fails_and_says_which(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    for peer in runner.world.peers[:2]:
        peer.fault = "down"
    body = worked(runner)
    assert body["error"]["code"] == "TOO_FEW_SHARES"
    assert "server 1: UNAVAILABLE" in body["error"]["detail"]
    assert body["manifest"] is None


def test_content_that_was_altered_fails_the_job(runner: Runner) -> None:
    batch = runner.deposited(runner.world.alice)
    runner.world.depository.contents[batch.records[0].cid] = b"other"
    body = worked(runner)
    assert (body["error"]["code"], "sealedOutputs" in body) == ("CORRUPT", False)


def test_a_job_that_raises_keeps_its_manifest_and_tells_the_line(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    body = worked(runner, b"def main(data):\n    raise ValueError(list(data))\n")
    assert body["error"] == {"code": "JOB_FAILED", "detail": "ValueError at job.py:2"}
    assert body["counts"]["released"] == 2


def test_what_nobody_expected_is_told_by_its_type_alone(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def burst(*_: Any) -> None:
        raise RuntimeError("canary-901")

    monkeypatch.setattr(Runner, "post", burst)
    assert worked(runner)["error"] == {"code": "UNEXPECTED", "detail": "RuntimeError"}


def test_a_job_sees_the_data_dictionary_if_the_gateway_keeps_one(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    code = b"def main(data):\n    return {'out': [len(data), data.schema]}\n"
    assert outputs(runner, worked(runner, code)) == [2, []]
    runner.dictionaries = [{"title": "Laboratory"}]
    assert outputs(runner, worked(runner, code)) == [2, [{"title": "Laboratory"}]]


def test_what_its_requester_is_told_on_the_way_is_rounded_too(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    stages: list[str] = []
    made = runner.submission()
    work(runner, Attempt(made.id, "lease", made, tell=stages.append))  # type: ignore[arg-type]
    assert stages == [
        "asking which records there are",
        "asking the key servers for <5 records",
        "running over <5 records",
        "closing",
    ]


# What the runner refuses though the gateway offers it


def test_a_job_of_a_board_that_is_not_in_its_settings_is_refused(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    runner.settings.boards = ()
    assert worked(runner)["error"]["code"] == "RUNNER_NOT_ACCREDITED"


def test_a_job_for_another_runner_is_refused(runner: Runner) -> None:
    made = runner.submission(runner=runner.world.bob.address.lower())
    assert worked(runner, submission=made)["error"]["code"] == "MALFORMED"


def test_a_job_its_requester_did_not_sign_is_refused(runner: Runner) -> None:
    made = runner.submission()
    forged = replace(made, signature=runner.submission(deadline=made.job.deadline - 1).signature)
    assert worked(runner, submission=forged)["error"]["code"] == "SIGNATURE"


def test_a_job_past_its_deadline_is_refused(runner: Runner) -> None:
    made = runner.submission()
    runner.now = made.job.deadline
    assert worked(runner, submission=made)["error"]["code"] == "DEADLINE_PASSED"


def test_a_committee_that_is_not_in_its_settings_is_not_asked(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    runner.settings.committees = ()
    assert worked(runner)["error"]["code"] == "CORRUPT"
    assert all("release" not in peer.asked for peer in runner.world.peers)


def test_a_job_that_was_halted_gives_nothing(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    made = runner.submission(b"def main(data):\n    import time\n    time.sleep(30)\n")
    attempt = Attempt(made.id, "lease", made)

    def tell(stage: str) -> None:
        if stage.startswith("running"):
            attempt.halt.stop(LeaseError())

    attempt.tell = tell
    with pytest.raises(LeaseError):
        work(runner, attempt)  # type: ignore[arg-type]


def test_nothing_of_a_job_stays_in_the_runners_folder_and_no_key_in_its_memory(runner: Runner) -> None:
    runner.deposited(runner.world.alice)
    made = runner.submission()
    attempt = Attempt(made.id, "lease", made)
    work(runner, attempt)  # type: ignore[arg-type]
    assert list(runner.scratch.iterdir()) == []
    assert attempt.leases is not None
    assert all(page.keys == {} for page in attempt.leases.pages)
