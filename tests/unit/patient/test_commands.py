# SPDX-License-Identifier: Apache-2.0
"""What a patient sees and is asked at her terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from eth_utils.crypto import keccak

from consentum.cli.main import cli
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError
from tests.unit.client.world import NOW, STUDY
from tests.unit.patient.conftest import Home

TERMS = ("--categories", "laboratory,imaging", "--access", "compute", "--until", "2027-12-31")


@pytest.fixture
def run(home: Home, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("consentum.wiring.patient.open_patient", lambda folder: home)
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    monkeypatch.setattr("consentum.sdk.granting.find_scope", lambda _, text: _scope(text))

    def invoke(*words: str, answer: str = "") -> Result:
        return CliRunner().invoke(cli, ["patient", *words], input=answer)

    return invoke


def _scope(text: str) -> Any:
    from consentum.sdk.granting import Scope

    return Scope(STUDY, "Diagnosis", "What for\x1b[2J", (keccak(b"I agree.\n"),))


@pytest.fixture
def form(tmp_path: Path) -> str:
    path = tmp_path / "form.txt"
    path.write_bytes(b"I agree.\n")
    return str(path)


def test_accepting_shows_who_invites_and_asks(run: Any, home: Home) -> None:
    invite = home.invite()
    done = run("accept", invite.to_text(), answer="n\n")
    assert done.exit_code == 1
    assert invite.custodian in done.stderr
    assert home.handed_in() == 0
    done = run("accept", invite.to_text(), answer="y\n")
    assert (done.exit_code, home.handed_in()) == (0, 1)


def test_with_json_nothing_but_one_object_is_on_standard_output(run: Any, home: Home) -> None:
    done = run("accept", home.invite().to_text(), "--yes", "--json")
    assert set(json.loads(done.stdout)) == {"enrolment", "custodian", "recognised"}


def test_granting_shows_form_and_terms_and_asks(run: Any, home: Home, form: str) -> None:
    done = run("grant", "diagnosis", "--form", form, *TERMS, answer="n\n")
    assert done.exit_code == 1
    for shown in ("I agree.", "Diagnosis", hexed(STUDY), "laboratory, imaging", "31 December 2027, 23:59 UTC"):
        assert shown in done.stderr
    assert "\x1b" not in done.stderr
    assert home.book.all("consent") == []
    done = run("grant", "diagnosis", "--form", form, *TERMS, "--json", answer="y\n")
    assert json.loads(done.stdout)["state"] == "queued"


def test_a_form_that_the_study_has_not_is_refused_before_anything_is_asked(
    run: Any, home: Home, tmp_path: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text("I agree to everything.")
    done = run("grant", "diagnosis", "--form", str(other), *TERMS, "--yes")
    assert isinstance(done.exception, ConsentumError)
    assert (done.exception.code, done.exception.field) == ("MALFORMED", "form")
    assert home.book.all("consent") == []


def test_a_form_by_its_hash_is_fetched(run: Any, home: Home) -> None:
    home.gateway.store.add_form(keccak(b"I agree.\n"), "I agree.\n")
    done = run("grant", "diagnosis", "--form", hexed(keccak(b"I agree.\n")), *TERMS, "--yes")
    assert done.exit_code == 0
    assert "I agree." in done.stderr


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"--categories": "everything"}, "categories"),
        ({"--until": "tomorrow"}, "until"),
        ({"--until": "2020-01-01"}, "until"),
        ({"--purposes": "fun"}, "purposes"),
        ({"--conditions": "fun"}, "conditions"),
        ({"--form": "/nowhere/form.txt"}, "form"),
    ],
)
def test_terms_that_are_none_name_their_field(
    run: Any, home: Home, form: str, changes: dict[str, str], field: str
) -> None:
    words = {"--form": form, **dict(zip(TERMS[::2], TERMS[1::2], strict=True)), **changes}
    done = run("grant", "diagnosis", *(part for pair in words.items() for part in pair), "--yes")
    assert getattr(done.exception, "field", None) == field
    assert home.book.all("consent") == []


def test_a_stop_without_the_gateway_says_so_and_who_holds_it(run: Any, home: Home) -> None:
    home.down = True
    done = run("stop")
    assert done.exit_code == 0
    assert "the gateway does not answer" in done.stdout
    assert done.stdout.count("holds it") == 3


def test_a_stop_that_a_server_missed_fails_so_that_it_is_given_again(run: Any, home: Home) -> None:
    home.world.peers[0].fault = "down"
    done = run("stop", "--json")
    assert done.exit_code == 3
    assert json.loads(done.stdout)["complete"] is False


def test_no_consents_and_no_records_are_said(run: Any) -> None:
    assert run("consents").stdout == "no consents\n"
    assert run("records").stdout == "no records yet\n"


@pytest.mark.parametrize("words", [("revoke", "0x12"), ("revoke", "x"), ("record", "0x12", "--out", "f")])
def test_what_is_no_id_is_wrong_usage(run: Any, words: tuple[str, ...]) -> None:
    assert run(*words).exit_code == 2
