# SPDX-License-Identifier: Apache-2.0
"""A job from the folder to the result: what is signed, who can open it, and every way it can end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.peers.http import HttpClient
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import from_json
from consentum.domain.messages import Job as SignedJob
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import CorruptError, MalformedError, NotFoundError, Reason, RefusedError, UnavailableError
from consentum.flow.client.verification import Finding
from consentum.sdk.client import Client
from consentum.sdk.failures import JobFailed, JobRefused, StillRunningError, VerificationFailed
from consentum.sdk.result import Manifest, Result
from tests.unit.sdk.conftest import NAME, Lab, submitted

OUTPUTS = {"metrics": {"auc": 0.99}}


def test_the_lines_of_the_readme_run_as_written(
    lab: Lab, train: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("consentum.sdk.client.connect", lambda home: lab.connection())
    monkeypatch.chdir(tmp_path)

    from consentum import Client

    study = Client.from_env().study("breast-diagnosis")
    print(study.cohort(["pathology"]))
    df = study.sample(["pathology"], n=50).to_pandas()
    job = study.submit("train/", entry="train:main", categories=["pathology"], outputs={"metrics": "json"})
    lab.gateway.release(job.id, OUTPUTS)
    for event in job.events():
        print(event)
    result = job.result()
    print(result.metrics, result.refused)
    result.manifest.save("methods.json")
    result.verify()

    told = capsys.readouterr().out
    assert all(word in told for word in ("385 of 490", "queued", "released: done", "'auc': 0.99", "'NO_CONSENT': 105"))
    assert len(df) == 50
    assert json.loads(Path("methods.json").read_text()) == dict(result.manifest)


def test_what_is_sent_is_what_was_signed_though_the_folder_changes_then(
    lab: Lab, client: Client, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway is away twice, and between the tries somebody edits the folder."""
    original = (train / "train.py").read_bytes()
    study = client.study(NAME)
    lab.gateway.away = 2

    def meddle(_: float) -> None:
        (train / "train.py").write_text("def main(dataset): return {'metrics': list(dataset)}")
        (train / "more.py").write_text("")

    client.session.pause = meddle
    job = study.submit(train, "train:main", ["pathology"], {"metrics": "json"})
    sent = lab.gateway.sent[job.id]
    package = JobPackage.parse(sent["package"])
    assert dict(package.files) == {"train.py": original}
    assert package.digest == from_json(SignedJob, sent["job"]).code
    assert (train / "train.py").read_bytes() != original


def test_submitting_through_an_absent_gateway_hands_in_one_job(lab: Lab, client: Client, train: Path) -> None:
    study = client.study(NAME)
    lab.gateway.away = 3
    study.submit(train, "train:main", ["pathology"], {"metrics": "json"})
    assert len(lab.gateway.jobs) == 1
    lab.gateway.away = 10_000
    with pytest.raises(UnavailableError):
        study.submit(train, "train:main", ["pathology"], {"metrics": "json"})
    assert len(lab.gateway.jobs) == 1


def test_each_choice_is_in_what_is_signed(lab: Lab, client: Client, train: Path) -> None:
    job = submitted(
        client, train, runner=lab.runner.address, purpose="disease research", on_consent_change="drop", deadline_hours=5
    )
    sent = lab.gateway.sent[job.id]
    signed = from_json(SignedJob, sent["job"])
    assert (signed.purpose, signed.access, signed.runner) == (4, 2, lab.runner.address.lower())
    assert 4.9 * 3_600 < signed.deadline - lab.ledger.now <= 5 * 3_600
    assert sent["package"]["onConsentChange"] == "drop"
    other = submitted(client, train)
    assert lab.gateway.sent[other.id]["job"]["code"] != sent["job"]["code"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"entry": "train:predict"}, "entry"),
        ({"entry": "model:main"}, "entry"),
        ({"entry": "train.main"}, "entry"),
        ({"outputs": {}}, "outputs"),
        ({"outputs": {"model": "pickle"}}, "outputs"),
        ({"categories": ["imaging"]}, "categories"),
        ({"on_consent_change": "ignore"}, "onConsentChange"),
        ({"deadline_hours": 0}, "deadline_hours"),
        ({"deadline_hours": float("nan")}, "deadline_hours"),
        ({"deadline_hours": 10_000}, "deadline_hours"),
        ({"folder": "nowhere"}, "folder"),
        ({"runner": "0x12"}, "address"),
    ],
)
def test_a_job_that_cannot_run_is_refused_here_and_nothing_is_signed(
    lab: Lab, client: Client, train: Path, change: dict[str, Any], field: str
) -> None:
    made = {"folder": train, "entry": "train:main", "categories": ["pathology"], "outputs": {"metrics": "json"}}
    with pytest.raises(MalformedError) as caught:
        client.study(NAME).submit(**{**made, **change})
    assert caught.value.field == field
    assert lab.gateway.jobs == {}


@pytest.mark.parametrize("code", ["def main(:", "\0", "x = 'main'"])
def test_a_file_that_is_not_python_or_has_no_entry_is_refused(client: Client, train: Path, code: str) -> None:
    (train / "train.py").write_text(code)
    with pytest.raises(MalformedError) as caught:
        submitted(client, train)
    assert caught.value.field == "entry"


def test_a_folder_without_python_or_unreadable_is_refused(client: Client, train: Path) -> None:
    (train / "train.py").unlink()
    with pytest.raises(MalformedError):
        submitted(client, train)
    (train / "train.py").mkdir()
    with pytest.raises(MalformedError):
        submitted(client, train)


def test_a_runner_that_the_board_does_not_accredit_is_refused(lab: Lab, client: Client, train: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        submitted(client, train, runner=WalletKey().address)
    assert caught.value.reason == Reason.RUNNER_NOT_ACCREDITED
    assert lab.gateway.jobs == {}


# Following it


def test_events_come_once_each_in_order_until_the_end_though_the_gateway_is_away(
    lab: Lab, client: Client, train: Path
) -> None:
    job = submitted(client, train)
    told = job.events()
    assert next(told).state == "queued"
    lab.gateway.step(job.id, "admitted")
    lab.gateway.step(job.id, "running", "asking the key servers")
    lab.gateway.away = 100
    assert [next(told).state, next(told).stage] == ["admitted", "asking the key servers"]
    lab.gateway.step(job.id, "queued", "the runner fell silent")
    lab.gateway.release(job.id, OUTPUTS)
    assert [event.state for event in told] == ["queued", "released"]
    assert "running: asking the key servers" in str(list(job.events())[2])


def test_another_process_with_the_same_home_attaches_and_opens_the_result(
    lab: Lab, client: Client, train: Path
) -> None:
    identity = submitted(client, train).id
    lab.gateway.release(identity, OUTPUTS)
    again = lab.client().job(identity)
    assert again.state == "released"
    assert again.result().metrics == {"auc": 0.99}
    assert [job.id for job in lab.client().jobs()] == [identity]


def test_anothers_job_is_not_there(lab: Lab, client: Client, train: Path) -> None:
    identity = submitted(client, train).id
    other = lab.client(WalletKey())
    assert other.jobs() == []
    for ask in (lambda job: job.state, lambda job: job.result(timeout=1), lambda job: job.cancel()):
        with pytest.raises(NotFoundError):
            ask(other.job(identity))


def test_waiting_ends_in_time_and_the_job_runs_on(lab: Lab, client: Client, train: Path) -> None:
    job = submitted(client, train)
    with pytest.raises(StillRunningError):
        job.result(timeout=10)
    lab.gateway.away = 10_000
    with pytest.raises(StillRunningError):
        list(job.events(timeout=60))


def test_a_session_that_ended_is_opened_again(lab: Lab, client: Client, train: Path) -> None:
    job = submitted(client, train)
    connection: Any = client.connection
    lab.ledger.mine(lab.ledger.now + 1_000)
    assert job.state == "queued"
    assert connection.sign_ins == 2


# How it ends


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


def test_a_gateway_that_acknowledges_another_job_is_not_believed(
    lab: Lab, client: Client, train: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = HttpClient.post

    def other(self: HttpClient, path: str, body: Any) -> Any:
        answer = post(self, path, body)
        return {**answer, "id": hexed(bytes(32))} if path == "/v1/jobs" else answer

    monkeypatch.setattr(HttpClient, "post", other)
    with pytest.raises(CorruptError):
        submitted(client, train)


def test_a_result_can_be_copied_and_pickled(lab: Lab) -> None:
    import copy

    result = Result({"metrics": 1}, Manifest({}))
    assert copy.copy(result).metrics == 1
