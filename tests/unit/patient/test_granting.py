# SPDX-License-Identifier: Apache-2.0
"""Granting: what is shown is what is signed; standings come from the chain."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Consent
from consentum.domain.parsing import hexed
from consentum.domain.terms import Access, Category, Purpose
from consentum.errors import CorruptError, MalformedError, NotFoundError, SignatureRefused, UnavailableError
from consentum.flow.client.terms import Choice, in_words
from consentum.ports.chain import Standing
from consentum.sdk import granting
from tests.unit.client.world import NOW, STUDY
from tests.unit.patient.conftest import Home


@pytest.fixture(autouse=True)
def _the_chains_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: float(NOW))


def choice(**changes: Any) -> Choice:
    plain = Choice(
        scope=STUDY,
        form=keccak(b"I agree."),
        purposes=Purpose.HEALTH_RESEARCH,
        categories=Category.LABORATORY,
        access=Access.COMPUTE,
        expires=NOW + 1_000,
    )
    return replace(plain, **changes)


def given(home: Home) -> Consent:
    consent = granting.prepare(home, choice())
    granting.grant(home, consent)
    return consent


def states(home: Home) -> list[str]:
    return [one.state for one in granting.consents(home)[0]]


def test_a_grant_is_queued_and_kept_at_home(home: Home) -> None:
    consent = granting.prepare(home, choice())
    done = granting.grant(home, consent)
    assert done == {"commitment": hexed(typed.struct_hash(consent)), "state": "queued"}
    assert home.gateway.store.opening(typed.struct_hash(consent)) == consent
    assert states(home) == ["not on chain yet"]


@pytest.mark.parametrize(
    ("standing", "state"),
    [
        (Standing(NOW, 0, 0, 0), "active"),
        (Standing(NOW, NOW, 0, 0), "revoked"),
        (Standing(0, NOW, 0, 0), "revoked"),
        (Standing(NOW, 0, NOW, 0), "stopped"),
        (Standing(NOW, 0, 0, NOW + 1), "frozen"),
        (Standing(0, 0, 0, 0), "not on chain yet"),
    ],
)
def test_the_state_is_the_chains(home: Home, standing: Standing, state: str) -> None:
    consent = given(home)
    home.world.ledger.standing[home.connection.identity, typed.struct_hash(consent)] = standing
    assert states(home) == [state]


def test_what_the_gateway_says_about_the_standing_is_not_believed(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    consent = given(home)
    row = {"consent": typed.to_json(consent), "commitment": "0x00", "standing": {"granted_at": NOW}}
    monkeypatch.setattr(home.connection.gateway, "get", lambda *_, **__: {"consents": [row]}, raising=False)
    assert states(home) == ["not on chain yet"]


def test_a_consent_of_somebody_else_that_the_gateway_slips_in_is_left_out(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = home.world.consent(home.world.bob)
    row = {"consent": typed.to_json(other), "commitment": "0x00", "standing": {}}
    monkeypatch.setattr(home.connection.gateway, "get", lambda *_, **__: {"consents": [row]}, raising=False)
    assert states(home) == []


def test_a_consent_she_gave_elsewhere_is_listed_too(home: Home) -> None:
    consent = home.world.consent(home.world.alice)
    home.gateway.store.add_opening(typed.struct_hash(consent), consent)
    [one] = granting.consents(home)[0]
    assert (one.consent, one.sent) == (consent, True)


def test_without_an_answer_it_stays_in_the_book_as_unsure(home: Home) -> None:
    home.down = True
    with pytest.raises(UnavailableError):
        granting.grant(home, granting.prepare(home, choice()))
    [one] = granting.consents(home)[0]
    assert one.sent is False


def test_what_was_refused_is_forgotten(home: Home) -> None:
    home.connection.key = WalletKey()  # type: ignore[misc]
    with pytest.raises(SignatureRefused):
        granting.grant(home, granting.prepare(home, choice()))
    assert home.book.all("consent") == []


def test_a_consent_that_ends_before_it_begins_is_not_prepared(home: Home) -> None:
    with pytest.raises(MalformedError):
        granting.prepare(home, choice(expires=NOW))


def test_a_chain_whose_clock_is_minutes_away_gets_no_consent(home: Home) -> None:
    home.world.ledger.now = NOW + 600
    with pytest.raises(MalformedError):
        granting.prepare(home, choice(expires=NOW + 10_000))


# The form and the scope


def test_the_forms_text_must_fit_its_hash(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    form = keccak(b"I agree.")
    home.gateway.store.add_form(form, "I agree.")
    assert granting.form_text(home, form) == "I agree."
    home.gateway.store.forms[form] = "I agree to everything."  # type: ignore[attr-defined]
    with pytest.raises(CorruptError):
        granting.form_text(home, form)


class _Cards:
    """The gateway's studies, by name or id."""

    def __init__(self, **cards: Any) -> None:
        self._cards = cards

    def get(self, path: str, **_: Any) -> Any:
        name = path.rsplit("/", 1)[1]
        if name not in self._cards:
            raise NotFoundError("no such study", field="study")
        return self._cards[name]


def scope(home: Home, monkeypatch: pytest.MonkeyPatch, text: str, **cards: Any) -> granting.Scope:
    monkeypatch.setattr(home, "client", lambda: _Cards(**cards), raising=False)
    return granting.find_scope(home, text)


def test_a_study_is_found_by_its_name_with_its_forms(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"study": hexed(STUDY), "title": "Diagnosis", "summary": "What for", "forms": [hexed(b"\1" * 32)]}
    found = scope(home, monkeypatch, "diagnosis", diagnosis=card)
    assert (found.id, found.title, found.forms) == (STUDY, "Diagnosis", (b"\1" * 32,))


def test_another_study_under_the_id_asked_for_is_corrupt(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorruptError):
        scope(home, monkeypatch, hexed(STUDY), **{hexed(STUDY): {"study": hexed(bytes(32))}})


def test_an_id_the_gateway_does_not_know_is_taken_as_it_is(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scope(home, monkeypatch, hexed(STUDY)).id == STUDY
    assert scope(home, monkeypatch, "0x" + "aa" * 20).id == bytes(12) + b"\xaa" * 20


def test_a_name_nobody_knows_is_not_found_and_what_is_none_malformed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotFoundError):
        scope(home, monkeypatch, "diagnosis")
    for text in ("", "A study", "../deployment", "0x12"):
        with pytest.raises(MalformedError):
            scope(home, monkeypatch, text)


def test_the_terms_in_words_say_every_term() -> None:
    from consentum.flow.client import terms

    consent = terms.consent(choice(not_before=NOW + 5), "0x" + "d0" * 20, "0x" + "a1" * 20, NOW, NOW)
    assert in_words(consent) == [
        "for: health research, disease research",
        "records: laboratory",
        "they may: compute on them inside an accredited runner; nobody reads them",
        "valid: from 15 January 2027, 08:00 UTC until 15 January 2027, 08:16 UTC",
    ]
