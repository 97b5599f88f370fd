# SPDX-License-Identifier: Apache-2.0
"""A study, its cohorts and its runner: what the gateway says is compared with the chain before anything is signed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

import consentum
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import digest, from_json
from consentum.domain.messages import Job
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import CorruptError, MalformedError, NotFoundError, Reason, RefusedError
from consentum.sdk.client import Client
from consentum.sdk.cohort import Cohort
from consentum.sdk.failures import NoRunnerError
from tests.fakes.state import signer_of
from tests.unit.sdk.conftest import NAME, STUDY, TERMS, Lab


def test_importing_the_package_loads_nothing_until_the_client_is_asked_for() -> None:
    code = "import sys, consentum as c; old = 'httpx' in sys.modules; c.Client; print(old, 'httpx' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "True"]
    with pytest.raises(AttributeError):
        _ = consentum.Nothing


def test_a_study_is_found_by_name_and_by_id_and_says_how_it_stands(client: Client) -> None:
    for name in (NAME, hexed(STUDY)):
        study = client.study(name)
        assert (study.id, study.name, study.standing) == (STUDY, NAME, Reason.ALLOWED)
    told = str(client.study(NAME))
    assert all(word in told for word in (NAME, hexed(STUDY), "open", "laboratory, pathology", "compute"))


@pytest.mark.parametrize("until", [1 << 48, 1 << 80, -1, "x", None, True])
def test_a_date_that_is_none_does_not_keep_a_study_from_being_shown(lab: Lab, client: Client, until: Any) -> None:
    lab.gateway.cards[NAME]["approvedUntil"] = until
    assert "until -" in str(client.study(NAME))


@pytest.mark.parametrize("name", ["", "Breast", "../forms", "a/b", "0x12", "x" * 65, None, "0x" + "g" * 64])
def test_what_can_be_no_study_is_not_asked_for(client: Client, name: Any) -> None:
    with pytest.raises(MalformedError):
        client.study(name)


def test_a_study_that_only_the_gateway_knows_is_none(lab: Lab, client: Client) -> None:
    lab.gateway.cards["made-up"] = {**lab.gateway.cards[NAME], "study": "0x" + "77" * 32}
    with pytest.raises(NotFoundError):
        client.study("made-up")
    with pytest.raises(NotFoundError):
        client.study("unknown")


@pytest.mark.parametrize("change", [{"study": "0x" + "77" * 32}, {"board": "0x" + "66" * 32}])
def test_a_gateway_that_answers_with_another_study_or_board_is_not_believed(
    lab: Lab, client: Client, change: dict[str, str]
) -> None:
    lab.gateway.cards[hexed(STUDY)] = {**lab.gateway.cards[NAME], **change}
    with pytest.raises(CorruptError):
        client.study(hexed(STUDY))


def test_a_closed_study_and_a_stranger_are_told_so_and_nothing_is_signed(lab: Lab, client: Client) -> None:
    stranger = lab.client(WalletKey()).study(NAME)
    assert stranger.standing == Reason.REQUESTER_NOT_MEMBER
    lab.on_chain(until=lab.ledger.now - 1)
    closed = client.study(NAME)
    assert closed.standing == Reason.STUDY_NOT_OPEN
    assert "not approved now" in str(closed) or "past its date" in str(closed)
    for study in (stranger, closed):
        with pytest.raises(RefusedError):
            study.cohort(["pathology"])
    assert lab.gateway.asked == []


def test_a_cohort_says_how_many_at_which_block_and_why_not_the_others(client: Client) -> None:
    cohort = client.study(NAME).cohort(["pathology"])
    assert (cohort.n, cohort.of, cohort.block) == (385, 490, 7)
    assert cohort.reasons == {"NO_CONSENT": 105, "REVOKED": "<5"}
    told = str(cohort)
    assert all(word in told for word in ("385 of 490", "block 7", "105", "<5", "revoked", "ended her consent"))


def test_the_question_is_signed_lasts_minutes_and_can_be_run_by_nobody(lab: Lab, client: Client) -> None:
    client.study(NAME).cohort("pathology", purpose="disease research")
    [body] = lab.gateway.asked
    job = from_json(Job, body["job"])
    assert (job.requester, job.runner) == (lab.researcher.address.lower(), lab.runner.address.lower())
    assert (job.purpose, job.access) == (Purpose.DISEASE_RESEARCH, Access.COMPUTE)
    assert lab.ledger.now < job.deadline <= lab.ledger.now + 300
    assert body["categories"] == Category.PATHOLOGY
    signature = as_bytes(body["jobSignature"], "jobSignature")
    assert signer_of(digest(lab.ledger.at.user_domain, job), signature) == lab.researcher.address.lower()
    client.study(NAME).cohort("pathology")
    assert len({body["job"]["salt"] for body in lab.gateway.asked}) == 2
    assert len({body["job"]["code"] for body in lab.gateway.asked}) == 1


@pytest.mark.parametrize(
    ("categories", "options", "field"),
    [
        (["horoscopes"], {}, "categories"),
        ([], {}, "categories"),
        (["imaging"], {}, "categories"),
        (["pathology"], {"access": "root"}, "access"),
        (["pathology"], {"purpose": "commercial"}, "purpose"),
        (["pathology"], {"purpose": "fun"}, "purpose"),
    ],
)
def test_what_the_study_is_not_about_is_refused_before_it_is_signed(
    lab: Lab, client: Client, categories: list[str], options: dict[str, str], field: str
) -> None:
    with pytest.raises(MalformedError) as caught:
        client.study(NAME).cohort(categories, **options)
    assert caught.value.field == field
    assert lab.gateway.asked == []


def test_more_access_than_the_board_approved_is_refused_by_the_chains_own_policy(lab: Lab, client: Client) -> None:
    with pytest.raises(RefusedError) as caught:
        client.study(NAME).cohort(["pathology"], access="download")
    assert caught.value.reason == Reason.ACCESS_NOT_OF_STUDY
    with pytest.raises(RefusedError) as caught:
        client.study(NAME).records(["pathology"])
    assert caught.value.reason == Reason.ACCESS_NOT_OF_STUDY
    assert lab.gateway.asked == []


def test_terms_that_only_the_gateway_widened_do_not_widen_anything(lab: Lab, client: Client) -> None:
    wider = replace(TERMS, access=int(Access.DOWNLOAD))
    lab.gateway.cards[NAME]["terms"]["access"] = int(wider.access)
    with pytest.raises(RefusedError) as caught:
        client.study(NAME).records(["pathology"])
    assert caught.value.reason == Reason.ACCESS_NOT_OF_STUDY


def test_the_accredited_runner_that_was_seen_last_is_taken(lab: Lab, client: Client) -> None:
    stranger, old = WalletKey().address.lower(), WalletKey().address.lower()
    lab.ledger.pending.runners[b"\x0b" * 32, old] = lab.ledger.now + 1_000
    lab.ledger.settle()
    lab.gateway.runners = [
        {"address": old, "seen": 1},
        {"address": lab.runner.address.lower(), "seen": 5},
        {"address": stranger, "seen": 9},
    ]
    client.study(NAME).cohort(["pathology"])
    assert lab.gateway.asked[0]["job"]["runner"] == lab.runner.address.lower()


def test_without_an_accredited_runner_nothing_is_signed(lab: Lab, client: Client) -> None:
    lab.gateway.runners = [{"address": WalletKey().address.lower(), "seen": 9}]
    with pytest.raises(NoRunnerError):
        client.study(NAME).cohort(["pathology"])
    assert lab.gateway.asked == []


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"block": 1, "of": 1},
        {"block": 1, "of": 1, "counts": {"MADE_UP": 1}},
        {"block": 1, "of": 1, "counts": {"ALLOWED": -1}},
        {"block": 1, "of": 1, "counts": {"ALLOWED": "many"}},
        {"block": "x", "of": 1, "counts": {}},
        {"block": 1, "of": 1.5, "counts": {}},
        {"block": 1, "of": 1, "counts": [1]},
    ],
)
def test_an_answer_that_is_no_cohort_is_refused(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Cohort.parse(NAME, answer)
