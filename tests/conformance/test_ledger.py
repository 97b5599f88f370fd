# SPDX-License-Identifier: Apache-2.0
"""What every ledger promises: one suite for the fake and for the contracts on a real Anvil."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import P256_ORDER, Signer, SoftPasskey, WalletKey
from consentum.domain.messages import Consent, Freeze, Job, Login, Revoke, RevokeAll
from consentum.domain.registry_messages import Terms
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import NotFoundError, Reason, RevertedError, UnavailableError
from consentum.ports.chain import Anchor, Block, Claim, Item, Question, Roles, ServerKeys, Standing
from consentum.ports.transactions import Call
from tests.conformance.conftest import Chain
from tests.conformance.studies import YEAR, Society

FORM = b"\x0f" * 32
LAB = int(Category.LABORATORY)
HEALTH = int(Purpose.HEALTH_RESEARCH)
ROLES = {
    b"consent": Roles.CONSENT,
    b"guardian": Roles.GUARDIAN,
    b"recovery": Roles.RECOVERY,
    b"deposit": Roles.DEPOSIT,
    b"assertion": Roles.ASSERTION,
}


@dataclass(slots=True)
class Place:
    """An open study with an accredited runner on one chain."""

    chain: Chain
    society: Society
    study: bytes
    runner: WalletKey

    @property
    def latest(self) -> Block:
        return self.chain.ledger.view().latest

    def consent(self, who: Signer, **changes: Any) -> Consent:
        subject, now = who.address.lower(), self.latest.timestamp
        terms = (HEALTH, 0, bytes(32), LAB, now, 0, now + YEAR, int(Access.COMPUTE), 500)
        made = Consent(subject, self.chain.ledger.policy, self.study, FORM, *terms, secrets.token_bytes(32))
        return replace(made, **changes)

    def job(self, **changes: Any) -> Job:
        lead, runner = self.society.lead.address.lower(), self.runner.address.lower()
        terms = (HEALTH, int(Access.COMPUTE), 100, self.latest.timestamp + 3_000)
        return replace(Job(lead, runner, self.study, bytes(32), *terms, secrets.token_bytes(32)), **changes)

    def reasons(self, job: Job, *items: tuple[Consent, int]) -> list[int]:
        return self.chain.ledger.review(self.latest, job, [Item(*item) for item in items])

    def signed_by(self, who: Signer, roles: int, signature: bytes, digest: bytes) -> bool:
        [found] = self.chain.ledger.signed_by(self.latest, [Claim(who.address, roles, digest, signature)])
        return found


@pytest.fixture(scope="module")
def place(chain: Chain) -> Place:
    society, runner = Society(chain), WalletKey()
    study = society.study(Terms(HEALTH, 0, LAB, int(Access.COMPUTE), (), bytes(32)), FORM)
    society.accredit(runner.address)
    return Place(chain, society, study, runner)


@pytest.mark.parametrize("make", [WalletKey, lambda: SoftPasskey("localhost")], ids=["wallet", "passkey"])
def test_a_controllers_signature_is_hers_whatever_roles_are_asked(place: Place, make: Callable[[], Signer]) -> None:
    who, digest = make(), secrets.token_bytes(32)
    assert place.signed_by(who, Roles.CONTROLLER, who.sign(digest), digest)
    assert place.signed_by(who, Roles.DEPOSIT, who.sign(digest), digest)
    assert not place.signed_by(who, Roles.CONTROLLER, who.sign(digest), secrets.token_bytes(32))
    assert not place.signed_by(WalletKey(), Roles.CONTROLLER, who.sign(digest), digest)


@pytest.mark.parametrize("role", list(ROLES))
def test_a_delegates_signature_counts_for_its_role_alone(place: Place, role: bytes) -> None:
    who, delegate, digest = WalletKey(), WalletKey(), secrets.token_bytes(32)
    assert not place.signed_by(who, 31, delegate.sign(digest), digest)
    place.society.delegate(who, role, delegate.address)
    for other, bit in ROLES.items():
        assert place.signed_by(who, bit, delegate.sign(digest), digest) == (other == role)
    assert not place.signed_by(who, Roles.CONTROLLER, delegate.sign(digest), digest)
    assert place.chain.ledger.may_act(place.latest, who.address, 31, delegate.address.lower())
    assert not place.chain.ledger.may_act(place.latest, who.address, 31 & ~ROLES[role], delegate.address)


def test_a_delegate_without_any_time_is_none(place: Place) -> None:
    who, delegate, digest = WalletKey(), WalletKey(), secrets.token_bytes(32)
    place.society.delegate(who, b"consent", delegate.address, 0)
    assert not place.signed_by(who, Roles.CONSENT, delegate.sign(digest), digest)


def _high_s(wallet: WalletKey, digest: bytes) -> bytes:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    raw = bytearray(wallet.sign(digest)[1:])
    parity, raw[32] = raw[32] >> 7, raw[32] & 0x7F
    flipped = bytearray((order - int.from_bytes(raw[32:], "big")).to_bytes(32, "big"))
    flipped[0] |= (1 - parity) << 7
    return b"\0" + bytes(raw[:32]) + bytes(flipped)


def test_garbage_is_nobodys_signature(place: Place) -> None:
    wallet, digest = WalletKey(), secrets.token_bytes(32)
    good = wallet.sign(digest)
    bad = [
        b"",
        b"\0",
        b"\1",
        b"\3" + good[1:],
        good[:-1],
        good + b"\0",
        b"\1" + good[1:],
        bytes(65),
        b"\0" + b"\xff" * 64,
    ]
    bad += [_high_s(wallet, digest), b"\2" + bytes.fromhex(wallet.address[2:]) + good, secrets.token_bytes(300)]
    claims = [Claim(who, 31, digest, s) for s in bad for who in (wallet.address, "0x" + "00" * 20)]
    assert place.chain.ledger.signed_by(place.latest, claims) == [False] * len(claims)


def test_a_passkey_signature_that_was_touched_anywhere_is_nobodys(place: Place) -> None:
    who, digest = SoftPasskey("localhost"), secrets.token_bytes(32)
    good = who.sign(digest)
    s = int.from_bytes(good[97:129], "big")
    high = good[:97] + (P256_ORDER - s).to_bytes(32, "big") + good[129:]
    absent = good[:163] + b"\x01" + good[164:]  # user present, not verified
    assert good[163] == 5
    places = [1, 40, 70, 100, 130, 131, 150, 170, len(good) - 80, len(good) - 1]
    bad = [high, absent, good[:-1], *(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in places)]
    claims = [Claim(who.address, 31, digest, signature) for signature in [*bad, good]]
    assert place.chain.ledger.signed_by(place.latest, claims) == [False] * len(bad) + [True]


def test_a_passkey_of_another_page_is_another_identity(place: Place) -> None:
    who, digest = SoftPasskey("localhost", secret=7), secrets.token_bytes(32)
    assert not place.signed_by(who, 0, SoftPasskey("evil.example", secret=7).sign(digest), digest)


def test_a_standing_follows_grants_and_revocations(place: Place) -> None:
    who, society = SoftPasskey("localhost"), place.society
    consent = place.consent(who)
    pair = (consent.subject, typed.struct_hash(consent))
    assert place.chain.ledger.standings(place.latest, [pair]) == [Standing(0, 0, 0, 0)]
    society.grant((consent, who))
    [granted] = place.chain.ledger.standings(place.latest, [pair])
    assert granted.granted_at >= consent.signedAt
    assert (granted.revoked_at, granted.cutoff, granted.frozen_until) == (0, 0, 0)
    society.batch("revokeBatch", [(*pair, society.sign(who, Revoke(*pair)))])
    [revoked] = place.chain.ledger.standings(place.latest, [pair])
    assert revoked.revoked_at >= revoked.granted_at == granted.granted_at
    assert place.reasons(place.job(), (consent, LAB)) == [Reason.REVOKED]


def test_a_revocation_before_its_grant_keeps_the_grant_dead(place: Place) -> None:
    who, society = WalletKey(), place.society
    consent = place.consent(who)
    pair = (consent.subject, typed.struct_hash(consent))
    society.batch("revokeBatch", [(*pair, society.sign(who, Revoke(*pair)))])
    society.grant((consent, who))
    [standing] = place.chain.ledger.standings(place.latest, [pair])
    assert (standing.granted_at, bool(standing.revoked_at)) == (0, True)


def test_a_forged_grant_changes_nothing(place: Place) -> None:
    who, society = WalletKey(), place.society
    consent = place.consent(who)
    pair = (consent.subject, typed.struct_hash(consent))
    society.grant((consent, WalletKey()))
    assert place.chain.ledger.standings(place.latest, [pair]) == [Standing(0, 0, 0, 0)]
    with pytest.raises(RevertedError):
        place.chain.sender.send([Call("ConsentRegistry", "grant", (*pair, society.sign(WalletKey(), consent)))])


def test_cutoff_and_freeze_stand_and_only_grow(place: Place) -> None:
    who, society, now = WalletKey(), place.society, place.latest.timestamp
    subject = who.address.lower()
    for kind, function in ((RevokeAll, "revokeAll"), (Freeze, "freeze")):
        for value in (now + 50, now + 10):
            society.send("ConsentRegistry", function, subject, value, society.sign(who, kind(subject, value)))
    assert place.chain.ledger.standings(place.latest, [(subject, bytes(32))]) == [Standing(0, 0, now + 50, now + 50)]


def test_a_read_at_an_older_block_sees_what_was_then(place: Place) -> None:
    who = WalletKey()
    consent = place.consent(who)
    pair = (consent.subject, typed.struct_hash(consent))
    before = place.latest
    place.society.grant((consent, who))
    place.chain.settle()
    view = place.chain.ledger.view()
    found = [place.chain.ledger.standings(b, [pair])[0].granted_at for b in (before, view.finalized, view.latest)]
    assert found[0] == 0
    assert found[1] == found[2] > 0


def test_a_block_the_node_does_not_have_cannot_be_asked(place: Place) -> None:
    with pytest.raises(UnavailableError):
        place.chain.ledger.may_act(Block(1, b"\7" * 32, 0), "0x" + "11" * 20, 0, "0x" + "11" * 20)


def test_the_view_names_two_blocks_of_this_chain(place: Place) -> None:
    view = place.chain.ledger.view()
    assert view.finalized.number <= view.latest.number
    assert view.finalized.timestamp <= view.latest.timestamp
    assert place.chain.ledger.chain_id == 31337


def test_committees_keys_and_anchors_are_read_as_they_were_written(place: Place) -> None:
    ledger, sender = place.chain.ledger, place.chain.sender
    with pytest.raises(NotFoundError):
        ledger.committee(place.latest, b"\x42" * 32)
    assert ledger.anchor_of(place.latest, "0x" + "42" * 20) == Anchor(bytes(32), 0)
    assert ledger.server_keys(place.latest, "0x" + "42" * 20) == ServerKeys(bytes(32), 0, "", bytes(32))
    before = ledger.server_keys(place.latest, sender.address)
    sender.send([Call("KeyServerRegistry", "announce", (b"\4" * 32, "http://x"))])
    sender.send([Call("KeyServerRegistry", "rotate", (b"key",))])
    keys = ledger.server_keys(place.latest, sender.address)
    assert (keys.checkpoint_key, keys.epoch, keys.endpoint) == (b"\4" * 32, before.epoch + 1, "http://x")
    assert keys.sealing_key_hash == keccak(b"key")
    last = ledger.anchor_of(place.latest, sender.address)
    sender.send([Call("AuditAnchor", "anchor", (last.root, last.size, b"\5" * 32, last.size + 3))])
    assert ledger.anchor_of(place.latest, sender.address) == Anchor(b"\5" * 32, last.size + 3)
    with pytest.raises(RevertedError):
        sender.send([Call("AuditAnchor", "anchor", (last.root, last.size, b"\6" * 32, last.size + 9))])


def test_members_board_and_runner_of_a_study(place: Place) -> None:
    ledger, who = place.chain.ledger, WalletKey().address
    assert ledger.is_member(place.latest, place.study, place.society.lead.address.lower())
    assert not ledger.is_member(place.latest, place.study, who)
    place.society.member(place.study, who)
    assert ledger.is_member(place.latest, place.study, who)
    assert ledger.board_and_runner(place.latest, place.study, place.runner.address) == (place.society.board, True)
    assert ledger.board_and_runner(place.latest, place.study, who) == (place.society.board, False)
    assert ledger.board_and_runner(place.latest, b"\x42" * 32, who) == (bytes(32), False)


def test_check_asks_for_both_signatures_before_anything_else(place: Place) -> None:
    who, lead, society = WalletKey(), place.society.lead, place.society
    consent, job, digest = place.consent(who), place.job(), secrets.token_bytes(32)
    society.grant((consent, who))
    good, release = society.sign(lead, job), place.runner.sign(digest)
    items = [Item(consent, LAB), Item(consent, 2)]

    def check(job_signature: bytes, release_signature: bytes, asked: Job = job) -> list[int]:
        return place.chain.ledger.check(place.latest, Question(asked, job_signature, digest, release_signature), items)

    assert check(good, release) == [Reason.ALLOWED, Reason.CATEGORY]
    assert check(b"\0" * 65, release) == [Reason.JOB_SIGNATURE] * 2
    assert check(good, good) == [Reason.RELEASE_SIGNATURE] * 2
    assert check(good, release, replace(job, purpose=1)) == [Reason.JOB_SIGNATURE] * 2
    login = Login(lead.address, "x", bytes(32), 0)
    assert check(society.sign(lead, login), release) == [Reason.JOB_SIGNATURE] * 2


def test_no_items_are_no_reasons(place: Place) -> None:
    assert place.chain.ledger.review(place.latest, place.job(), []) == []


def test_a_closed_study_is_not_open(place: Place) -> None:
    study = place.society.study(Terms(HEALTH, 0, LAB, 2, (), bytes(32)), FORM)
    consent = place.consent(WalletKey())
    assert place.reasons(place.job(study=study), (consent, LAB)) == [Reason.NO_CONSENT]
    place.society.close(study)
    assert place.reasons(place.job(study=study), (consent, LAB)) == [Reason.STUDY_NOT_OPEN]


def test_more_items_than_one_call_takes_keep_their_order(place: Place) -> None:
    who = WalletKey()
    consent = place.consent(who)
    place.society.grant((consent, who))
    items = [(consent, LAB if n % 3 else 2) for n in range(2_500)]
    expected = [Reason.ALLOWED if n % 3 else Reason.CATEGORY for n in range(2_500)]
    assert place.reasons(place.job(), *items) == expected


def test_the_members_of_a_board(place: Place) -> None:
    ledger = place.chain.ledger
    [member] = ledger.board_members(place.latest, place.society.board)
    assert member.lower() == place.society.judge.address.lower()
    assert ledger.board_members(place.latest, b"\x42" * 32) == ()
