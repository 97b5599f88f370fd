# SPDX-License-Identifier: Apache-2.0
"""Studies: a card is words about what the chain holds; only the lead adds to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.errors import (
    ConflictError,
    MalformedError,
    NotFoundError,
    NotSponsoredError,
    Reason,
    RefusedError,
    SignatureRefused,
)
from consentum.flow.client import boards as client
from consentum.flow.gateway import relay, studies
from consentum.flow.gateway.gateway import Gateway
from tests.unit.client.world import World
from tests.unit.gateway.sender import MiningSender
from tests.unit.gateway.society import BOARD, FORM, TERMS, WORDS, Society


@pytest.fixture
def society(gateway: Gateway) -> Society:
    return Society(gateway)


@pytest.fixture
def study(gateway: Gateway, society: Society) -> str:
    """Proposed, and on chain as approved in version 1."""
    body = society.proposal()
    study = society.given(body)["study"]
    society.proposed(body, "approved", version=1)
    society.chain.approved.add((society.study, keccak(FORM.encode())))
    gateway.store.mark([message.id for message in gateway.store.queued(99)], "mined")
    return str(study)


def test_a_proposal_is_kept_with_its_forms_and_goes_to_the_chain(
    gateway: Gateway, society: Society, sender: MiningSender
) -> None:
    told = society.given(society.proposal())
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    assert (call.function, call.args[0], call.args[1]) == ("propose", society.lead.address.lower(), BOARD)
    assert gateway.store.form(keccak(FORM.encode())) == FORM
    shown = studies.show(gateway, WORDS["name"])
    assert (shown["study"], shown["title"], shown["status"]) == (told["study"], WORDS["title"], "none")
    assert studies.show(gateway, told["study"]) == shown


def test_what_a_card_shows_is_what_the_chain_holds(gateway: Gateway, society: Society, study: str) -> None:
    shown = studies.show(gateway, study)
    assert (shown["status"], shown["version"], shown["approvedUntil"]) == ("approved", 1, 9)
    assert shown["forms"] == [hexed(keccak(FORM.encode()))]
    assert shown["members"] == [society.lead.address.lower()]
    society.chain.studies[society.study] = replace(society.chain.studies[society.study], status="closed")
    society.chain.approved.clear()
    shown = studies.show(gateway, study)
    assert (shown["status"], shown["forms"]) == ("closed", [])
    assert [one["study"] for one in studies.listed(gateway)["studies"]] == [study]


def test_a_name_is_one_studys(gateway: Gateway, society: Society, study: str) -> None:
    with pytest.raises(ConflictError) as caught:
        society.given(society.proposal())
    assert caught.value.field == "name"
    assert gateway.store.queued(9) == []
    assert society.given(society.proposal(name="another-name"))["study"] != study


@pytest.mark.parametrize("name", ["", "ab", "1ab", "-ab", "Abc", "a b", "a_b", "a" * 65, "0x" + "00" * 32, 7, None])
def test_a_name_that_is_no_slug_is_malformed(gateway: Gateway, society: Society, name: Any) -> None:
    with pytest.raises(MalformedError):
        society.given(society.proposal(name=name))


@pytest.mark.parametrize(
    "change",
    [
        {"forms": []},
        {"forms": ["another text"]},
        {"forms": [FORM, "another text"]},
        {"forms": [7]},
        {"title": ""},
        {"title": "x" * 201},
        {"summary": None},
        {"more": 1},
    ],
)
def test_a_card_that_cannot_be_is_malformed_and_not_kept(
    gateway: Gateway, society: Society, change: dict[str, Any]
) -> None:
    with pytest.raises(MalformedError):
        society.given(society.proposal(**change))
    assert gateway.studies.cards() == []


def test_a_proposal_somebody_else_signed_is_refused(gateway: Gateway, society: Society) -> None:
    with pytest.raises(SignatureRefused):
        society.given(society.proposal(signature=hexed(WalletKey().sign(b"\1" * 32))))
    assert gateway.studies.cards() == []


def test_a_proposal_is_paid_for_by_its_board_or_for_its_lead(gateway: Gateway, society: Society, world: World) -> None:
    with pytest.raises(NotSponsoredError):
        society.given(society.proposal(board=b"\x0e" * 32))
    assert gateway.studies.cards() == []
    assert society.given(society.proposal(lead=world.alice, board=b"\x0e" * 32))


def test_a_study_that_is_on_chain_gets_its_card_and_nothing_is_sent(gateway: Gateway, society: Society) -> None:
    body = society.proposal(board=b"\x0e" * 32)
    society.proposed(body)
    society.given(body)
    assert gateway.store.queued(9) == []
    assert len(gateway.studies.cards()) == 1


# What the lead signs


def amended(society: Society, version: int = 2, lead: WalletKey | None = None) -> dict[str, Any]:
    of = (society.study, version)
    signed = client.amend(society.chain.study_domain, lead or society.lead, of, TERMS, ["New form."])
    return {**client.lead_body(signed), "forms": ["New form."]}


def membership(society: Society, nonce: int = 0, lead: WalletKey | None = None) -> dict[str, Any]:
    of = (society.study, nonce)
    return client.lead_body(
        client.set_member(society.chain.study_domain, lead or society.lead, of, "0x" + "99" * 20, True)
    )


def test_an_amendment_waits_for_the_board_beside_the_approved_version(
    gateway: Gateway, society: Society, study: str, sender: MiningSender
) -> None:
    assert studies.amend(gateway, study, amended(society))["state"] == "queued"
    relay.relay_once(gateway, 100)
    assert [call.function for call in sender.sent] == ["amend"]
    assert len(sender.sent[0].args) == 4  # the contract counts versions itself
    society.chain.studies[society.study] = replace(society.chain.studies[society.study], proposed=2)
    society.chain.versions[society.study, 2] = TERMS
    shown = studies.show(gateway, study)
    assert (shown["version"], shown["proposed"]["version"]) == (1, 2)
    assert shown["proposed"]["forms"] == [hexed(keccak(b"New form."))]
    assert shown["forms"] == [hexed(keccak(FORM.encode()))]


@pytest.mark.parametrize("version", [1, 3, 0])
def test_an_amendment_of_another_version_than_the_next_is_refused(
    gateway: Gateway, society: Society, study: str, version: int
) -> None:
    with pytest.raises(ConflictError):
        studies.amend(gateway, study, amended(society, version))


def test_members_go_to_the_chain_in_the_order_of_the_leads_nonces(
    gateway: Gateway, society: Society, study: str, sender: MiningSender
) -> None:
    studies.set_member(gateway, study, membership(society, 1))
    relay.relay_once(gateway, 100)
    assert sender.sent == []  # its turn has not come
    studies.set_member(gateway, study, membership(society, 0))
    relay.relay_once(gateway, 100)
    assert len(sender.sent) == 1
    facts = society.chain.studies[society.study]
    society.chain.studies[society.study] = replace(facts, lead_nonce=1)
    relay.relay_once(gateway, 100)
    assert [call.function for call in sender.sent] == ["setMember", "setMember"]
    assert gateway.store.queued(9) == []


def test_a_member_is_shown_when_the_chain_says_so(gateway: Gateway, society: Society, study: str) -> None:
    studies.set_member(gateway, study, membership(society))
    assert studies.show(gateway, study)["members"] == [society.lead.address.lower()]
    society.chain.allowed.add((society.study, "0x" + "99" * 20))
    assert studies.show(gateway, study)["members"][1:] == ["0x" + "99" * 20]


def test_a_spent_nonce_is_refused(gateway: Gateway, society: Society, study: str) -> None:
    facts = society.chain.studies[society.study]
    society.chain.studies[society.study] = replace(facts, lead_nonce=1)
    with pytest.raises(ConflictError, match="next is 1"):
        studies.set_member(gateway, study, membership(society, 0))


def test_nobody_but_the_lead_amends_names_members_or_withdraws(
    gateway: Gateway, society: Society, study: str, world: World
) -> None:
    other = WalletKey()
    withdrawal = client.lead_body(client.withdraw(society.chain.study_domain, other, (society.study, 0)))
    for act, body in (
        (studies.amend, amended(society, lead=other)),
        (studies.set_member, membership(society, lead=other)),
        (studies.withdraw, withdrawal),
    ):
        with pytest.raises(SignatureRefused):
            act(gateway, study, body)
    assert gateway.store.queued(9) == []


def test_a_message_about_another_study_is_malformed(gateway: Gateway, society: Society, study: str) -> None:
    society.study = b"\1" * 32
    with pytest.raises(MalformedError):
        studies.set_member(gateway, study, membership(society))


def test_a_closed_study_takes_nothing_more(gateway: Gateway, society: Society, study: str) -> None:
    society.chain.studies[society.study] = replace(society.chain.studies[society.study], status="closed")
    with pytest.raises(ConflictError):
        studies.set_member(gateway, study, membership(society))


@pytest.mark.parametrize("name", ["no-such-study", "0x" + "00" * 32])
def test_a_study_without_a_card_is_not_found(gateway: Gateway, society: Society, name: str) -> None:
    with pytest.raises(NotFoundError):
        studies.show(gateway, name)


def test_the_client_knows_as_the_contract_does_what_widens() -> None:
    assert not client.widens(TERMS, TERMS)
    assert not client.widens(TERMS, replace(TERMS, conditions=1, access=1))
    for change in ({"purposes": TERMS.purposes | 1 << 40}, {"categories": TERMS.categories | 1 << 40}, {"access": 3}):
        assert client.widens(TERMS, replace(TERMS, **change))
    assert client.widens(replace(TERMS, conditions=1), TERMS)
    assert client.widens(TERMS, replace(TERMS, diseases=(b"\1" * 32,)))


# Strangers


def test_only_the_lead_gives_a_card_though_anybody_can_read_a_proposal_on_chain(
    gateway: Gateway, society: Society, world: World
) -> None:
    body = society.proposal(summary="Nothing to worry about.")
    society.proposed(body)
    with pytest.raises(SignatureRefused) as caught:
        studies.propose(gateway, body, world.bob.address.lower())
    assert caught.value.field == "propose"
    assert gateway.studies.cards() == []


def test_strangers_do_not_spend_the_account_by_proposing_to_a_board_that_is_paid_for(
    gateway: Gateway, society: Society, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "STRANGERS_PER_DAY", 2)
    for number in range(2):
        society.given(society.proposal(lead=WalletKey(), name=f"study-{number}"))
    with pytest.raises(RefusedError) as caught:
        society.given(society.proposal(lead=WalletKey(), name="study-2"))
    assert caught.value.reason == Reason.LIMIT
    assert len(gateway.store.queued(9)) == len(gateway.studies.cards()) == 2
    society.given(society.proposal(lead=world.alice, name="alices-study"))


def test_nor_by_messages_about_one_study(
    gateway: Gateway, society: Society, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(studies, "STRANGERS_PER_DAY", 1)
    studies.set_member(gateway, study, membership(society))
    with pytest.raises(RefusedError):
        studies.set_member(gateway, study, membership(society, nonce=1))
