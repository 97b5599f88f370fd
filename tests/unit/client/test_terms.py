# SPDX-License-Identifier: Apache-2.0
"""The patient's side: what she chooses is what she signs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Enrol, Revoke
from consentum.domain.terms import Access, Category, Condition, Purpose
from consentum.errors import MalformedError
from consentum.flow.client import terms
from tests.unit.client.world import DOMAIN, NOW, POLICY, recovered

ALICE = WalletKey()
CHOICE = terms.Choice(
    scope=b"\5" * 32,
    form=b"\6" * 32,
    purposes=Purpose.DISEASE_RESEARCH,
    categories=Category.LABORATORY | Category.NOTES,
    access=Access.COMPUTE,
    expires=NOW + 1_000,
    not_before=NOW + 1,
    conditions=Condition.NON_PROFIT,
    disease=b"\7" * 32,
    epsilon_milli=500,
)


@pytest.mark.parametrize(
    ("chosen", "signed"),
    [
        (Purpose.DISEASE_RESEARCH, Purpose.DISEASE_RESEARCH),
        (Purpose.CLINICAL_CARE, Purpose.CLINICAL_CARE),
        (Purpose.COMMERCIAL, Purpose.COMMERCIAL),
        (Purpose.HEALTH_RESEARCH, Purpose.HEALTH_RESEARCH | Purpose.DISEASE_RESEARCH),
        (
            Purpose.GENERAL_RESEARCH,
            Purpose.GENERAL_RESEARCH
            | Purpose.HEALTH_RESEARCH
            | Purpose.DISEASE_RESEARCH
            | Purpose.POPULATION_ORIGINS
            | Purpose.METHODS_DEVELOPMENT,
        ),
    ],
)
def test_a_purpose_brings_what_duo_puts_under_it_and_nothing_beside_it(chosen: Purpose, signed: Purpose) -> None:
    made = terms.consent(replace(CHOICE, purposes=chosen), POLICY, ALICE.address, NOW, NOW)
    assert made.purposes == int(signed)


@pytest.mark.parametrize("chosen", [p for p in Purpose if p is not Purpose.COMMERCIAL])
def test_no_purpose_but_commercial_use_itself_allows_commercial_use(chosen: Purpose) -> None:
    made = terms.consent(replace(CHOICE, purposes=chosen), POLICY, ALICE.address, NOW, NOW)
    assert not made.purposes & Purpose.COMMERCIAL


def test_a_consent_says_exactly_what_was_chosen() -> None:
    made = terms.consent(CHOICE, POLICY, ALICE.address, NOW, NOW + 60)
    assert (made.subject, made.policy, made.scope, made.form) == (ALICE.address, POLICY, CHOICE.scope, CHOICE.form)
    assert (made.signedAt, made.notBefore, made.expires) == (NOW, NOW + 1, NOW + 1_000)
    assert (made.categories, made.conditions) == (Category.LABORATORY | Category.NOTES, Condition.NON_PROFIT)
    assert (made.access, made.epsilonMilli, made.disease) == (2, 500, b"\7" * 32)


def test_the_same_choice_twice_is_two_commitments_that_nothing_links() -> None:
    made = [terms.consent(CHOICE, POLICY, ALICE.address, NOW, NOW) for _ in range(50)]
    assert len({one.salt for one in made}) == len({typed.struct_hash(one) for one in made}) == 50


@pytest.mark.parametrize("away", [-3_600, -121, 121, 3_600])
def test_a_chain_whose_clock_is_minutes_away_is_refused(away: int) -> None:
    with pytest.raises(MalformedError) as caught:
        terms.consent(CHOICE, POLICY, ALICE.address, NOW + away, NOW)
    assert caught.value.field == "signedAt"


@pytest.mark.parametrize("away", [-120, 0, 120])
def test_a_consent_is_dated_by_the_chain_not_by_the_patients_clock(away: int) -> None:
    assert terms.consent(CHOICE, POLICY, ALICE.address, NOW + away, NOW).signedAt == NOW + away


@pytest.mark.parametrize(
    "signed",
    [
        terms.enrol(DOMAIN, ALICE, "0x" + "Cc" * 20),
        terms.revoke(DOMAIN, ALICE, ALICE.address, b"\1" * 32),
        terms.sign(DOMAIN, terms.consent(CHOICE, POLICY, ALICE.address, NOW, NOW), ALICE),
    ],
)
def test_what_is_signed_is_the_message_under_its_domain(signed: terms.Signed) -> None:
    assert recovered(typed.digest(DOMAIN, signed.message), signed.signature) == ALICE.address.lower()
    assert signed.hash == typed.struct_hash(signed.message)
    elsewhere = replace(DOMAIN, chain_id=1)
    assert recovered(typed.digest(elsewhere, signed.message), signed.signature) != ALICE.address.lower()


def test_an_enrolment_and_a_revocation_name_whom_and_what() -> None:
    enrol = terms.enrol(DOMAIN, ALICE, "0x" + "Cc" * 20).message
    assert isinstance(enrol, Enrol)
    assert (enrol.subject, enrol.custodian) == (ALICE.address.lower(), "0x" + "cc" * 20)
    assert terms.enrol(DOMAIN, ALICE, "0x" + "Cc" * 20).message != enrol
    revoke = terms.revoke(DOMAIN, ALICE, ALICE.address, b"\1" * 32).message
    assert revoke == Revoke(ALICE.address.lower(), b"\1" * 32)
