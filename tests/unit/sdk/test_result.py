# SPDX-License-Identifier: Apache-2.0
"""How a job ends: who can open its outputs, whom they are from, and what its manifest is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.errors import CorruptError, MalformedError
from consentum.flow.client.verification import Finding
from consentum.sdk.client import Client
from consentum.sdk.failures import JobFailed, JobRefused, VerificationFailed
from consentum.sdk.result import Manifest, Result
from tests.unit.sdk.conftest import Lab, submitted

OUTPUTS = {"metrics": {"auc": 0.99}}


def test_outputs_open_with_this_homes_key_alone(lab: Lab, client: Client, train: Path) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, OUTPUTS)
    thief = lab.client(sealing=SealingKey(b"\x09" * 32)).job(job.id)
    with pytest.raises(CorruptError):
        thief.result()


def test_outputs_that_the_gateway_made_up_are_not_believed(lab: Lab, client: Client, train: Path) -> None:
    """It knows the key they are sealed to, the job, and everything but the runner's key."""
    job = submitted(client, train)
    lab.gateway.release(job.id, {"metrics": {"auc": 0.5}}, signer=WalletKey())
    with pytest.raises(VerificationFailed) as caught:
        job.result()
    assert "runner" in str(caught.value)
    lab.gateway.jobs[job.id]["manifest"].pop("signature")
    with pytest.raises(VerificationFailed):
        job.result()


def test_outputs_of_another_job_do_not_open(lab: Lab, client: Client, train: Path) -> None:
    one, two = submitted(client, train), submitted(client, train)
    for job in (one, two):
        lab.gateway.release(job.id, OUTPUTS)
    lab.gateway.jobs[one.id]["sealedOutputs"] = lab.gateway.jobs[two.id]["sealedOutputs"]
    with pytest.raises(CorruptError):
        one.result()
    # Not even if the runner had signed for them: they are sealed for the other job.
    hashed = lab.gateway.jobs[two.id]["manifest"]["outputsHash"]
    lab.gateway.jobs[one.id]["manifest"] = lab.gateway.manifest(one.id, outputsHash=hashed)
    with pytest.raises(CorruptError):
        one.result()
    lab.gateway.jobs[one.id].update(manifest=lab.gateway.jobs[two.id]["manifest"])
    with pytest.raises(CorruptError) as caught:
        one.result()
    assert caught.value.field == "manifest"


@pytest.mark.parametrize("sealed", [None, "0x", "0x1234", 5, {"a": 1}])
def test_a_released_job_without_its_outputs_is_no_result(lab: Lab, client: Client, train: Path, sealed: Any) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, OUTPUTS)
    lab.gateway.jobs[job.id]["sealedOutputs"] = sealed
    with pytest.raises((MalformedError, CorruptError)):
        job.result()


@pytest.mark.parametrize("outputs", [[1], "x", None, 3, {"../../evil": 1}, {"A": 1}, {"": 1}])
def test_outputs_that_are_no_object_are_refused(lab: Lab, client: Client, train: Path, outputs: Any) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, outputs)
    with pytest.raises(CorruptError):
        job.result()


def test_every_declared_output_is_an_attribute_but_never_in_place_of_ours(
    lab: Lab, client: Client, train: Path
) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, {"metrics": 1, "manifest": "forged", "verify": "forged"}, dropped="<5")
    result = job.result()
    assert (result.metrics, result.released, result.dropped) == (1, 385, "<5")
    assert isinstance(result.manifest, Manifest)
    assert callable(result.verify)
    assert result.outputs["manifest"] == "forged"
    with pytest.raises(AttributeError):
        _ = result.nothing


@pytest.mark.parametrize(
    ("error", "code", "hint"),
    [
        ({"code": "JOB_FAILED", "detail": "KeyError at train.py:3"}, "JOB_FAILED", "named line"),
        ({"code": "RUNNER_LOST", "detail": "no lease"}, "RUNNER_LOST", "submit again"),
        ({"code": "STALE", "detail": "stale"}, "STALE", ""),
        ({"code": "SOMETHING_NEW", "detail": "?"}, "SOMETHING_NEW", "operator"),
        (None, "FAILED", "operator"),
    ],
)
def test_a_job_that_failed_says_why_and_what_to_do(
    lab: Lab, client: Client, train: Path, error: Any, code: str, hint: str
) -> None:
    job = submitted(client, train)
    lab.gateway.step(job.id, "failed", "", error=error)
    with pytest.raises(JobFailed) as caught:
        job.result()
    assert caught.value.code == code
    assert hint in caught.value.hint
    assert caught.value.hint in str(caught.value)


def test_a_job_that_expired_or_was_cancelled_says_so(lab: Lab, client: Client, train: Path) -> None:
    late, unwanted = submitted(client, train), submitted(client, train)
    lab.gateway.step(late.id, "expired")
    unwanted.cancel()
    for job, code in ((late, "EXPIRED"), (unwanted, "CANCELLED")):
        with pytest.raises(JobFailed) as caught:
            job.result()
        assert caught.value.code == code


@pytest.mark.parametrize("state", ["released", "failed"])
def test_a_job_to_which_nothing_was_released_says_for_which_reasons(
    lab: Lab, client: Client, train: Path, state: str
) -> None:
    job = submitted(client, train)
    told = lab.gateway.manifest(job.id, released=0, refused={"NO_CONSENT": 490, "REVOKED": "<5"})
    error = {"code": "NOTHING_RELEASED", "detail": ""} if state == "failed" else None
    lab.gateway.step(job.id, state, "", manifest=told, error=error)
    with pytest.raises(JobRefused) as caught:
        job.result()
    assert caught.value.refused == {"NO_CONSENT": 490, "REVOKED": "<5"}
    assert "no consent: 490, revoked: <5" in str(caught.value)


# The manifest


def test_a_result_verifies_against_the_chain_and_names_what_does_not_hold(
    lab: Lab, client: Client, train: Path
) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, OUTPUTS)
    result = job.result()
    assert {finding.check for finding in result.verify()} >= {"requester", "runner", "code", "accredited", "member"}
    lab.ledger.pending.runners.clear()
    lab.ledger.settle()
    with pytest.raises(VerificationFailed) as caught:
        result.verify()
    assert "accredited" in str(caught.value)
    assert job.result().metrics == OUTPUTS["metrics"], "the result itself is still the runner's"


@pytest.mark.parametrize("name", ["released", "refused", "code", "cohortRoot", "at", "jobSignature", "signature"])
def test_a_saved_manifest_in_which_anything_was_edited_does_not_hold(
    lab: Lab, client: Client, train: Path, tmp_path: Path, name: str
) -> None:
    job = submitted(client, train)
    lab.gateway.release(job.id, OUTPUTS)
    path = tmp_path / "methods.json"
    job.result().manifest.save(path)
    assert client.manifest(path).verify()
    data = json.loads(path.read_text())
    value = data[name]
    data[name] = value + 1 if isinstance(value, int) else {"REVOKED": 5} if isinstance(value, dict) else flipped(value)
    path.write_text(json.dumps(data))
    with pytest.raises(VerificationFailed):
        client.manifest(path).verify()


def flipped(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


@pytest.mark.parametrize("findings", [[], [Finding("x", False, "")], [Finding("x", 1, "")]])  # type: ignore[arg-type]
def test_whatever_does_not_say_that_it_holds_does_not(
    lab: Lab, findings: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consentum.sdk.result.verify_manifest", lambda *_: findings)
    with pytest.raises(VerificationFailed):
        Manifest({"job": {}}, lab.connection()).verify()


def test_a_saved_manifest_comes_back_and_needs_a_client_to_verify(lab: Lab, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "methods.json"
    Manifest({"released": 5}).save(path)
    assert client.manifest(path) == Manifest({"released": 5})
    with pytest.raises(MalformedError):
        Manifest.load(path).verify()


@pytest.mark.parametrize("text", ["", "[]", "{", "3", '"x"', "[" * 100_000])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "methods.json").write_text(text)
    with pytest.raises(MalformedError):
        Manifest.load(tmp_path / "methods.json")
    with pytest.raises(MalformedError):
        Manifest.load(tmp_path / "missing.json")


def test_a_result_can_be_copied_and_pickled(lab: Lab) -> None:
    import copy

    result = Result({"metrics": 1}, Manifest({}))
    assert copy.copy(result).metrics == 1
