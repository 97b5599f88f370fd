# SPDX-License-Identifier: Apache-2.0
"""A custodian takes back what it filed wrongly: nobody else can, the share is gone for good, and it never returns."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto.signing import Signer, WalletKey
from consentum.domain.journal import RETRACT_CONTEXT, canonical
from consentum.domain.messages import Retract
from consentum.domain.parsing import hexed
from consentum.errors import ConflictError, CorruptError, MalformedError, NotFoundError, RefusedError, SignatureRefused
from consentum.flow.keyserver.retract import retract
from consentum.flow.wire import Retraction
from consentum.ports.server_store import VaultRow
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World


def made(world: World, record: bytes, by: Signer | None = None, **changes: Any) -> Retraction:
    message = Retract(world.custodian.address.lower(), record, bytes(32), world.ledger.now)
    message = replace(message, **changes)
    return Retraction(message, world.sign(by or world.custodian, message))


def send(world: World, request: Retraction) -> dict[str, Any]:
    """As it travels; the receipt is verified."""
    answer = retract(world.server, Retraction.parse(request.to_json()))
    public = world.server.checkpoint_key.public_key()
    public.verify(bytes.fromhex(answer["signature"][2:]), RETRACT_CONTEXT + canonical(answer["receipt"]))
    receipt: dict[str, Any] = answer["receipt"]
    return receipt


def test_a_retracted_record_is_refused_like_an_unknown_one(world: World, given: Given) -> None:
    receipt = send(world, made(world, given.record.id))
    assert (receipt["record"], receipt["successor"]) == (hexed(given.record.id), hexed(bytes(32)))
    unknown = world.page([secrets.token_bytes(32)], [given.consent])
    assert world.verdict(given.page) == world.verdict(unknown) == {"NO_CONSENT": 1}
    with pytest.raises(CorruptError):
        world.store.shares([given.record.id])


def test_what_was_released_before_is_not_released_again(world: World, given: Given) -> None:
    assert world.verdict(given.page) == {"ALLOWED": 1}
    send(world, made(world, given.record.id))
    answer = world.ask(given.page)
    assert answer.receipt["counts"] == {"NO_CONSENT": 1}
    assert world.opened(given.page, answer) == []


def test_a_retraction_between_deciding_and_writing_down_counts(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit

    def late(decision: Any) -> Any:
        monkeypatch.setattr(world.store, "commit", commit)
        send(world, made(world, given.record.id))
        return commit(decision)

    monkeypatch.setattr(world.store, "commit", late)
    assert world.verdict(given.page) == {"NO_CONSENT": 1}


def test_a_record_may_be_superseded_by_another_of_the_same_custodian(world: World, given: Given) -> None:
    new = world.record()
    receipt = send(world, made(world, given.record.id, successor=new.id))
    assert receipt["successor"] == hexed(new.id)
    assert world.verdict(world.page([new.id], [given.consent])) == {"ALLOWED": 1}


def test_a_successor_that_is_not_here_retracts_nothing(world: World, given: Given) -> None:
    with pytest.raises(NotFoundError) as caught:
        send(world, made(world, given.record.id, successor=b"\1" * 32))
    assert caught.value.field == "successor"
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_nothing_supersedes_itself(world: World, given: Given) -> None:
    with pytest.raises(MalformedError) as caught:
        send(world, made(world, given.record.id, successor=given.record.id))
    assert caught.value.field == "successor"


def test_the_same_retraction_again_gives_the_same_receipt(world: World, given: Given) -> None:
    first = send(world, made(world, given.record.id))
    assert send(world, made(world, given.record.id, signedAt=world.ledger.now + 9)) == first
    with pytest.raises(ConflictError):
        send(world, made(world, given.record.id, successor=world.record().id))


def test_a_deposit_delegate_may_retract_and_no_other(world: World, given: Given) -> None:
    clerk = WalletKey()
    world.delegate(world.custodian, b"consent", clerk)
    with pytest.raises(SignatureRefused):
        send(world, made(world, given.record.id, clerk))
    world.delegate(world.custodian, b"deposit", clerk)
    send(world, made(world, given.record.id, clerk))
    assert world.verdict(given.page) == {"NO_CONSENT": 1}


@pytest.mark.parametrize("who", ["stranger", "patient", "requester"])
def test_nobody_else_can_retract_it_in_the_custodians_name(world: World, given: Given, who: str) -> None:
    with pytest.raises(SignatureRefused):
        send(world, made(world, given.record.id, getattr(world, who)))
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_another_custodian_is_told_the_same_as_of_an_unknown_record(world: World, given: Given) -> None:
    details = []
    for record in (given.record.id, b"\1" * 32):
        with pytest.raises(NotFoundError) as caught:
            send(world, made(world, record, world.stranger, custodian=world.stranger.address.lower()))
        details.append((str(caught.value), caught.value.field))
    assert details[0] == details[1]
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_retraction_is_no_good_for_another_record(world: World, given: Given) -> None:
    other = world.record()
    request = made(world, other.id)
    moved = Retraction(replace(request.retract, record=given.record.id), request.signature)
    with pytest.raises(SignatureRefused):
        send(world, moved)


def test_an_old_retraction_is_still_taken_and_one_from_the_future_is_not(world: World, given: Given) -> None:
    with pytest.raises(MalformedError) as caught:
        send(world, made(world, given.record.id, signedAt=world.ledger.now + 3_700))
    assert caught.value.field == "signedAt"
    send(world, made(world, given.record.id, signedAt=world.ledger.now - 90 * 86_400))


def test_a_retracted_record_cannot_be_deposited_again(world: World, given: Given) -> None:
    send(world, made(world, given.record.id))
    row = VaultRow(given.record, hashlib.sha256(b"other").digest())
    with pytest.raises(ConflictError):
        world.store.add_deposit(hashlib.sha256(b"other root").digest(), [row], {})


def test_a_server_behind_its_anchor_or_without_a_node_retracts_nothing(world: World, given: Given) -> None:
    world.server.behind_anchor = True
    with pytest.raises(RefusedError, match="BEHIND_ANCHOR"):
        send(world, made(world, given.record.id))
    world.server.behind_anchor = False
    world.ledger.down = True
    with pytest.raises(RefusedError):
        send(world, made(world, given.record.id))
    world.ledger.down = False
    assert world.verdict(given.page) == {"ALLOWED": 1}
