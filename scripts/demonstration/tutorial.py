# SPDX-License-Identifier: Apache-2.0
"""The researcher's tutorial as an executed notebook: docs/tutorial.py over a running system, with its outputs."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from sklearn.datasets import load_breast_cancer

from consentum.adapters.peers.http import HttpClient
from consentum.domain.dictionary import DataDictionary
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.registry_messages import Approve, Terms
from consentum.domain.terms import Access, Category, Condition, Purpose
from consentum.flow.client import boards
from consentum.sdk.publishing import publish
from consentum.settings import ClientSettings
from consentum.wiring.client import HomeKeys, connect, create_home
from consentum.wiring.local import wait_for
from scripts.demonstration.people import FORM_STUDY, YEAR_SECONDS, Cast, cast
from scripts.demonstration.stages import (
    Board,
    consent_all,
    deposit_all,
    enrol,
    found_committee,
    found_studies,
    publish_forms,
)
from scripts.demonstration.story import Story
from scripts.demonstration.system import System

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAME, TITLE = "breast-diagnosis", "Breast diagnosis from measured shapes"
CELL_SECONDS = 300
RANGE = re.compile(r"^ *(\w[\w ]*\((?:mean|standard error|worst)\)): +([\d.]+) +([\d.]+)$", re.MULTILINE)


def prepare(system: System, people: Cast, story: Story) -> Path:
    """Everything up to the researcher's first question; her home."""
    with story.stage("system", "A chain, three key servers, a gateway, a runner"):
        system.start_chain(story.say)
        board = Board(system, people)
        system.gateway_options = {"boards": (hexed(board.id),)}
        system.start_services([key.address.lower() for key in people.custodians])
        committee = found_committee(system)
        home = system.folder / "home"
        wait_for(lambda: HttpClient(system.gateway_url).get("/live")["status"] == "live", system.gateway_url)
        create_home(home, system.gateway_url, system.rpc_url)
        people.researcher = connect(home).key
    with story.stage("study", "The researcher proposes a study, and a board approves it"):
        _, studies = found_studies(system, people, board)
        system.start_runner(board.id, committee)
        system.wait_ready()
        studies["diagnosis"] = _found_study(system, people, home, board.id)
        publish_forms(system, people)
    with story.stage("records", "Custodians deposit and say what their records look like; patients consent"):
        enrol(system, people)
        deposit_all(system, people, committee, story)
        _publish(system, people, home)
        consent_all(system, people, studies, story)
    return home


def _found_study(system: System, people: Cast, home: Path, board: bytes) -> bytes:
    """A study of the researcher's own, proposed and approved for a year as everybody does it: through the gateway; its
    id."""
    connection = connect(home)
    domain, registries = connection.deployment.study_domain, connection.registries
    purposes = int(Purpose.HEALTH_RESEARCH | Purpose.DISEASE_RESEARCH)
    promises = int(Condition.ETHICS_APPROVAL | Condition.PUBLICATION)
    terms = Terms(purposes, promises, int(Category.PATHOLOGY), int(Access.COMPUTE), (), bytes(32))
    signed = boards.propose(domain, connection.key, board, terms, [FORM_STUDY])
    words = {"name": NAME, "title": TITLE, "summary": "Does a tumour's measured shape tell whether it is benign?"}
    told = connection.gateway.post("/v1/studies", boards.propose_body(signed, words, [FORM_STUDY]))
    study = as_bytes(told["study"], "study", 32)
    wait_for(lambda: registries.study(study).status == "proposed", "the proposal")
    approval = Approve(study, 1, int(time.time()) + YEAR_SECONDS, registries.board(board).nonce)
    for member in people.board[:2]:
        client = HttpClient(system.gateway_url)
        client.sign_in(member, system.deployment.user_domain)
        client.post("/v1/motions", boards.vote(domain, member, approval))
        client.close()
    wait_for(lambda: registries.study(study).status == "approved", "the approval")
    return study


def _publish(system: System, people: Cast, home: Path) -> None:
    """Each custodian's data dictionary, from the data set's published description."""
    columns: list[dict[str, Any]] = [
        {"name": "sample", "type": "integer", "minimum": 0, "maximum": 568},
        {"name": "benign", "type": "integer", "minimum": 0, "maximum": 1},
    ]
    described = load_breast_cancer().DESCR
    for name, low, high in RANGE.findall(described):
        columns.append({"name": _column(name), "type": "number", "minimum": float(low), "maximum": float(high)})
    data = {"title": "Fine-needle aspirates", "version": 1, "contentType": "application/json", "columns": columns}
    for key in people.custodians:
        connection = connect(home)
        connection.keys = HomeKeys(key, connection.keys.sealing)
        connection.settings = ClientSettings(
            gateway=system.gateway_url, rpc=system.rpc_url, identity=key.address.lower()
        )
        publish(connection, DataDictionary.parse(data), "pathology")


def _column(name: str) -> str:
    """ "radius (mean)" as the records call it: "mean radius"."""
    what, _, which = name.rstrip(")").partition(" (")
    return f"{what} error" if which == "standard error" else f"{which} {what}"


def execute(home: Path, folder: Path) -> Any:
    """The notebook with its outputs; folder: where its cells run."""
    os.environ["CONSENTUM_HOME"] = str(home)
    notebook = jupytext.read(DOCS / "tutorial.py")
    NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    return notebook


def main() -> None:
    """Writes docs/tutorial.ipynb; ends with an exception, and leaves the old one, if a cell fails."""
    parser = argparse.ArgumentParser(prog="tutorial", description=__doc__)
    parser.add_argument("--patients", type=int, default=569, metavar="N", help="20 to 569 (all); default 569")
    people = cast(parser.parse_args().patients)
    system, story = System(), Story(4)
    try:
        home = prepare(system, people, story)
        with story.stage("notebook", "The researcher's notebook"), tempfile.TemporaryDirectory() as folder:
            nbformat.write(execute(home, Path(folder)), DOCS / "tutorial.ipynb")
    finally:
        system.close()


if __name__ == "__main__":
    main()
