# SPDX-License-Identifier: Apache-2.0
"""D5 at one server: each check of a deposit, refused by a batch that fails it alone. What is refused leaves nothing."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.domain.journal import canonical
from consentum.domain.messages import Revoke, RevokeAll
from consentum.errors import (
    ConflictError,
    ConsentumError,
    CorruptError,
    MalformedError,
    NotFoundError,
    Reason,
    RefusedError,
    SignatureRefused,
)
from consentum.flow.keyserver import deposit, notice
from consentum.flow.wire import DepositRequest
from tests.unit.keyserver.batch import Batch, accept, enrolment
from tests.unit.keyserver.world import World

WEEK = 7 * 86_400


def refused(world: World, request: DepositRequest, kind: type[ConsentumError], where: str | None) -> None:
    """It is, for that reason, and nothing of it stays."""
    with pytest.raises(kind) as caught:
        accept(world, request)
    assert caught.value.field == where
    assert world.store.rows == {}
    assert world.store.deposits == set()


def test_a_batch_is_stored_with_its_shares_and_acknowledged(world: World, batch: Batch) -> None:
    batch.column = b"\1" * 32 + b"\2" * 32
    answer = accept(world, batch.request())
    assert world.store.shares([record.id for record in batch.records]) == [b"\1" * 32, b"\2" * 32]
    assert answer["receipt"]["count"] == 2
    signed = deposit.DEPOSIT_CONTEXT + canonical(answer["receipt"])
    world.server.checkpoint_key.public_key().verify(bytes.fromhex(answer["signature"][2:]), signed)


def test_nobody_deposits_but_the_custodians_named_or_anybody_where_that_is_said(world: World, batch: Batch) -> None:
    made, server = batch.request(), world.server
    assert world.server.custodians is None
    for others in (frozenset[str](), frozenset({world.stranger.address.lower()})):
        world.server = replace(server, custodians=others)
        with pytest.raises(NotFoundError) as caught:
            accept(world, made)
        assert caught.value.field == "custodian"
    world.server = replace(server, custodians=frozenset({world.custodian.address.lower()}))
    assert accept(world, made)["receipt"]["count"] == 2


def test_the_same_batch_again_gives_the_same_receipt_again(world: World, batch: Batch) -> None:
    request = batch.request()
    assert accept(world, request) == accept(world, request)


def test_the_same_batch_with_other_shares_is_a_conflict_and_keeps_the_first(world: World, batch: Batch) -> None:
    """The signature does not cover the shares: a receipt must not vouch for what was not kept."""
    accept(world, batch.request())
    batch.column = b"\7" * 64
    with pytest.raises(ConflictError) as caught:
        accept(world, batch.request())
    assert caught.value.field == "sealed"
    assert world.store.shares([batch.records[0].id]) == [bytes(range(32))]


def test_a_receipt_names_the_sealed_bytes_it_is_for(world: World, batch: Batch) -> None:
    request = batch.request()
    assert accept(world, request)["receipt"]["sealed"] == "0x" + sha256(request.sealed).hexdigest()


def test_a_deposit_signed_by_a_stranger_is_refused(world: World, batch: Batch) -> None:
    batch.signer = world.stranger
    refused(world, batch.request(), SignatureRefused, "signature")


def test_a_deposit_delegate_signs_for_the_custodian(world: World, batch: Batch) -> None:
    world.delegate(world.custodian, b"deposit", world.stranger)
    batch.signer = world.stranger
    assert accept(world, batch.request())


@pytest.mark.parametrize("role", [b"consent", b"guardian", b"assertion", b"recovery"])
def test_no_other_delegate_signs_for_the_custodian(world: World, batch: Batch, role: bytes) -> None:
    world.delegate(world.custodian, role, world.stranger)
    batch.signer = world.stranger
    refused(world, batch.request(), SignatureRefused, "signature")


def test_a_subject_without_an_enrolment_is_refused(world: World, batch: Batch) -> None:
    del batch.enrolments[1]
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_a_forged_enrolment_is_refused(world: World, batch: Batch) -> None:
    batch.enrolments[0] = enrolment(world, world.patient, by=world.custodian)
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_an_enrolment_by_a_guardian_is_refused(world: World, batch: Batch) -> None:
    world.delegate(world.patient, b"guardian", world.stranger)
    batch.enrolments[0] = enrolment(world, world.patient, by=world.stranger)
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_an_enrolment_by_a_consent_delegate_is_accepted(world: World, batch: Batch) -> None:
    world.delegate(world.patient, b"consent", world.stranger)
    batch.enrolments[0] = enrolment(world, world.patient, by=world.stranger)
    assert accept(world, batch.request())


def test_an_enrolment_with_another_custodian_is_refused(world: World, batch: Batch) -> None:
    batch.enrolments[0] = enrolment(world, world.patient, custodian=world.stranger)
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_an_enrolment_withdrawn_on_chain_is_refused(world: World, batch: Batch) -> None:
    hashed = typed.struct_hash(batch.enrolments[0].enrol)
    subject = world.patient.address.lower()
    signature = world.sign(world.patient, Revoke(subject, hashed))
    world.send("ConsentRegistry", "revoke", subject, hashed, signature)
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_an_enrolment_withdrawn_by_a_notice_is_refused(world: World, batch: Batch) -> None:
    hashed = typed.struct_hash(batch.enrolments[0].enrol)
    notice.accept(world.server, world.notice(Revoke(world.patient.address.lower(), hashed)))
    refused(world, batch.request(), SignatureRefused, "enrolments")


def test_a_cutoff_of_consents_withdraws_no_enrolment(world: World, batch: Batch) -> None:
    notice.accept(world.server, world.notice(RevokeAll(world.patient.address.lower(), world.ledger.now)))
    assert accept(world, batch.request())


@pytest.mark.parametrize(("name", "value"), [("count", 3), ("count", 1), ("recordsRoot", b"\1" * 32)])
def test_a_count_or_root_that_is_not_the_records_is_refused(
    world: World, batch: Batch, name: str, value: object
) -> None:
    refused(world, batch.request(**{name: value}), MalformedError, name)


def test_a_record_twice_in_a_batch_is_refused(world: World, batch: Batch) -> None:
    batch.records[1] = batch.records[0]
    refused(world, batch.request(), MalformedError, "count")


@pytest.mark.parametrize(
    ("name", "value"),
    [("salt", "0x" + "11" * 32), ("categories", 3), ("subject", "0x" + "11" * 20), ("keyCommitment", "0x" + "11" * 32)],
)
def test_a_record_that_is_not_what_its_id_says_is_refused(world: World, batch: Batch, name: str, value: object) -> None:
    """The signed root is over ids that hash every field."""
    body = batch.request().to_json()
    body["records"][0][name] = value
    with pytest.raises(MalformedError) as caught:
        DepositRequest.parse(body)
    assert caught.value.field == "recordsRoot"


@pytest.mark.parametrize("categories", [0, 1 << 63, -1, True, "4"])
def test_a_record_of_no_category_or_an_impossible_one_is_refused(
    world: World, batch: Batch, categories: object
) -> None:
    body = batch.request().to_json()
    body["records"][0]["categories"] = categories
    with pytest.raises(MalformedError) as caught:
        DepositRequest.parse(body)
    assert caught.value.field == "categories"


@pytest.mark.parametrize(
    "bound",
    [
        {"server": b"\1" * 20},
        {"index": 1},
        {"epoch": 2},
        {"records_root": b"\1" * 32},
        {"committee": b"\1" * 32},
    ],
    ids=lambda bound: next(iter(bound)),
)
def test_shares_sealed_for_another_place_are_refused(world: World, batch: Batch, bound: dict[str, Any]) -> None:
    batch.bound = bound
    refused(world, batch.request(), CorruptError, None)


def test_shares_sealed_to_another_key_are_refused(world: World, batch: Batch) -> None:
    batch.key = SealingKey()
    refused(world, batch.request(), CorruptError, None)


@pytest.mark.parametrize("column", [b"", b"\1" * 32, b"\1" * 63, b"\1" * 65, b"\1" * 96])
def test_more_or_fewer_shares_than_records_are_refused(world: World, batch: Batch, column: bytes) -> None:
    batch.column = column
    refused(world, batch.request(), CorruptError, "sealed")


@pytest.mark.parametrize("distance", [-WEEK, 3_600])
def test_a_deposit_signed_a_week_ago_or_an_hour_ahead_is_refused(world: World, batch: Batch, distance: int) -> None:
    refused(world, batch.request(signedAt=world.ledger.now + distance), MalformedError, "signedAt")


@pytest.mark.parametrize("distance", [1 - WEEK, 3_599])
def test_a_deposit_that_was_retried_for_days_is_accepted(world: World, batch: Batch, distance: int) -> None:
    assert accept(world, batch.request(signedAt=world.ledger.now + distance))


@pytest.mark.parametrize("epoch", [0, 2])
def test_an_epoch_without_a_key_is_refused(world: World, batch: Batch, epoch: int) -> None:
    batch.epoch = epoch
    refused(world, batch.request(), NotFoundError, "epoch")


def test_another_committees_batch_is_not_found(world: World, batch: Batch) -> None:
    batch.records = [replace(record, committee=b"\3" * 32) for record in batch.records]
    refused(world, batch.request(committee=b"\3" * 32), NotFoundError, "committee")


def test_a_record_known_from_another_batch_is_a_conflict(world: World, batch: Batch) -> None:
    accept(world, batch.request())
    batch.records.append(replace(batch.records[0], salt=b"\5" * 32))
    with pytest.raises(ConflictError):
        accept(world, batch.request())
    assert batch.records[2].id not in world.store.rows


def test_a_deposit_is_refused_while_the_chain_cannot_be_asked(world: World, batch: Batch) -> None:
    world.ledger.down = True
    with pytest.raises(RefusedError) as caught:
        accept(world, batch.request())
    assert caught.value.reason == Reason.CHAIN_UNAVAILABLE
    assert world.store.rows == {}


def test_a_deposit_is_refused_on_a_stale_chain(world: World, batch: Batch) -> None:
    world.clock.ahead = 31
    refused(world, batch.request(), RefusedError, None)
