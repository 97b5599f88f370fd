# SPDX-License-Identifier: Apache-2.0
"""The pages for operators, boards, custodians, patients and researchers are followed from nothing to the end: one
story, every command in them run as it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pages import Page, People
from tests.e2e.test_up import free_ports

pytestmark = pytest.mark.processes

# Who follows which section of which page, in the order in which it happens.
BEGINNING = [
    ("operators", "1. Start", "operator"),
    ("boards", "1. A member's home", "alice"),
    ("boards", "1. A member's home", "bert"),
    ("operators", "A board's members", "operator"),
    ("boards", "2. Found the board", "alice"),
    ("operators", "A board", "operator"),
    ("boards", "3. Accredit a runner", "alice"),
    ("boards", "3. Accredit a runner", "bert"),
    ("boards", "6. Propose a study", "lead"),
    ("boards", "4. Decide on a study", "alice"),
    ("boards", "4. Decide on a study", "bert"),
    ("boards", "Consents to every study", "alice"),
    ("boards", "Consents to every study", "bert"),
    ("researchers", "Your home", "researcher"),
    ("boards", "7. Name who works on it", "lead"),
    ("custodians", "1. A home", "hospital"),
    ("operators", "A hospital", "operator"),
    ("custodians", "2. Invite a patient", "hospital"),
    ("patients", "1. Your keys", "patient"),
    ("patients", "2. Accept your hospital's invite", "patient"),
    ("custodians", "Who accepted", "hospital"),
    ("custodians", "3. Deposit", "hospital"),
    ("custodians", "4. Say what your records look like", "hospital"),
    ("patients", "3. Consent", "patient"),
    ("researchers", "On the command line", "researcher"),
    ("patients", "5. See", "patient"),
]
END = [
    ("patients", "4. End it", "patient"),
    ("patients", "1. Your keys", "helper"),
    ("patients", "6. Helpers", "patient"),
    ("custodians", "5. Take back", "hospital"),
    ("custodians", "1. A home", "nurse"),
    ("custodians", "6. Staff", "hospital"),
    ("boards", "5. Stop a study", "alice"),
    ("boards", "5. Stop a study", "bert"),
    ("boards", "For ever", "alice"),
    ("boards", "For ever", "bert"),
    ("operators", "3. Keep copies", "operator"),
    ("operators", "4. Look after it", "operator"),
    ("operators", "5. Stop", "operator"),
]
STORY = [*BEGINNING, *END]
PAGES = {name: Page.read(name) for name in ("operators", "boards", "custodians", "patients", "researchers")}


def test_every_section_with_commands_is_followed_by_somebody() -> None:
    sections = {(page.name, heading) for page in PAGES.values() for heading in page.commands}
    assert sections == {(page, heading) for page, heading, _ in STORY}


@pytest.fixture
def people(tmp_path: Path) -> Iterator[People]:
    everybody = People(tmp_path, free_ports(6))
    yield everybody
    everybody.do("consentum down", "operator")


def test_who_follows_the_pages_gets_from_nothing_to_the_end(people: People) -> None:
    for page, heading, who in BEGINNING:
        people.follow(PAGES[page], heading, who)

    # The patient read what the hospital deposited; the researcher learned of it what the function gave, and no more.
    given = json.loads(PAGES["custodians"].files["files/biopsies/4711.json"])
    assert json.loads((people.folder / "patient/mine.json").read_text()) == given
    assert json.loads((people.folder / "researcher/results/outputs/metrics.json").read_text()) == {"n": 1}
    assert people.answer("study cohort")["n"] == "<5"
    assert people.answer("verify")["verified"]
    assert people.answer("patient export")["missing"] == {}

    for page, heading, who in END:
        people.follow(PAGES[page], heading, who)

    assert people.answer("patient revoke")["complete"]
    assert people.answer("custodian retract")["complete"]
    assert people.answer("custodian supersede")["complete"]
    assert people.answer("board vote-close")["state"] == "mined"
    assert set(people.answer("down")["ended"]) == set(people.answer("up")["parts"])
