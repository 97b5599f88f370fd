# SPDX-License-Identifier: Apache-2.0
"""Cohort: the job's requester learns numbers, its runner the records, everybody else that there is no such job."""

from __future__ import annotations

import json
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Job
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, NotFoundError, Reason, SignatureRefused
from consentum.flow.client.deposit import Batch
from consentum.flow.gateway.cohort import choose, cohort, pseudonym
from consentum.flow.gateway.forward import deposit
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Item, Roles
from tests.unit.client.world import COMMITTEE, DOMAIN, LAB, NOW, World
from tests.unit.gateway.messages import granted

OTHER_STUDY = b"\x55" * 32


@pytest.fixture
def batch(gateway: Gateway, world: World) -> Batch:
    """Two records of Alice's and one of Bob's, acknowledged."""
    made = world.batch(world.alice, world.alice, world.bob)
    deposit(gateway, made.to_json(), world.hospital.address.lower())
    return made


def consents(gateway: Gateway, world: World, *who: WalletKey) -> None:
    for one in who:
        world.granted(granted(gateway, world, one))


def body(job: Job, signer: WalletKey, categories: Any = LAB) -> dict[str, Any]:
    signature = hexed(signer.sign(typed.digest(DOMAIN, job)))
    return {"job": typed.to_json(job), "jobSignature": signature, "categories": categories}


def asked(gateway: Gateway, world: World, job: Job, who: WalletKey, categories: int = LAB) -> dict[str, Any]:
    return dict(cohort(gateway, body(job, world.researcher, categories), who.address.lower()))


# Who learns what


def test_the_runner_learns_the_records_and_the_requester_numbers(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.alice)
    job = world.job()
    known = {"block": 100, "of": 3, "counts": {"ALLOWED": 2, "NO_CONSENT": 1}}
    rounded = {"block": 100, "of": "<5", "counts": {"ALLOWED": "<5", "NO_CONSENT": "<5"}}
    assert asked(gateway, world, job, world.researcher) == rounded
    rows = asked(gateway, world, job, world.runner)
    assert {key: rows[key] for key in known} == known
    alices = {hexed(r.id) for r in batch.records if r.subject == world.alice.address.lower()}
    assert {row["record"] for row in rows["records"]} == alices, "who named no study of ours is not listed"
    assert {row["committee"] for row in rows["records"]} == {hexed(COMMITTEE)}


@pytest.mark.parametrize("who", ["alice", "hospital", "bob"])
def test_nobody_else_learns_that_there_is_such_a_job(gateway: Gateway, world: World, batch: Batch, who: str) -> None:
    with pytest.raises(NotFoundError):
        asked(gateway, world, world.job(), getattr(world, who))


def test_a_cohort_holds_no_subject_no_cid_and_no_salt(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.alice, world.bob)
    text = json.dumps(asked(gateway, world, world.job(), world.runner)).lower()
    for record in batch.records:
        for secret in (record.subject[2:], str(record.cid), record.cid.raw.hex(), record.salt.hex()):
            assert secret not in text


def test_a_job_its_requester_did_not_sign_gets_nothing(gateway: Gateway, world: World, batch: Batch) -> None:
    with pytest.raises(SignatureRefused):
        cohort(gateway, body(world.job(), world.runner), world.runner.address.lower())


@pytest.mark.parametrize("role", [Roles.CONSENT, Roles.GUARDIAN, Roles.DEPOSIT, Roles.ASSERTION])
def test_a_delegate_does_not_sign_jobs(gateway: Gateway, world: World, batch: Batch, role: int) -> None:
    world.ledger.delegates.add((world.researcher.address.lower(), role, world.bob.address.lower()))
    with pytest.raises(SignatureRefused):
        cohort(gateway, body(world.job(), world.bob), world.runner.address.lower())


@pytest.mark.parametrize("categories", [0, -1, 1 << 63, "4", None, 4.0, True])
def test_a_cohort_is_of_at_least_one_category(gateway: Gateway, world: World, categories: object) -> None:
    with pytest.raises(MalformedError):
        cohort(gateway, body(world.job(), world.researcher, categories), world.runner.address.lower())


def test_records_of_other_categories_are_not_counted(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.alice)
    assert asked(gateway, world, world.job(), world.runner, LAB << 1) == {
        "block": 100,
        "of": 0,
        "counts": {},
        "unlisted": {},
        "records": [],
    }


def test_a_record_that_not_every_server_has_is_not_counted(gateway: Gateway, world: World) -> None:
    made = world.batch()
    world.peers[1].fault = "down"
    deposit(gateway, made.to_json(), world.hospital.address.lower())
    assert asked(gateway, world, world.job(), world.runner)["of"] == 0


@pytest.mark.parametrize("reason", [Reason.STUDY_NOT_OPEN, Reason.RUNNER_NOT_ACCREDITED, Reason.REQUESTER_NOT_MEMBER])
def test_what_a_job_is_refused_as_a_whole_is_not_listed(
    gateway: Gateway, world: World, batch: Batch, reason: Reason
) -> None:
    consents(gateway, world, world.alice, world.bob)
    world.ledger.rule = lambda job, item: reason
    found = asked(gateway, world, world.job(), world.runner)
    assert (found["counts"], found["records"]) == ({reason.name: 3}, [])


@pytest.mark.parametrize("reason", [Reason.STUDY_NOT_OPEN, Reason.RUNNER_NOT_ACCREDITED, Reason.REQUESTER_NOT_MEMBER])
def test_when_the_job_itself_is_refused_not_one_record_is_listed(
    gateway: Gateway, world: World, batch: Batch, reason: Reason
) -> None:
    consents(gateway, world, world.alice)
    world.ledger.rule = lambda job, item: reason
    found = asked(gateway, world, world.job(), world.runner)
    assert found["records"] == []


def test_a_person_is_listed_what_was_given_to_her_and_no_more(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.bob)  # to the study, not to her
    person = bytes(12) + bytes.fromhex(world.researcher.address[2:])
    given = world.consent(world.alice, scope=person)
    gateway.store.add_opening(typed.struct_hash(world.granted(given)), given)
    found = asked(gateway, world, world.job(bytes(32)), world.runner)
    mine = {hexed(record.id) for record in batch.records if record.subject == world.alice.address.lower()}
    assert {row["record"] for row in found["records"]} == mine


# Pseudonyms


def pseudonyms(gateway: Gateway, world: World, job: Job) -> dict[str, str]:
    rows = asked(gateway, world, job, world.runner)["records"]
    return {row["record"]: row["pseudonym"] for row in rows}


def test_a_patient_has_one_pseudonym_within_a_study(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.alice, world.bob)
    first, second = (pseudonyms(gateway, world, world.job()) for _ in range(2))
    assert first == second
    a, b, c = (first[hexed(record.id)] for record in batch.records)
    assert a == b != c
    assert len(a) == 32


def test_a_patient_has_another_pseudonym_in_another_study(gateway: Gateway, world: World, batch: Batch) -> None:
    consents(gateway, world, world.alice, world.bob)
    for one in (world.alice, world.bob):
        given = world.consent(one, scope=OTHER_STUDY)
        gateway.store.add_opening(typed.struct_hash(world.granted(given)), given)
    here, there = (set(pseudonyms(gateway, world, world.job(study)).values()) for study in (b"\5" * 32, OTHER_STUDY))
    assert len(here) == len(there) == 2
    assert not here & there


def test_people_who_ask_for_themselves_share_no_pseudonyms(gateway: Gateway, world: World, batch: Batch) -> None:
    jobs = [world.job(bytes(32), who) for who in (world.alice, world.bob)]
    assert len({pseudonym(gateway, job, batch.records[0]) for job in jobs}) == 2


def test_another_gateway_gives_other_pseudonyms(gateway: Gateway, world: World, batch: Batch) -> None:
    before = pseudonym(gateway, world.job(), batch.records[0])
    gateway.pseudonym_key = bytes(32)
    assert pseudonym(gateway, world.job(), batch.records[0]) != before


# Which opening


def test_an_older_opening_that_is_allowed_beats_a_newer_one_that_is_not(
    gateway: Gateway, world: World, batch: Batch
) -> None:
    old, new = world.consent(world.alice, NOW - 500), world.consent(world.alice, NOW - 1)
    for consent in (old, new):
        gateway.store.add_opening(typed.struct_hash(consent), world.granted(consent))
    world.revoked(new)
    found = choose(gateway, world.job(), batch.records)
    assert [(c.opening, c.reason) for c in found[:2]] == [(old, Reason.ALLOWED)] * 2
    assert (found[2].opening, found[2].reason) == (None, Reason.NO_CONSENT)


def test_of_two_that_are_allowed_the_newer_serves(gateway: Gateway, world: World, batch: Batch) -> None:
    old, new = world.consent(world.alice, NOW - 500), world.consent(world.alice, NOW - 1)
    for consent in (old, new):
        gateway.store.add_opening(typed.struct_hash(consent), world.granted(consent))
    assert choose(gateway, world.job(), batch.records)[0].opening == new


def test_of_two_that_are_refused_the_newer_gives_the_reason(gateway: Gateway, world: World, batch: Batch) -> None:
    old, new = world.consent(world.alice, NOW - 500), world.consent(world.alice, NOW - 1)
    for consent in (new, old):
        gateway.store.add_opening(typed.struct_hash(consent), consent)
    world.granted(old)
    world.revoked(old)
    found = choose(gateway, world.job(), batch.records)
    assert (found[0].opening, found[0].reason) == (new, Reason.NO_CONSENT)


def test_each_record_is_judged_with_its_own_subject_and_categories(
    gateway: Gateway, world: World, batch: Batch
) -> None:
    consents(gateway, world, world.alice, world.bob)
    seen: list[Item] = []
    world.ledger.rule = lambda job, item: seen.append(item) or Reason.ALLOWED  # type: ignore[func-returns-value]
    choose(gateway, world.job(), batch.records)
    subjects = [record.subject for record in batch.records]
    assert [(item.consent.subject, item.categories) for item in seen] == [(subject, LAB) for subject in subjects]


def test_no_records_and_no_openings_ask_the_chain_nothing(gateway: Gateway, world: World, batch: Batch) -> None:
    assert choose(gateway, world.job(), []) == []
    assert [c.reason for c in choose(gateway, world.job(), batch.records)] == [Reason.NO_CONSENT] * 3
    assert world.ledger.reviews == 0
