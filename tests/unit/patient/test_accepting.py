# SPDX-License-Identifier: Apache-2.0
"""Accepting an invite: each code that cannot be used has its own refusal, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto.signing import WalletKey
from consentum.domain.invites import patient_ref
from consentum.errors import InviteError, SignatureRefused, UnavailableError
from consentum.sdk import enrolling
from tests.unit.client.world import NOW
from tests.unit.patient.conftest import Home


def refused(home: Home, text: str) -> str:
    with pytest.raises(InviteError) as caught:
        enrolling.accept(home, enrolling.check(home, text))
    assert home.handed_in() == 0
    return caught.value.code


def test_an_invite_becomes_an_enrolment_that_only_its_code_explains(home: Home) -> None:
    invite = home.invite()
    done = enrolling.accept(home, enrolling.check(home, invite.to_text()))
    assert (done.custodian, done.recognised) == (invite.custodian, False)
    kept = home.gateway.enrolments.find(done.enrolment)
    assert kept is not None
    assert kept.enrol.patientRef == patient_ref(invite.code, invite.custodian, home.connection.identity)
    [row] = enrolling.enrolments(home)
    assert row["arrived"] is True


def test_a_code_accepted_here_is_used(home: Home) -> None:
    text = home.invite().to_text()
    enrolling.accept(home, enrolling.check(home, text))
    with pytest.raises(InviteError) as caught:
        enrolling.check(home, text)
    assert caught.value.code == "INVITE_USED"
    assert home.handed_in() == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": NOW}, "INVITE_EXPIRED"),
        ({"gateway": "https://elsewhere.example"}, "INVITE_FOREIGN"),
        ({"custodian": "0x" + "77" * 20}, "INVITE_FOREIGN"),
    ],
)
def test_an_expired_or_foreign_code_is_refused_and_nothing_is_kept(
    home: Home, changes: dict[str, Any], code: str
) -> None:
    assert refused(home, home.invite(**changes).to_text()) == code
    assert enrolling.enrolments(home) == []


def test_a_code_that_the_gateway_knows_no_invite_of_is_open_no_more(home: Home) -> None:
    text = home.invite().to_text()
    home.gateway.enrolments.tickets.clear()  # type: ignore[attr-defined]
    assert refused(home, text) == "INVITE_EXPIRED"
    assert enrolling.enrolments(home) == []


def test_a_mistyped_code_is_refused(home: Home) -> None:
    text = home.invite().to_text()
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    assert refused(home, wrong) == "INVITE_MISTYPED"


def test_without_an_answer_the_same_enrolment_is_sent_again(home: Home) -> None:
    invite = home.invite()
    home.down = True
    with pytest.raises(UnavailableError):
        enrolling.accept(home, enrolling.check(home, invite.to_text()))
    [before] = enrolling.enrolments(home)
    assert before["arrived"] is False
    home.down = False
    done = enrolling.accept(home, enrolling.check(home, invite.to_text()))
    [after] = enrolling.enrolments(home)
    assert (after["enrol"], after["arrived"]) == (before["enrol"], True)
    assert home.gateway.enrolments.find(done.enrolment) is not None


def test_a_key_that_may_not_act_for_the_identity_leaves_nothing(home: Home) -> None:
    home.connection.key = WalletKey()  # type: ignore[misc]
    invite = home.invite()
    with pytest.raises(SignatureRefused):
        enrolling.accept(home, invite)
    assert enrolling.enrolments(home) == []


def test_two_homes_under_one_code_make_two_references(home: Home) -> None:
    """Which is why the custodian, and only the custodian, sees that a code was used twice."""
    invite = home.invite()
    first = enrolling.accept(home, invite)
    home.connection.identity = home.world.bob.address.lower()  # type: ignore[misc]
    home.connection.key = home.world.bob  # type: ignore[misc]
    home.book = replace_book(home)
    second = enrolling.accept(home, replace(invite))
    assert first.enrolment != second.enrolment


def replace_book(home: Home) -> Any:
    from consentum.adapters.store.home import HomeFile

    return HomeFile(home.connection.home / "other.db")
