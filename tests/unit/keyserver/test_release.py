# SPDX-License-Identifier: Apache-2.0
"""R1 to R7 at one server: who asks, what the vault says, what is journalled, what is handed over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature

from consentum.crypto import merkle, typed
from consentum.crypto.sealing import SealingKey, answer_info
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Revoke
from consentum.errors import CorruptError, MalformedError, NotFoundError, Reason, RefusedError
from consentum.flow.keyserver import release
from consentum.flow.wire import Answer, ReleaseRequest
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World, own_job, released, share_of, text_of


def test_a_permitted_record_is_handed_over_with_its_commitment_and_cid(world: World, given: Given) -> None:
    answer = world.ask(given.page)
    assert released(given.page, answer) == [given.record.id]
    expected = share_of(given.record.id) + given.record.key_commitment + given.record.cid.raw
    assert world.opened(given.page, answer) == [expected]


@pytest.mark.parametrize(
    ("signer", "reason"), [("under", Reason.JOB_SIGNATURE), ("by", Reason.RELEASE_SIGNATURE)], ids=["job", "release"]
)
def test_a_page_signed_by_another_is_refused_and_not_journalled(
    world: World, given: Given, signer: str, reason: Reason
) -> None:
    other: dict[str, Any] = {signer: world.stranger}
    page = world.page([given.record.id], [given.consent], **other)
    with pytest.raises(RefusedError) as caught:
        world.ask(page)
    assert caught.value.reason == reason
    assert world.store.journal_size() == 0


def test_a_delegate_of_the_requester_does_not_sign_jobs(world: World, given: Given) -> None:
    world.delegate(world.requester, b"consent", world.stranger)
    with pytest.raises(RefusedError, match="JOB_SIGNATURE"):
        world.ask(world.page([given.record.id], [given.consent], under=world.stranger))


def test_unknown_and_not_permitted_records_look_the_same(world: World, given: Given) -> None:
    """With an opening, with none, and with somebody else's."""
    bob = WalletKey()
    hidden, unknown = world.record(bob), b"\x77" * 32
    foreign = replace(given.consent, policy=world.stranger.address.lower())
    for opening in (None, given.consent, world.consent(bob), foreign):
        answers = [world.ask(world.page([identity], [opening])) for identity in (hidden.id, unknown)]
        shown = [{k: a.receipt[k] for k in ("bitmap", "counts", "count")} for a in answers]
        assert shown[0] == shown[1]
        assert world.store.entry(world.store.journal_size() - 1).subject == ""
        assert [len(a.sealed) for a in answers] == [len(answers[0].sealed)] * 2


def test_a_frozen_subject_does_not_show_to_who_holds_no_consent_of_hers(world: World, given: Given) -> None:
    bob = WalletKey()
    hidden = world.record(bob)
    world.ledger.pending.persons[bob.address.lower()] = (0, world.ledger.now + 1_000)
    world.ledger.settle()
    assert world.verdict(world.page([hidden.id], [world.consent(bob)])) == {"NO_CONSENT": 1}


def test_an_opening_that_names_another_subject_does_not_help(world: World, given: Given) -> None:
    """Alice consented, the record is Bob's: the subject is the vault's word."""
    hidden = world.record(WalletKey())
    assert world.verdict(world.page([hidden.id], [given.consent])) == {"NO_CONSENT": 1}
    assert world.store.entry(0).subject == hidden.subject


def test_an_opening_that_names_another_subject_does_not_hurt(world: World, given: Given) -> None:
    hint = replace(given.consent, subject=world.stranger.address.lower())
    assert world.verdict(world.page([given.record.id], [hint])) == {"ALLOWED": 1}


def test_the_categories_come_from_the_vault(world: World, given: Given) -> None:
    wider = world.record(categories=3)
    wide = replace(given.consent, categories=7)
    assert world.verdict(world.page([wider.id], [given.consent])) == {"CATEGORY": 1}
    assert world.verdict(world.page([wider.id], [wide])) == {"NO_CONSENT": 1}


def test_a_record_of_another_committee_is_unknown(world: World, given: Given) -> None:
    world.send("KeyServerRegistry", "createCommittee", 2, [world.server.address, "0x" + "ff" * 20])
    world.ledger.settle()
    [other] = set(world.ledger.pending.committees) - {world.committee}
    page = world.page([given.record.id], [given.consent], committee=other)
    assert world.verdict(page) == {"NO_CONSENT": 1}


def test_another_committees_page_is_not_found(world: World, given: Given) -> None:
    world.send("KeyServerRegistry", "createCommittee", 2, ["0x" + "01" * 20, "0x" + "ff" * 20])
    world.ledger.settle()
    [other] = set(world.ledger.pending.committees) - {world.committee}
    for committee in (other, b"\x99" * 32):
        with pytest.raises(NotFoundError):
            world.ask(world.page([given.record.id], [given.consent], committee=committee))
    assert world.store.journal_size() == 0


def test_a_swapped_response_key_is_refused(world: World, given: Given) -> None:
    body = given.page.to_json() | {"responseKey": "0x" + SealingKey().public.hex()}
    with pytest.raises(MalformedError) as caught:
        ReleaseRequest.parse(body)
    assert caught.value.field == "responseKeyHash"


def test_a_signed_response_key_that_is_no_key_is_refused(world: World, given: Given) -> None:
    class NoKey:
        public = b"\xff" * 1216

    with pytest.raises(MalformedError):
        world.ask(world.page([given.record.id], [given.consent], key=NoKey()))


@pytest.mark.parametrize("field", ["count", "recordsRoot"])
def test_a_release_that_does_not_fit_its_page_is_refused(world: World, given: Given, field: str) -> None:
    other: dict[str, Any] = {field: 2 if field == "count" else b"\1" * 32}
    page = world.page([given.record.id], [given.consent], **other)
    with pytest.raises(MalformedError) as caught:
        world.ask(page)
    assert caught.value.field == field


def test_a_release_of_another_job_is_refused(world: World, given: Given) -> None:
    other = world.job()
    page = replace(given.page, job=other, job_signature=world.sign(world.requester, other))
    with pytest.raises(MalformedError) as caught:
        world.ask(page)
    assert caught.value.field == "job"


def test_a_page_that_names_a_record_twice_is_refused(world: World, given: Given) -> None:
    with pytest.raises(MalformedError):
        world.ask(world.page([given.record.id] * 2, [given.consent] * 2))


@pytest.mark.parametrize("openings", [0, 2])
def test_a_page_with_more_or_fewer_openings_than_records_is_refused(world: World, given: Given, openings: int) -> None:
    with pytest.raises(MalformedError) as caught:
        world.ask(world.page([given.record.id], [given.consent] * openings))
    assert caught.value.field == "openings"


def test_a_page_of_more_than_a_thousand_records_is_refused(world: World) -> None:
    ids = [n.to_bytes(32, "big") for n in range(1_001)]
    with pytest.raises(MalformedError):
        world.ask(world.page(ids, [None] * len(ids)))


def test_a_page_after_its_deadline_is_dead(world: World, given: Given) -> None:
    deadline = world.ledger.now
    page = world.page([given.record.id], [given.consent], deadline=deadline)
    assert world.verdict(page) == {"ALLOWED": 1}
    world.ledger.settle()
    with pytest.raises(RefusedError, match="DEADLINE_PASSED"):
        world.ask(page)
    assert world.store.journal_size() == 1


def test_a_job_after_its_deadline_is_dead(world: World, given: Given) -> None:
    page = world.page([given.record.id], [given.consent], world.job(deadline=world.ledger.now))
    world.ledger.settle()
    with pytest.raises(RefusedError, match="DEADLINE_PASSED"):
        world.ask(page)


def test_a_deadline_more_than_an_hour_ahead_is_refused(world: World, given: Given) -> None:
    now = world.ledger.now
    job = world.job(deadline=now + 9_000)
    with pytest.raises(MalformedError) as caught:
        world.ask(world.page([given.record.id], [given.consent], job, deadline=now + 3_601))
    assert caught.value.field == "deadline"
    assert world.verdict(world.page([given.record.id], [given.consent], job, deadline=now + 3_600)) == {"ALLOWED": 1}


def test_an_answer_opens_only_with_the_response_key(world: World, given: Given) -> None:
    answer = world.ask(given.page)
    with pytest.raises(CorruptError):
        world.opened(given.page, answer, SealingKey())


def test_an_answer_opens_only_for_its_release_server_and_index(world: World, given: Given) -> None:
    answer = world.ask(given.page)
    digest, server = typed.digest(world.domain, given.page.release), typed.address_bytes(world.server.address)
    assert world.response.open(answer.sealed, answer_info(digest, server, 2))
    for info in (
        answer_info(b"\1" * 32, server, 2),
        answer_info(digest, b"\1" * 20, 2),
        answer_info(digest, server, 1),
    ):
        with pytest.raises(CorruptError):
            world.response.open(answer.sealed, info)


def test_only_the_permitted_records_of_a_page_are_inside(world: World, given: Given) -> None:
    other, unknown = world.record(WalletKey()), b"\x66" * 32
    page = world.page([other.id, given.record.id, unknown], [None, given.consent, given.consent])
    answer = world.ask(page)
    assert answer.receipt["counts"] == {"ALLOWED": 1, "NO_CONSENT": 2}
    assert released(page, answer) == [given.record.id]
    assert [part[:32] for part in world.opened(page, answer)] == [share_of(given.record.id)]


def test_receipts_verify_and_say_where_the_decision_stands(world: World, given: Given) -> None:
    answer = world.ask(given.page)
    world.verify(answer)
    receipt = answer.receipt
    assert (receipt["leaves"], receipt["size"], receipt["count"]) == ([[0, 1]], 1, 1)
    raw = world.store.entry(0).to_bytes()
    merkle.verify_inclusion(
        merkle.leaf_hash(raw), 0, 1, world.store.inclusion(0, 1), bytes.fromhex(receipt["root"][2:])
    )
    forged = Answer({**receipt, "counts": {"NO_CONSENT": 1}}, answer.signature, answer.sealed)
    with pytest.raises(InvalidSignature):
        world.verify(forged)


def test_an_entry_says_who_what_and_at_which_blocks(world: World, given: Given) -> None:
    answer = world.ask(given.page)
    entry = world.store.entry(0)
    assert (entry.record, entry.subject) == (text_of(given.record), given.record.subject)
    assert (entry.requester, entry.runner) == (world.requester.address.lower(), world.runner.address.lower())
    assert (entry.finalized, entry.latest) == (answer.receipt["finalized"], answer.receipt["latest"])
    assert entry.reason == Reason.ALLOWED


def test_two_entries_of_equal_content_have_other_leaves(world: World, given: Given) -> None:
    for _ in range(2):
        world.ask(world.page([given.record.id], [given.consent], given.page.job))
    assert world.store.entry(0).salt != world.store.entry(1).salt


def test_the_entry_is_durable_before_a_share_is_touched(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    shares = world.store.shares

    def noted(ids: Sequence[bytes]) -> list[bytes]:
        seen.append(world.store.journal_size())
        return shares(ids)

    monkeypatch.setattr(world.store, "shares", noted)
    world.ask(given.page)
    assert seen == [1]


def test_a_store_that_fails_to_commit_hands_nothing_over(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise RefusedError(Reason.STORE_UNAVAILABLE)

    monkeypatch.setattr(world.store, "commit", full)
    monkeypatch.setattr(release, "_seal", lambda *_: pytest.fail("sealed what was not written down"))
    with pytest.raises(RefusedError, match="STORE_UNAVAILABLE"):
        world.ask(given.page)


def test_a_share_that_does_not_open_is_a_refusal(world: World, given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_: object) -> list[bytes]:
        raise CorruptError("a share in the vault does not open")

    monkeypatch.setattr(world.store, "shares", damaged)
    with pytest.raises(RefusedError, match="does not open") as caught:
        world.ask(given.page)
    assert caught.value.reason == Reason.STORE_UNAVAILABLE


def test_a_person_gets_her_own_records_without_a_consent(world: World) -> None:
    record = world.record()
    page = world.page([record.id], [None], own_job(world, world.patient), by=world.patient, under=world.patient)
    assert world.verdict(page) == {"ALLOWED": 1}
    assert released(page, world.ask(page)) == [record.id]


def test_a_person_does_not_get_anothers_records_without_a_consent(world: World) -> None:
    record = world.record(WalletKey())
    page = world.page([record.id], [None], own_job(world, world.patient), by=world.patient, under=world.patient)
    assert world.verdict(page) == {"NO_CONSENT": 1}


def test_nothing_in_a_receipt_names_the_subject(world: World, given: Given) -> None:
    text = json.dumps(world.ask(given.page).to_json())
    assert given.record.subject[2:] not in text
    assert typed.struct_hash(given.consent).hex() not in text
    assert typed.struct_hash(Revoke(given.consent.subject, bytes(32))).hex() not in text
