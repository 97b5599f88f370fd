# SPDX-License-Identifier: Apache-2.0
"""One-time codes: what is typed wrongly, used, expired or somebody else's links nobody."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest

from consentum.crypto.signing import WalletKey
from consentum.domain.invites import Invite, parse_invite, patient_ref
from consentum.errors import ConflictError, InviteError, MalformedError
from consentum.flow.client import custody
from tests.unit.client.world import NOW
from tests.unit.custody.conftest import GATEWAY, Ward

INVITE = Invite(bytes(range(16)), "0x" + "c3" * 20, "https://gateway.example:8443", NOW)


# The text


def test_the_text_is_the_frozen_one_and_leads_back() -> None:
    text = INVITE.to_text()
    assert text == (
        "CONSENTUM-INVITE:AEAAC-AQDAQ-CQMBY-IBEFA-WDANB-YH4HQ-6DYPB-4HQ6D-YPB4H-Q6DYP-B4"
        "HQ6-DYPBQ-A22J2-IAGQ5-DUOBZ-TULZP-M5QXI-ZLXMF-4S4ZL-YMFWX-A3DFH-I4DIN-BTMH5-V63Y"
    )
    assert parse_invite(text) == INVITE


@pytest.mark.parametrize("change", [str.lower, str.upper, lambda t: t.replace("-", " "), lambda t: f"\n {t} \n"])
def test_case_spaces_and_dashes_do_not_matter(change: object) -> None:
    prefix, letters = INVITE.to_text().split(":")
    assert parse_invite(prefix + ":" + change(letters)) == INVITE  # type: ignore[operator]


def test_digits_that_look_like_letters_are_taken_for_them() -> None:
    prefix, letters = INVITE.to_text().split(":")
    assert parse_invite(prefix + ":" + letters.replace("O", "0").replace("I", "1").replace("B", "8")) == INVITE


def test_every_single_wrong_letter_is_noticed() -> None:
    prefix, letters = INVITE.to_text().split(":")
    for place, letter in enumerate(letters):
        if letter == "-":
            continue
        other = "A" if letter != "A" else "C"
        with pytest.raises(InviteError) as caught:
            parse_invite(f"{prefix}:{letters[:place]}{other}{letters[place + 1 :]}")
        assert caught.value.code in ("INVITE_MISTYPED", "INVITE_FOREIGN")


@pytest.mark.parametrize(
    "text",
    ["", "consentum-invite:", "https://example.org", INVITE.to_text()[:-3], INVITE.to_text() + "A" * 8, "x" * 2_000],
)
def test_what_is_no_invite_is_mistyped(text: str) -> None:
    with pytest.raises(InviteError) as caught:
        parse_invite(text)
    assert caught.value.code == "INVITE_MISTYPED"


@pytest.mark.parametrize("gateway", ["ftp://gateway.example", "", "https://" + "x" * 300])
def test_an_invite_to_what_is_no_gateway_is_foreign(gateway: str) -> None:
    with pytest.raises(InviteError) as caught:
        parse_invite(replace(INVITE, gateway=gateway).to_text())
    assert caught.value.code == "INVITE_FOREIGN"


def test_the_code_is_not_in_an_invites_representation() -> None:
    assert "code" not in repr(INVITE)


def test_the_reference_is_bound_to_code_custodian_and_subject() -> None:
    alice, bob = "0x" + "a1" * 20, "0x" + "b2" * 20
    other = "0x" + "d4" * 20
    references = {
        patient_ref(code, custodian, subject)
        for code in (INVITE.code, bytes(16))
        for custodian in (INVITE.custodian, other)
        for subject in (alice, bob)
    }
    assert len(references) == 8


# Taking in


def test_who_accepted_an_invite_is_linked_to_its_number(ward: Ward) -> None:
    alice = ward.world.alice
    taken = ward.take_in(ward.enrol(ward.invite("4711"), alice))
    assert (taken.linked, taken.turned, taken.strangers) == (1, (), 0)
    [patient] = ward.book.patients()
    assert (patient.number, patient.subject) == ("4711", alice.address.lower())
    assert [custody.standing_of(one, NOW) for one in ward.book.invites()] == ["accepted"]


def test_the_same_enrolment_again_changes_nothing(ward: Ward) -> None:
    enrolment = ward.enrol(ward.invite("4711"), ward.world.alice)
    ward.take_in(enrolment)
    assert ward.take_in(enrolment) == custody.TakenIn(0, (), 0)


def turned(ward: Ward, *enrolments: object) -> list[str]:
    """The codes of what was refused; nobody is linked by it."""
    before = ward.book.patients()
    found = ward.take_in(*enrolments)  # type: ignore[arg-type]
    assert ward.book.patients() == before
    return [one.code for one in found.turned]


def test_a_code_used_twice_is_used_for_the_second(ward: Ward) -> None:
    invite = ward.invite("4711")
    ward.take_in(ward.enrol(invite, ward.world.alice))
    assert turned(ward, ward.enrol(invite, ward.world.bob)) == ["INVITE_USED"]


def test_a_code_that_two_used_at_once_is_nobodys(ward: Ward) -> None:
    invite = ward.invite("4711")
    both = [ward.enrol(invite, who) for who in (ward.world.alice, ward.world.bob)]
    assert turned(ward, *both) == ["INVITE_USED", "INVITE_USED"]
    assert ward.take_in(ward.enrol(ward.invite("4711"), ward.world.alice)).linked == 1


def test_an_expired_code_links_nobody(ward: Ward) -> None:
    assert turned(ward, ward.enrol(ward.invite("4711", expires=NOW), ward.world.alice)) == ["INVITE_EXPIRED"]
    assert [custody.standing_of(one, NOW) for one in ward.book.invites()] == ["expired"]


def test_an_enrolment_signed_by_another_links_nobody(ward: Ward) -> None:
    forged = ward.enrol(ward.invite("4711"), ward.world.alice, signer=ward.world.bob)
    assert turned(ward, forged) == ["SIGNATURE"]


def test_an_enrolment_under_no_code_is_a_strangers(ward: Ward) -> None:
    ward.invite("4711")
    foreign = Invite(secrets.token_bytes(16), ward.custodian, GATEWAY, NOW + 1_000)
    assert ward.take_in(ward.enrol(foreign, ward.world.alice)) == custody.TakenIn(0, (), 1)


def test_an_enrolment_copied_for_another_subject_is_a_strangers(ward: Ward) -> None:
    real = ward.enrol(ward.invite("4711"), ward.world.alice)
    thief = ward.world.bob
    copied = replace(real, enrol=replace(real.enrol, subject=thief.address.lower()))
    assert ward.take_in(copied) == custody.TakenIn(0, (), 1)


def test_a_number_with_a_patient_gets_no_second_invite(ward: Ward) -> None:
    ward.patient("4711", ward.world.alice)
    with pytest.raises(ConflictError) as caught:
        ward.invite("4711")
    assert caught.value.field == "number"


def test_a_new_invite_replaces_the_open_one(ward: Ward) -> None:
    first, second = ward.invite("4711"), ward.invite("4711")
    assert turned(ward, ward.enrol(first, ward.world.bob)) == ["INVITE_USED"]
    assert ward.take_in(ward.enrol(second, ward.world.alice)).linked == 1
    assert [one.state for one in ward.book.invites()] == ["replaced", "used"]


def test_a_second_subject_for_a_number_that_has_one_is_refused_under_any_code(ward: Ward) -> None:
    old = ward.invite("4711")
    ward.patient("4711", ward.world.alice)
    assert turned(ward, ward.enrol(old, ward.world.bob)) == ["TWO_PATIENTS_ONE_NUMBER"]


def test_one_patient_with_two_numbers_stays_with_her_first(ward: Ward) -> None:
    ward.patient("4711", ward.world.alice)
    assert turned(ward, ward.enrol(ward.invite("4712"), ward.world.alice)) == ["ONE_PATIENT_TWO_NUMBERS"]
    # The invite is not used up by it: the right patient can still accept it.
    assert custody.standing_of(ward.book.invites()[1], NOW) == "open"


def test_two_patients_under_one_number_are_refused_by_the_book_itself(ward: Ward) -> None:
    invite = ward.invite("4711")
    ward.patient("4712", WalletKey())
    ward.book.link(invite.code, ward.enrol(invite, ward.world.alice))
    for who, field in ((ward.world.bob, "invite"), (ward.world.alice, "invite")):
        with pytest.raises(ConflictError) as caught:
            ward.book.link(invite.code, ward.enrol(invite, who))
        assert caught.value.field == field
    assert len(ward.book.patients()) == 2


@pytest.mark.parametrize("number", ["", "  ", "x" * 65, "47\n11", "47\x1b[2J"])
def test_what_is_no_number_gets_no_invite(ward: Ward, number: str) -> None:
    with pytest.raises(MalformedError):
        ward.invite(number)
    assert ward.book.invites() == []


def test_the_book_is_its_owners_alone(ward: Ward) -> None:
    assert (ward.folder / "custodian.db").stat().st_mode & 0o777 == 0o600
