# SPDX-License-Identifier: Apache-2.0
"""The demonstration: 569 real patients, an on-chain board, three key servers, one researcher, and Anna.

Every part is the real one, in a process of its own. Exits non-zero if any expectation fails.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentum.errors import ConsentumError
from scripts.demonstration.acts import Act, refusals, revocations, servers_down, the_end
from scripts.demonstration.jobs import exact, plain_result, submit
from scripts.demonstration.kubo import KuboFailed
from scripts.demonstration.people import ALLOWED_KINDS, FORM_STUDY, cast
from scripts.demonstration.proof import audit, edit_a_row, find_everywhere, strangers_see_nothing, verify_journal
from scripts.demonstration.stages import (
    consent_all,
    deposit_all,
    enrol,
    found_committee,
    found_studies,
    in_words,
    publish_forms,
)
from scripts.demonstration.story import ExpectationFailed, Story, complain
from scripts.demonstration.system import System

STAGES = 10
KEYS = (
    *("patients", "records", "granted", "released", "refused", "revoked", "revoked_by_notice"),
    *("auc_consented", "auc_plain", "released_after_revoke", "servers_needed", "journal_verified", "seconds"),
)


@dataclass(slots=True)
class Arguments:
    patients: int = 569
    json: Path | None = None
    keep: bool = False
    ipfs: str | None = None
    extra: list[str] = field(default_factory=list)


def parse() -> Arguments:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--patients", type=int, default=569, metavar="N", help="20 to 569 (all); default 569")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    parser.add_argument("--keep", action="store_true", help="leave the system running until Ctrl-C")
    parser.add_argument("--ipfs", choices=["kubo"], help="keep the records in a private Kubo node, not in a file")
    given = parser.parse_args()
    if not 20 <= given.patients <= 569:
        parser.error("--patients takes 20 to 569")
    return Arguments(given.patients, given.json, given.keep, given.ipfs)


def run(arguments: Arguments, system: System, story: Story) -> dict[str, Any]:
    """The whole story; the facts for --json."""
    people = cast(arguments.patients)
    act = Act(system, people, story)
    with story.stage("start", "A chain, three key servers, a gateway and a runner, each a process of its own"):
        story.doing("the chain starts")
        system.start_chain(story.say)
        if arguments.ipfs:
            story.doing("the IPFS node starts")
            story.say(f"IPFS node {system.start_kubo().peer_id}: no other node knows of it")
        story.doing("the services start")
        system.start_services([key.address for key in people.custodians])
        act.committee = found_committee(system)
        story.say(f"committee {act.committee.hex()[:16]}…: 3 key servers, any 2 rebuild a key, 1 alone learns nothing")
    with story.stage("studies", "An ethics board approves two studies and accredits the runner"):
        act.board, act.studies = found_studies(system, people)
        system.start_runner(act.board.id, act.committee)
        system.wait_ready()
        publish_forms(system, people)
        story.say(
            "board of 3, decisions by 2 · study 'breast diagnosis' (compute) · study 'follow-up registry' (download)"
        )
        story.say(f"the form patients read: “{FORM_STUDY}”")
    with story.stage("deposit", "Patients enrol; three custodians encrypt and deposit one record each"):
        enrol(system, people)
        act.facts["records"] = deposit_all(system, people, act.committee, story)
        story.expect(
            act.facts["records"] == arguments.patients, f"all {arguments.patients} records acknowledged by all servers"
        )
    with story.stage("consent", "Patients sign their terms; the chain gets commitments only"):
        act.facts["granted"] = consent_all(system, people, act.studies, story)
        story.expect(act.facts["granted"] == arguments.patients, f"{arguments.patients} consents final on chain")
        anna(act)
    with story.stage("train", "The researcher trains a classifier on what she may see"):
        train(act)
    with story.stage("refusals", "Refusals, one by one: each server answers for itself"):
        refusals(act)
    with story.stage("revoke", "Patients revoke, some with gateway and relayer down; the next job does without them"):
        revocations(act)
    with story.stage("outage", "One key server stops, then a second"):
        servers_down(act)
    with story.stage("journal", "Anna checks who used her record; somebody edits a journal"):
        journal(act)
    with story.stage("canary", "A canary from Anna's record, searched for everywhere"):
        canary(act)
    act.facts["seconds"] = dict(story.seconds)
    the_end(act)
    return {key: act.facts[key] for key in KEYS}


def anna(act: Act) -> None:
    """Her terms in words, beside what the chain holds of them."""
    patient, story = act.people.anna, act.story
    message = patient.given().message
    standing = act.system.ledger.standings(act.system.ledger.view().latest, [(patient.address, patient.given().hash)])[
        0
    ]
    story.say("Anna's terms, as she signed them           What the chain holds of them")
    left = [f"{name}: {value}" for name, value in in_words(message)]  # type: ignore[arg-type]
    right = [f"subject {patient.address[:12]}…", f"commitment {patient.given().hash.hex()[:16]}…"]
    right += [f"granted at {standing.granted_at}", "revoked at -"]
    for mine, theirs in zip(left, right, strict=True):
        story.say(f"  {mine:<41}{theirs}")


def train(act: Act) -> None:
    story, count = act.story, len(act.people.patients)
    allowed = {p.number for p in act.people.patients if p.kind in ALLOWED_KINDS}
    state = submit(act.system, act.people.researcher, None, act.studies["diagnosis"], story)
    story.expect(state["state"] == "released", f"the job is {state['state']} {state['error'] or ''}".strip())
    manifest, metrics = state["result"]["manifest"], state["result"]["outputs"]["metrics"]
    plain = plain_result(act.people, allowed)
    refused = sorted(manifest["refused"].items())
    parts = ", ".join(f"{many} {reason.lower().replace('_', ' ')}" for reason, many in refused)
    story.say(f"the researcher sees: released {manifest['released']} of {manifest['of']}; {parts}")
    counts = exact(act.system, act.people.board[0], state["id"])
    parts = ", ".join(
        f"{many} {reason.lower().replace('_', ' ')}" for reason, many in sorted(counts["refused"].items())
    )
    story.say(f"the board sees:      released {counts['released']} of {counts['of']}; {parts}")
    story.say(f"AUC over consented, encrypted records {metrics['auc']:.6f}")
    story.say(f"AUC over the same rows in the clear   {plain['auc']:.6f}")
    story.expect(
        counts["of"] == count and counts["released"] == len(allowed), "released exactly those whose terms allow it"
    )
    story.expect(metrics == plain, "the model is the same as on the plain rows")
    act.facts.update(released=counts["released"], refused=counts["refused"])
    act.facts.update(auc_consented=metrics["auc"], auc_plain=plain["auc"])
    act.allowed = allowed


def journal(act: Act) -> None:
    system, story, server = act.system, act.story, act.system.servers[0]
    story.say(f"Anna's record at {server.name}:")
    act.facts["journal_verified"] = verify_journal(system, server, act.people.anna, story)
    story.expect(True, "her entry is proved by an inclusion proof against the root on chain")
    other = act.people.patients[1]
    story.expect(
        strangers_see_nothing(system, server, act.people.anna, other), "to another patient the entries do not exist"
    )
    code, said = audit(server)
    story.expect(code == 0, f"audit before: {said[:60]}…")
    index = edit_a_row(server)
    code, said = audit(server)
    story.expect(code == 1 and str(index) in said, f"one row edited in the database; audit: {said}")


def canary(act: Act) -> None:
    story, people = act.story, act.people
    story.doing("searching every file and block")
    found = find_everywhere(act.system, people.canary.encode())
    control = find_everywhere(act.system, people.anna.given().hash)
    story.expect(not found, f"not found in databases, blocks of content, logs or chain ({people.canary[:14]}…)")
    story.expect(
        any(p.startswith("block ") for p in control), f"control: her commitment is found ({', '.join(control[:3])})"
    )


def keep(system: System, story: Story) -> None:
    """Until Ctrl-C; the system stays usable however long nobody uses it."""
    server = system.servers[2]
    story.say("\nThe system keeps running.")
    story.say(f"chain {system.rpc_url}, gateway {system.gateway_url}, runner {system.runner_url}")
    story.say("\n".join(f"{s.name} {s.endpoint} in {s.folder}" for s in system.servers))
    story.say("Three things to try (from another terminal, in the repository):")
    story.say(f"  .venv/bin/consentum keyserver status --folder {server.folder}")
    story.say(f"  .venv/bin/consentum keyserver audit --folder {server.folder}")
    story.say(f"  curl {server.endpoint}/v1/journal/checkpoint")
    story.say("Ctrl-C ends it and removes everything.")
    while True:
        time.sleep(3_600)


def main() -> int:
    arguments = parse()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(143))
    system = System()
    story = Story(STAGES)
    try:
        facts = run(arguments, system, story)
        if arguments.json:
            arguments.json.write_text(json.dumps(facts, indent=2) + "\n")
        if arguments.keep:
            keep(system, story)
    except ExpectationFailed as failure:
        complain(f"expected, but not so: {failure}")
        return 1
    except (ConsentumError, KuboFailed, TimeoutError, OSError, KeyError) as error:
        complain(f"{getattr(error, 'code', type(error).__name__)}: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        system.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
