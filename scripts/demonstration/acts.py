# SPDX-License-Identifier: Apache-2.0
"""The dramatic part: refusals one by one, revocations with the relayer off, servers that stop, and the end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from consentum.adapters.peers.http import HttpClient
from consentum.crypto.sealing import SealingKey
from consentum.domain.messages import Consent
from consentum.domain.terms import Access, Purpose
from consentum.flow.client import terms
from consentum.flow.wire import Notice
from scripts.demonstration.jobs import Asker, exact, new_job, plain_result, submit
from scripts.demonstration.people import Cast, Patient
from scripts.demonstration.stages import Board, close_study, wait_for_standing
from scripts.demonstration.story import Story
from scripts.demonstration.system import THRESHOLD, System


@dataclass(slots=True)
class Act:
    """What the acts share."""

    system: System
    people: Cast
    story: Story
    committee: bytes = b""
    studies: dict[str, bytes] = field(default_factory=dict)
    allowed: set[int] = field(default_factory=set)
    facts: dict[str, Any] = field(default_factory=dict)
    board: Board = field(init=False)

    def patient(self, kind: str) -> Patient:
        return next(patient for patient in self.people.patients if patient.kind == kind)


def _terms(patient: Patient) -> Consent:
    message = patient.given().message
    assert isinstance(message, Consent)
    return message


def refusals(act: Act) -> None:
    """Every row asks all three servers about one record; the first row is allowed, so that no is a decision."""
    system, people, story = act.system, act.people, act.story
    asker = Asker(system, people.researcher, act.studies["registry"], act.committee)
    outsider = Asker(system, people.outsider, act.studies["registry"], act.committee)
    willing, anna = act.patient("registry"), people.anna
    good = asker.request(willing, _terms(willing))
    other_purpose = replace(
        new_job(people.researcher, people.researcher.address, act.studies["registry"], bytes(32), Access.DOWNLOAD),
        purpose=int(Purpose.COMMERCIAL),
    )
    expired, unapproved = act.patient("expired"), act.patient("form")
    dead = asker.signed(replace(good, release=replace(good.release, deadline=int(time.time()) - 1, nonce=b"\1" * 32)))
    swapped = replace(good, response_key=SealingKey().public)
    replayed = asker.signed(replace(good, release=replace(good.release, deadline=good.release.deadline + 1)))
    rows = [
        ("allowed, for comparison", asker.ask(good), "ALLOWED"),
        ("an outsider asks", outsider.ask(outsider.request(willing, _terms(willing))), "REQUESTER_NOT_MEMBER"),
        ("a purpose the study has not", asker.ask(asker.request(willing, _terms(willing), other_purpose)), "PURPOSE"),
        ("Anna, who never agreed to this study", asker.ask(asker.request(anna, _terms(anna))), "SCOPE"),
        ("a consent that has expired", asker.ask(asker.request(expired, _terms(expired))), "EXPIRED"),
        ("a form the board never approved", asker.ask(asker.request(unapproved, _terms(unapproved))), "FORM"),
        ("no opening at all", asker.ask(asker.request(willing, None)), "NO_CONSENT"),
        ("a dead deadline", asker.ask(dead), "DEADLINE_PASSED"),
        ("the response key swapped on the way", asker.ask(swapped), "MALFORMED (responseKeyHash)"),
        ("the same nonce for another page", asker.ask(replayed), "REPLAYED"),
    ]
    close_study(system, act.board, act.studies["registry"])
    closed = asker.ask(asker.request(willing, _terms(willing)))
    rows.append(("the board has closed the study", closed, "STUDY_NOT_OPEN"))
    names = [server.name for server in system.servers]
    story.say("yes or no at which block")
    lines = [(what, *map(str, answers), " / ".join(sorted({a.reason for a in answers}))) for what, answers, _ in rows]
    story.table([("", *names, "reason"), *lines])
    for what, answers, wanted in rows:
        as_wanted = all(a.reason.startswith(wanted) and a.yes == (wanted == "ALLOWED") for a in answers)
        if not as_wanted:
            story.expect(False, f"{what}: every server says {wanted}")
    story.expect(True, f"{len(rows) - 1} refusals, each by all three servers, each for its own reason")


def revocations(act: Act) -> None:
    """Most through the gateway; then gateway and relayer stop, and Anna and others tell the key servers directly."""
    system, people, story = act.system, act.people, act.story
    count = max(3, round(60 * len(people.patients) / 569))
    by_notice = max(1, round(count / 3))
    willing = [patient for patient in people.patients if patient.number in act.allowed]
    leaving = [people.anna, *willing[1::2][: count - 1]]
    silent, ordinary = leaving[:by_notice], leaving[by_notice:]
    client = HttpClient(system.gateway_url)
    for patient in ordinary:
        client.post("/v1/revocations", _notice(act, patient).to_json())
    final = wait_for_standing(system, ordinary, story, granted=False)
    story.expect(final == len(ordinary), f"{len(ordinary)} revoked through the gateway, final on chain")
    system.stop("gateway")
    story.say("the gateway is stopped: no relayer, no coordinator")
    told = _tell_servers(act, silent)
    story.expect(told == 3 * len(silent), f"{len(silent)} more, Anna first, gave notice to all 3 key servers")
    system.start_gateway("--no-relay")
    system.wait_ready()
    pairs = [(patient.address, patient.given().hash) for patient in silent]
    standings = system.ledger.standings(system.ledger.view().latest, pairs)
    story.expect(not any(s.revoked_at for s in standings), "the chain knows nothing of these notices yet")
    remaining = act.allowed - {patient.number for patient in leaving}
    _next_job(act, remaining, len(silent))
    act.allowed = remaining
    act.facts.update(revoked=len(leaving), revoked_by_notice=len(silent))


def _next_job(act: Act, remaining: set[int], silent: int) -> None:
    story = act.story
    state = submit(act.system, act.people.researcher, None, act.studies["diagnosis"], story)
    story.expect(state["state"] == "released", f"the next job is {state['state']} {state['error'] or ''}".strip())
    counts = exact(act.system, act.people.board[0], state["id"])
    revoked, held = (counts["refused"].get(reason, 0) for reason in ("REVOKED", "NOTICE_HELD"))
    story.say(f"released {counts['released']} of {counts['of']}; {revoked} revoked on chain, {held} by notice")
    story.expect(counts["released"] == len(remaining), f"the next job gets exactly the other {len(remaining)}")
    same = state["result"]["outputs"]["metrics"] == plain_result(act.people, remaining)
    story.expect(same, "and its model is the one of exactly these rows, Anna's not among them")
    story.expect(held == silent, "notices stopped those whom the chain still shows as consenting")
    act.facts["released_after_revoke"] = counts["released"]


def _notice(act: Act, patient: Patient) -> Notice:
    signed = terms.revoke(act.system.deployment.user_domain, patient.key, patient.address, patient.given().hash)
    return Notice(signed.message, signed.signature)  # type: ignore[arg-type]


def _tell_servers(act: Act, patients: list[Patient]) -> int:
    told = 0
    for server in act.system.servers:
        peer = server.peer()
        for patient in patients:
            receipt = peer.notice(_notice(act, patient).to_json())["receipt"]
            told += bool(receipt["judged"])
    return told


def servers_down(act: Act) -> None:
    """2 of 3 are enough; 1 of 3 is not, and nothing gets around it."""
    system, story = act.system, act.story
    first, second = system.servers[1], system.servers[2]
    system.stop(first.name)
    state = submit(system, act.people.researcher, None, act.studies["diagnosis"], story)
    released = exact(system, act.people.board[0], state["id"])["released"]
    story.expect(
        released == len(act.allowed), f"{first.name} stopped: the job runs on the other two ({released} records)"
    )
    system.stop(second.name)
    state = submit(system, act.people.researcher, None, act.studies["diagnosis"], story)
    stopped = state["state"] == "failed" and state["error"]["code"] == "TOO_FEW_SHARES"
    story.expect(stopped, f"{second.name} stopped too: {state['error'].get('code')}")
    for server in (first, second):
        system.start_server(server)
    system.wait_ready()
    act.facts["servers_needed"] = THRESHOLD


def the_end(act: Act) -> None:
    """The table of facts, and two columns: proved, and not proved."""
    facts, story = act.facts, act.story
    facts["patients"] = len(act.people.patients)
    total = sum(facts["seconds"].values())
    print()
    rows = [
        ("patients, records, consents on chain", f"{facts['patients']}, {facts['records']}, {facts['granted']}"),
        ("released to the first job", f"{facts['released']} of {facts['records']}"),
        ("refused", ", ".join(f"{many} {reason}" for reason, many in sorted(facts["refused"].items()))),
        ("AUC consented / plain", f"{facts['auc_consented']:.6f} / {facts['auc_plain']:.6f}"),
        ("revoked (by notice alone)", f"{facts['revoked']} ({facts['revoked_by_notice']})"),
        ("released to the next job", str(facts["released_after_revoke"])),
        ("key servers needed", f"{facts['servers_needed']} of 3"),
        ("total", f"{total:.1f} s"),
    ]
    story.table([(f"{name}  ", value) for name, value in rows])
    print()
    columns = [
        ("This run proved", "This run did not prove"),
        ("releases follow the chain, server by server", "independent operators: one machine, one operator ran all"),
        (
            "a notice stops a release before the chain does",
            "a confined job: no sandbox yet, the runner is trusted",
        ),
        ("two servers are needed, and enough", "privacy of results: outputs are not noised yet"),
        ("the journal is provable, and edits show", "behaviour under load, kill -9 and power loss (see tests/faults)"),
        ("no plaintext outside the runner's memory", "that nobody links an address's consents in time (they can)"),
    ]
    story.table(columns)
