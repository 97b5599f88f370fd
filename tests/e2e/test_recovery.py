# SPDX-License-Identifier: Apache-2.0
"""A lost key, at terminals and on a real chain: three days until helpers count, three until the new owner does.

The days pass by the chain's time travel. Services compare its clock with their own, so their clocks, and the
commands', are moved as far: everybody's days passed. That needs a chain and a system of its own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from consentum.cli.main import cli
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError
from scripts.demonstration.people import FORM_STUDY
from tests.e2e.stack import running, until
from tests.e2e.test_patients_and_custodians import People, let_in

pytestmark = pytest.mark.processes
THREE_DAYS = 3 * 86_400
SHIFTED = (
    "import os, time; real, by = time.time, float(os.environ['CONSENTUM_TEST_SHIFT']); "
    "time.time = lambda: real() + by; from consentum.cli.main import main; main()"
)
TERMS = ("--categories", "pathology", "--access", "compute", "--until", "2099-12-31", "--yes")


@dataclass
class Lives(People):
    """Anna and Berta, their helpers, a thief; and what of Anna's there is."""

    anna: str = ""
    berta: str = ""
    record: str = ""
    consent: str = ""
    shift: float = 0.0

    def address(self, home: str) -> str:
        return str(self.run(home, "patient", "recovery", "status")["identity"])

    def refused(self, home: str, *words: str) -> str:
        """The code a command ends with."""
        done = CliRunner().invoke(cli, ["patient", *words, "--home", str(self.folder / home), "--json"])
        assert done.exit_code != 0, (words, done.output)
        assert isinstance(done.exception, ConsentumError), (words, done.output, done.exception)
        return done.exception.code

    def state(self, home: str, *words: str) -> str:
        return str(self.run(home, "patient", *words)["state"])

    def pending(self, identity: str) -> int:
        return int(self.run("one", "patient", "recovery", "status", identity)["finalFrom"])

    def votes(self, name: str, identity: str, new: str) -> str:
        """A file with the votes of two helpers, the second of which hands it in; the state."""
        file = str(self.folder / name)
        told = self.run("one", "patient", "recovery", "propose", identity, new, "--out", file)
        assert (told["votes"], "state" in told) == (1, False)  # one alone hands nothing in
        told = self.run("two", "patient", "recovery", "approve", file, "--yes")
        assert until(lambda: self.pending(identity) > 0), told
        return file

    def travel(self, seconds: int) -> None:
        rpc = self.stack.system.rpc
        rpc.call("evm_increaseTime", seconds)
        before = self.now
        assert until(lambda: self.now >= before + seconds - 5)

    @property
    def now(self) -> int:
        return self.stack.system.ledger.view().latest.timestamp

    def follow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every service starts again with its clock where the chain's is; so do commands from now on."""
        system, real = self.stack.system, time.time
        shift = self.now - real()
        folders = {server.name: ("keyserver", server.folder) for server in system.servers}
        folders |= {noun: (noun, system.folder / noun) for noun in ("gateway", "runner")}
        monkeypatch.setitem(os.environ, "CONSENTUM_TEST_SHIFT", str(shift))
        for name, (noun, folder) in folders.items():
            system.stop(name)
            system.services.spawn(name, [sys.executable, "-c", SHIFTED, noun, "serve", "--folder", str(folder)])
        monkeypatch.setattr(time, "time", lambda: real() + shift)
        system.wait_ready()


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lives]:
    with running() as stack:
        made = Lives(stack, tmp_path_factory.mktemp("homes"))
        made.custodian = made.run("ward", "custodian", "init", *made.where)["address"]
        let_in(stack.system, made.custodian)
        for home in ("one", "two", "thief"):
            made.run(home, "patient", "init", *made.where)
        for number, home in (("4711", "anna"), ("4712", "berta")):
            setattr(made, home, made.run(home, "patient", "init", *made.where)["address"])
            made.run(home, "patient", "accept", made.run("ward", "custodian", "invite", number)["invite"], "--yes")
            made.run("ward", "custodian", "patients")
        yield made


def form(lives: Lives) -> str:
    path = lives.folder / "form.txt"
    path.write_text(FORM_STUDY)
    return str(path)


def grant(lives: Lives, home: str) -> Any:
    study = hexed(lives.stack.studies["diagnosis"])
    return lives.run(home, "patient", "grant", study, "--form", form(lives), *TERMS)


def consents(lives: Lives, home: str) -> dict[str, str]:
    rows = lives.run(home, "patient", "consents")["consents"]
    return {row["commitment"]: row["state"] for row in rows}


def test_before_three_days_have_passed_helpers_can_do_nothing(lives: Lives) -> None:
    files = lives.folder / "files"
    files.mkdir()
    (files / "biopsy.json").write_text('{"benign": 1}')
    manifest = lives.folder / "manifest.csv"
    manifest.write_text("file,number,category\nbiopsy.json,4711,pathology\n")
    words = ("--manifest", str(manifest), "--committee", hexed(lives.stack.committee))
    assert lives.run("ward", "custodian", "deposit", str(files), *words)["deposited"] == 1
    [lives.record] = [row["record"] for row in lives.run("anna", "patient", "records")["records"]]
    lives.consent = grant(lives, "anna")["commitment"]
    assert until(lambda: consents(lives, "anna")[lives.consent] == "active")
    for home in ("anna", "berta"):
        for helper in ("one", "two"):
            assert lives.state(home, "delegate", "add", lives.address(helper), "--for", "recovery") == "mined"
        assert lives.state(home, "recovery", "set", "2") == "mined"
    out = ("--out", str(lives.folder / "early.json"))
    assert lives.refused("one", "recovery", "propose", lives.anna, lives.address("two"), *out) == "SETTINGS"
    assert lives.refused("one", "recovery", "finalize", lives.anna) == "NOT_FOUND"


def test_too_few_votes_and_strangers_change_nothing(lives: Lives) -> None:
    lives.travel(THREE_DAYS + 60)
    lives.run("anna2", "patient", "init", *lives.where, "--identity", lives.anna)
    new, file = _key(lives, "anna2"), str(lives.folder / "stranger.json")
    assert lives.run("thief", "patient", "recovery", "propose", lives.anna, _key(lives, "thief"), "--out", file)
    assert lives.refused("one", "recovery", "approve", file, "--yes") == "SIGNATURE"  # hers counts, the thief's not
    alone = str(lives.folder / "alone.json")
    lives.run("one", "patient", "recovery", "propose", lives.anna, new, "--out", alone)
    assert lives.run("one", "patient", "recovery", "approve", alone, "--yes")["votes"] == 1  # nobody counts twice
    assert _hand_in(lives, "one", alone) == "MALFORMED"
    assert lives.pending(lives.anna) == 0


def _key(lives: Lives, home: str) -> str:
    from consentum.wiring.client import connect

    return connect(lives.folder / home).key.address.lower()


def _hand_in(lives: Lives, home: str, file: str) -> str:
    """What the gateway says to the votes in a file as they are."""
    from consentum.sdk import helpers
    from consentum.wiring.client import connect

    who = helpers.Identity(connect(lives.folder / home))
    with pytest.raises(ConsentumError) as refused:
        helpers.hand_in(who, helpers.Petition.load(Path(file)))
    return refused.value.code


def test_her_key_cancels_what_is_pending_and_the_votes_are_spent(lives: Lives) -> None:
    file = lives.votes("berta-1.json", lives.berta, _key(lives, "thief"))
    assert lives.refused("two", "recovery", "finalize", lives.berta) == "CONFLICT"  # too early
    assert lives.refused("thief", "recovery", "cancel") in ("NOT_FOUND", "NOT_SPONSORED")  # nothing of his pends
    assert lives.state("berta", "recovery", "cancel") == "mined"
    assert lives.pending(lives.berta) == 0
    assert lives.refused("two", "recovery", "finalize", lives.berta) == "NOT_FOUND"
    assert lives.refused("two", "recovery", "approve", file, "--yes") == "CONFLICT"
    assert _hand_in(lives, "two", file) == "SIGNATURE"


def test_frozen_the_key_cannot_cancel(lives: Lives) -> None:
    """Whoever stole her key would cancel; a guardian's freeze, or her own, keeps him from it."""
    lives.run("berta2", "patient", "init", *lives.where, "--identity", lives.berta)
    lives.votes("berta-2.json", lives.berta, _key(lives, "berta2"))
    words = ["patient", "freeze", "--days", "7", "--home", str(lives.folder / "berta"), "--json"]
    CliRunner().invoke(cli, words)  # the servers' clocks are behind: they hold it, and may judge it later
    ledger = lives.stack.system.ledger
    pair = [(lives.berta, bytes(32))]
    assert until(lambda: ledger.standings(ledger.view().latest, pair)[0].frozen_until > lives.now)
    done = CliRunner().invoke(cli, ["patient", "recovery", "cancel", "--home", str(lives.folder / "berta"), "--json"])
    assert "mined" not in done.output
    assert lives.pending(lives.berta) > 0


def test_three_days_after_the_votes_the_new_key_is_hers_and_the_old_one_can_do_nothing(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives.votes("anna.json", lives.anna, _key(lives, "anna2"))
    lives.travel(THREE_DAYS - 600)
    assert lives.refused("thief", "recovery", "finalize", lives.anna) == "CONFLICT"
    lives.travel(700)
    for identity, new in ((lives.anna, "anna2"), (lives.berta, "berta2")):
        assert lives.state("thief", "recovery", "finalize", identity) == "mined"  # anybody may
        assert lives.run(new, "patient", "recovery", "status")["owner"].lower() == _key(lives, new)
    lives.follow(monkeypatch)
    assert_the_old_key_can_do_nothing(lives)
    assert_the_new_key_is_hers(lives)


def assert_the_old_key_can_do_nothing(lives: Lives) -> None:
    study = hexed(lives.stack.studies["diagnosis"])
    out = ("--out", str(lives.folder / "stolen.json"))
    for words in (
        ("grant", study, "--form", form(lives), *TERMS),
        ("revoke", lives.consent),
        ("stop",),
        ("freeze", "--days", "1"),
        ("records",),
        ("record", lives.record, *out),
        ("recovery", "set", "0"),
        ("recovery", "cancel"),
        ("delegate", "add", _key(lives, "thief")),
    ):
        assert nothing_came_of(lives, "anna", words), words
    assert not (lives.folder / "stolen.json").exists()
    assert consents(lives, "anna2")[lives.consent] == "active"


def nothing_came_of(lives: Lives, home: str, words: tuple[str, ...]) -> bool:
    done = CliRunner().invoke(cli, ["patient", *words, "--home", str(lives.folder / home), "--json"])
    return done.exit_code != 0 and "holds it" not in done.output


def assert_the_new_key_is_hers(lives: Lives) -> None:
    out = lives.folder / "mine.json"
    assert [row["record"] for row in lives.run("anna2", "patient", "records")["records"]] == [lives.record]
    lives.run("anna2", "patient", "record", lives.record, "--out", str(out))
    assert out.read_text() == '{"benign": 1}'
    more = grant(lives, "anna2")["commitment"]
    assert until(lambda: consents(lives, "anna2").get(more) == "active")
    for commitment in (more, lives.consent):
        told = lives.run("anna2", "patient", "revoke", commitment)
        assert list(told["servers"].values()) == ["holds it"] * 3
    assert until(lambda: set(consents(lives, "anna2").values()) == {"revoked"})
    assert lives.refused("one", "recovery", "finalize", lives.anna) == "NOT_FOUND"
