# SPDX-License-Identifier: Apache-2.0
"""A revocation counts the moment a server holds it: with a late relayer, a silent node, or forged ones about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.journal import canonical
from consentum.domain.messages import Freeze, Revoke, RevokeAll
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, Reason, RefusedError, SignatureRefused
from consentum.flow.keyserver import notice
from consentum.flow.wire import Notice
from consentum.ports.server_store import NoticeRow
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World, own_job


def accept(world: World, made: Notice) -> bool:
    """As it travels; whether it was judged. The receipt is verified."""
    answer = notice.accept(world.server, Notice.parse(made.to_json()))
    signature = bytes.fromhex(answer["signature"][2:])
    public = world.server.checkpoint_key.public_key()
    public.verify(signature, notice.NOTICE_CONTEXT + canonical(answer["receipt"]))
    assert answer["receipt"]["notice"] == hexed(typed.digest(world.domain, made.message))
    return bool(answer["receipt"]["judged"])


def forged(world: World, made: Notice) -> Notice:
    return Notice(made.message, world.sign(world.stranger, made.message))


def test_a_held_revocation_blocks_what_the_chain_still_allows(world: World, given: Given) -> None:
    assert accept(world, world.revocation(given.consent))
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}
    assert world.opened(given.page, world.ask(given.page)) == []


def test_a_held_revocation_leaves_other_consents_alone(world: World, given: Given) -> None:
    other = world.grant(world.consent())
    accept(world, world.revocation(other))
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_held_cutoff_blocks_what_was_signed_until_then(world: World, given: Given) -> None:
    accept(world, world.notice(RevokeAll(given.consent.subject, given.consent.signedAt)))
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_a_held_cutoff_leaves_later_consents_alone(world: World, given: Given) -> None:
    accept(world, world.notice(RevokeAll(given.consent.subject, given.consent.signedAt - 1)))
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_held_freeze_blocks_until_it_ends(world: World, given: Given) -> None:
    until = world.ledger.now + 2
    accept(world, world.notice(Freeze(given.consent.subject, until)))
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}
    world.ledger.settle()
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}
    world.ledger.settle()
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_notice_about_somebody_else_does_not_block(world: World, given: Given) -> None:
    bob = WalletKey()
    accept(world, world.notice(RevokeAll(bob.address.lower(), world.ledger.now), bob))
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_a_cutoff_does_not_keep_a_person_from_her_own_records(world: World, given: Given) -> None:
    """On chain it does not either: her own records need no consent that could have been cut off."""
    accept(world, world.notice(RevokeAll(given.consent.subject, world.ledger.now)))
    job = own_job(world, world.patient)
    page = world.page([given.record.id], [None], job, by=world.patient, under=world.patient)
    assert world.verdict(page) == {"ALLOWED": 1}


def test_a_held_freeze_keeps_even_herself_from_her_records(world: World, given: Given) -> None:
    accept(world, world.notice(Freeze(given.consent.subject, world.ledger.now + 100)))
    job = own_job(world, world.patient)
    page = world.page([given.record.id], [None], job, by=world.patient, under=world.patient)
    assert world.verdict(page) == {"NOTICE_HELD": 1}


@pytest.mark.parametrize("kind", [Revoke, RevokeAll, Freeze])
def test_a_forged_notice_is_refused_and_not_kept(world: World, given: Given, kind: type) -> None:
    value = typed.struct_hash(given.consent) if kind is Revoke else world.ledger.now
    with pytest.raises(SignatureRefused):
        accept(world, world.notice(kind(given.consent.subject, value), world.stranger))
    assert world.store.kept == []
    assert world.verdict(given.page) == {"ALLOWED": 1}


@pytest.mark.parametrize(
    ("role", "kind", "entitled"),
    [
        (b"guardian", Revoke, True),
        (b"guardian", Freeze, True),
        (b"consent", Revoke, True),
        (b"consent", Freeze, False),
        (b"deposit", Revoke, False),
        (b"assertion", RevokeAll, False),
    ],
)
def test_only_the_right_delegates_notices_count(
    world: World, given: Given, role: bytes, kind: type, entitled: bool
) -> None:
    world.delegate(world.patient, role, world.stranger)
    value = bytes(32) if kind is Revoke else world.ledger.now + 10
    made = world.notice(kind(given.consent.subject, value), world.stranger)
    if entitled:
        assert accept(world, made)
    else:
        with pytest.raises(SignatureRefused):
            accept(world, made)


def test_a_delegate_of_the_latest_block_alone_is_entitled(world: World, given: Given) -> None:
    world.send("DidRegistry", "addDelegate", world.patient.address, b"guardian", world.stranger.address, 100, b"")
    assert accept(world, world.notice(Revoke(given.consent.subject, bytes(32)), world.stranger))


def test_a_delegate_of_the_finalized_block_alone_is_entitled(world: World, given: Given) -> None:
    world.delegate(world.patient, b"guardian", world.stranger)
    world.ledger.pending.delegates.clear()
    world.ledger.mine()
    assert accept(world, world.notice(Revoke(given.consent.subject, bytes(32)), world.stranger))


def test_a_notice_is_kept_and_blocks_while_no_node_can_judge_it(world: World, given: Given) -> None:
    world.ledger.down = True
    assert not accept(world, world.revocation(given.consent))
    [row] = world.store.kept
    assert not row.judged
    world.ledger.down = False
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}
    assert [row.judged for row in world.store.kept] == [True]


@pytest.mark.parametrize("doubt", ["stale", "clock", "other chain"])
def test_a_notice_is_kept_whenever_the_node_is_in_doubt(world: World, given: Given, doubt: str) -> None:
    world.ledger.other_chain = doubt == "other chain"
    world.clock.ahead = {"stale": 100, "clock": -100}.get(doubt, 0)
    assert not accept(world, world.revocation(given.consent))


def test_a_forged_notice_kept_unjudged_is_dropped_once_a_node_answers(world: World, given: Given) -> None:
    world.ledger.down = True
    accept(world, forged(world, world.revocation(given.consent)))
    world.ledger.down = False
    notice.judge_pending(world.server, world.server.fresh_view())
    assert world.store.kept == []
    assert world.verdict(given.page) == {"ALLOWED": 1}


def test_an_unjudged_notice_blocks_for_as_long_as_it_is_not_judged(
    world: World, given: Given, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.ledger.down = True
    accept(world, forged(world, world.revocation(given.consent)))
    world.ledger.down = False
    monkeypatch.setattr("consentum.flow.keyserver.release.judge_pending", lambda *_: None)
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_a_real_notice_after_a_forged_twin_is_not_dropped_with_it(world: World, given: Given) -> None:
    world.ledger.down = True
    real = world.revocation(given.consent)
    accept(world, forged(world, real))
    accept(world, real)
    world.ledger.down = False
    notice.judge_pending(world.server, world.server.fresh_view())
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_at_most_a_thousand_notices_wait_to_be_judged(world: World, given: Given) -> None:
    world.ledger.down = True
    row = NoticeRow("Revoke", "0x" + "77" * 20, bytes(32), 0, "", b"", False)
    world.store.kept = [replace(row, message=str(n)) for n in range(999)]
    accept(world, world.revocation(given.consent))
    with pytest.raises(RefusedError) as caught:
        accept(world, world.notice(Revoke(given.consent.subject, bytes(32))))
    assert caught.value.reason == Reason.LIMIT


def test_a_judged_notice_is_never_forgotten(world: World, given: Given) -> None:
    """Not by a reorganisation that takes its signer's entitlement away either."""
    world.delegate(world.patient, b"guardian", world.stranger)
    made = world.notice(Revoke(given.consent.subject, typed.struct_hash(given.consent)), world.stranger)
    assert accept(world, made)
    world.ledger.pending.delegates.clear()
    world.ledger.settle()
    notice.judge_pending(world.server, world.server.fresh_view())
    world.store.drop_unjudged(world.store.kept[0])
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_a_notice_survives_a_restart(world: World, given: Given) -> None:
    accept(world, world.revocation(given.consent))
    world.restarted()
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_the_same_notice_again_is_harmless(world: World, given: Given) -> None:
    for _ in range(3):
        accept(world, world.revocation(given.consent))
    assert world.verdict(given.page) == {"NOTICE_HELD": 1}


def test_a_cutoff_more_than_an_hour_ahead_is_refused(world: World, given: Given) -> None:
    accept(world, world.notice(RevokeAll(given.consent.subject, world.ledger.now + 3_600)))
    with pytest.raises(MalformedError) as caught:
        accept(world, world.notice(RevokeAll(given.consent.subject, world.ledger.now + 3_601)))
    assert caught.value.field == "cutoff"


def test_a_freeze_of_more_than_thirty_days_is_refused(world: World, given: Given) -> None:
    month = 30 * 86_400
    accept(world, world.notice(Freeze(given.consent.subject, world.ledger.now + month)))
    with pytest.raises(MalformedError) as caught:
        accept(world, world.notice(Freeze(given.consent.subject, world.ledger.now + month + 1)))
    assert caught.value.field == "until"


def test_a_notice_whose_subject_is_spelled_otherwise_blocks_or_is_refused(world: World, given: Given) -> None:
    """The bytes that are signed are the same, so whoever carries the notice could respell it."""
    body = world.revocation(given.consent).to_json()
    subject = given.consent.subject
    for spelled in (subject.upper().replace("X", "x"), f"{subject[:10]} {subject[10:]}", f"{subject}\n"):
        body["message"] = {**body["message"], "subject": spelled}
        try:
            notice.accept(world.server, Notice.parse(body))
        except MalformedError:
            continue
        assert world.verdict(given.page) == {"NOTICE_HELD": 1}
        world.store.kept.clear()


@pytest.mark.parametrize("kind", ["Consent", "Enrol", "", None, ["Revoke"], {}])
def test_no_other_message_is_a_notice(world: World, given: Given, kind: object) -> None:
    body = {**world.revocation(given.consent).to_json(), "kind": kind}
    with pytest.raises(MalformedError) as caught:
        Notice.parse(body)
    assert caught.value.field == "kind"
