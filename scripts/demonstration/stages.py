# SPDX-License-Identifier: Apache-2.0
"""From an empty chain to signed consents: board, studies, enrolments, deposits, grants."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Consent, Message
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import AcceptForm, Accredit, Approve, Close, Propose, Terms
from consentum.domain.terms import Access, Category, Condition, Purpose
from consentum.flow.client import deposit, terms
from consentum.flow.client.boards import board_id
from consentum.flow.wire import Enrolment
from consentum.ports.transactions import Call
from scripts.demonstration.people import (
    FORM_BOARD,
    FORM_REGISTRY,
    FORM_STUDY,
    YEAR_SECONDS,
    Cast,
    Patient,
    choice_of,
    form_hash,
)
from scripts.demonstration.story import Story
from scripts.demonstration.system import System

WORKERS = 6


def found_committee(system: System) -> bytes:
    """The three servers as a 2-of-3 committee; its id."""
    return system.found_committee()


class Board:
    """The ethics board: every decision is signed by a quorum of two of its three members."""

    def __init__(self, system: System, cast: Cast) -> None:
        self._system, self._members = system, cast.board
        addresses = [key.address for key in cast.board]
        salt = secrets.token_bytes(32)
        system.sender.send([Call("StudyRegistry", "createBoard", (addresses, 2, salt))])
        self.id = board_id(addresses, 2, salt)
        self._nonce = 0

    def decide(self, make: type[Message], function: str, *arguments: object) -> Call:
        """The call that carries out one decision, with the votes of the first two members."""
        message = make(*arguments, self._nonce)
        self._nonce += 1
        digest = typed.digest(self._system.deployment.study_domain, message)
        votes = [(key.address, key.sign(digest)) for key in self._members[:2]]
        return Call("StudyRegistry", function, (*arguments, votes))


def propose(system: System, lead: WalletKey, board: bytes, what: Terms, form: bytes) -> tuple[bytes, Call]:
    """A study's id and the call that proposes it, signed by its lead."""
    message = Propose(lead.address, board, what, (form,), secrets.token_bytes(32))
    signature = lead.sign(typed.digest(system.deployment.study_domain, message))
    fields = (what.purposes, what.conditions, what.categories, what.access, list(what.diseases), what.protocol)
    call = Call("StudyRegistry", "propose", (lead.address, board, fields, [form], message.salt, signature))
    return typed.struct_hash(message), call


def found_studies(system: System, cast: Cast, board: Board | None = None) -> tuple[Board, dict[str, bytes]]:
    """A board (a new one unless given), its accredited runner, and two approved studies with their forms."""
    board = board or Board(system, cast)
    purposes = int(Purpose.HEALTH_RESEARCH | Purpose.DISEASE_RESEARCH)
    promises = int(Condition.ETHICS_APPROVAL | Condition.PUBLICATION)
    compute = Terms(purposes, promises, int(Category.PATHOLOGY), int(Access.COMPUTE), (), bytes(32))
    download = Terms(purposes, promises, int(Category.PATHOLOGY), int(Access.DOWNLOAD), (), bytes(32))
    diagnosis, first = propose(system, cast.researcher, board.id, compute, form_hash(FORM_STUDY))
    registry, second = propose(system, cast.researcher, board.id, download, form_hash(FORM_REGISTRY))
    system.sender.send([first, second])
    until = int(time.time()) + YEAR_SECONDS
    for call in (
        board.decide(Accredit, "accredit", board.id, system.runner_address, until),
        board.decide(AcceptForm, "acceptForm", board.id, form_hash(FORM_BOARD), True),
        board.decide(Approve, "approve", diagnosis, 1, until),
        board.decide(Approve, "approve", registry, 1, until),
    ):
        system.sender.send([call])
    return board, {"board": board.id, "diagnosis": diagnosis, "registry": registry}


def close_study(system: System, board: Board, study: bytes) -> None:
    system.sender.send([board.decide(Close, "close", study)])


def publish_forms(system: System, cast: Cast) -> None:
    """The texts behind the forms' hashes, for patients to read."""
    client = HttpClient(system.gateway_url)
    client.sign_in(cast.researcher, system.deployment.user_domain)
    for text in (FORM_STUDY, FORM_BOARD, FORM_REGISTRY):
        client.post("/v1/forms", {"text": text})


def enrol(system: System, cast: Cast) -> None:
    """Every patient signs that her custodian may deposit records about her."""
    for patient in cast.patients:
        custodian = cast.custodians[patient.custodian].address
        patient.enrolment = terms.enrol(system.deployment.user_domain, patient.key, custodian)


def deposit_all(system: System, cast: Cast, committee_id: bytes, story: Story) -> int:
    """Each custodian encrypts, stores, splits and deposits its patients' records. How many are acknowledged."""
    total = 0
    for number, key in enumerate(cast.custodians):
        story.doing(f"custodian {number + 1} deposits")
        client = HttpClient(system.gateway_url, timeout=120)
        client.sign_in(key, system.deployment.user_domain)
        latest = system.ledger.view().latest
        committee = system.ledger.committee(latest, committee_id)
        peers = [server.peer() for server in system.servers]
        custodian = deposit.Custodian(
            domain=system.deployment.user_domain,
            address=key.address,
            signer=key,
            committee_id=committee_id,
            committee=committee,
            targets=deposit.sealing_targets(system.ledger, latest, committee, peers),
            depository=GatewayContent(client),
        )
        mine = [patient for patient in cast.patients if patient.custodian == number]
        enrolments = [_enrolment(patient) for patient in mine]
        batch = deposit.prepare(custodian, cast.documents(number), enrolments, int(time.time()))
        answer = client.post("/v1/deposits", batch.to_json())
        for member in committee.members:
            signed = answer["receipts"][member.lower()]
            public = system.ledger.server_keys(latest, member).checkpoint_key
            deposit.verify_receipt(batch, member, public, signed)
        for patient, record in zip(mine, batch.records, strict=True):
            patient.record = record.id
        total += len(batch.records) if answer["acknowledged"] else 0
        story.say(
            f"custodian {number + 1}: {len(mine)} records, receipts of all {len(committee.members)} servers verified"
        )
    return total


def _enrolment(patient: Patient) -> Enrolment:
    assert patient.enrolment is not None
    return Enrolment(patient.enrolment.message, patient.enrolment.signature)  # type: ignore[arg-type]


def consent_all(system: System, cast: Cast, studies: dict[str, bytes], story: Story) -> int:
    """Every patient signs her terms; the gateway puts the commitments on chain. How many the chain holds."""
    story.doing("patients sign their consents")
    domain, policy = system.deployment.user_domain, system.deployment.release_policy
    chain_time = system.ledger.view().latest.timestamp
    for patient in cast.patients:
        choice = choice_of(patient, studies, chain_time)
        message = terms.consent(choice, policy, patient.address, chain_time, int(time.time()))
        patient.consent = terms.sign(domain, message, patient.key)
    clients = [HttpClient(system.gateway_url) for _ in range(WORKERS)]

    def hand_in(patient: Patient) -> None:
        body = {"consent": typed.to_json(patient.given().message), "signature": hexed(patient.given().signature)}
        clients[patient.number % WORKERS].post("/v1/consents", body)

    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        list(pool.map(hand_in, cast.patients))
    return wait_for_standing(system, cast.patients, story, granted=True)


def wait_for_standing(system: System, patients: list[Patient], story: Story, granted: bool) -> int:
    """Until the finalized chain shows every consent granted (or revoked)."""
    pairs = [(patient.address, patient.given().hash) for patient in patients]
    deadline = time.monotonic() + 90
    count = 0
    while count < len(pairs) and time.monotonic() < deadline:
        standings = system.ledger.standings(system.ledger.view().finalized, pairs)
        count = sum(bool(s.granted_at if granted else s.revoked_at) for s in standings)
        story.doing(f"{count} of {len(pairs)} are final on chain")
        time.sleep(0.2)
    return count


def in_words(consent: Consent) -> list[tuple[str, str]]:
    """Anna's terms as a person would say them."""
    from consentum.domain.terms import words_of  # noqa: PLC0415 - only for the story

    return [
        ("for", ", ".join(words_of(Purpose(consent.purposes)))),
        ("records", ", ".join(words_of(Category(consent.categories)))),
        ("they may", {1: "see results only", 2: "compute, not download", 3: "download"}[consent.access]),
        ("until", time.strftime("%d %B %Y", time.gmtime(consent.expires))),
    ]
