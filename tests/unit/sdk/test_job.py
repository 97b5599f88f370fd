# SPDX-License-Identifier: Apache-2.0
"""A job from the folder to its end: what is signed, what is sent, and how it is followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.peers.http import HttpClient
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import from_json
from consentum.domain.messages import Job as SignedJob
from consentum.domain.package import JobPackage
from consentum.domain.parsing import hexed
from consentum.errors import CorruptError, MalformedError, NotFoundError, Reason, RefusedError, UnavailableError
from consentum.sdk.client import Client
from consentum.sdk.failures import StillRunningError
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
