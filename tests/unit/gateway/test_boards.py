# SPDX-License-Identifier: Apache-2.0
"""Boards: one member, one vote; a quorum sends; nobody else's signature makes or moves a motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import AcceptForm, Accredit, Approve, ChangeBoard, Close, Reject, Suspend
from consentum.errors import ConflictError, MalformedError, NotFoundError, NotSponsoredError, SignatureRefused
from consentum.flow.client import boards as client
from consentum.flow.gateway import boards, relay
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Block, Claim
from tests.unit.client.world import StubLedger, World
from tests.unit.gateway.sender import MiningSender
from tests.unit.gateway.society import BOARD, Society

RUNNER = "0x" + "77" * 20


@pytest.fixture
def society(gateway: Gateway) -> Society:
    made = Society(gateway)
    body = made.proposal()
    made.given(body)
    made.proposed(body)
    gateway.store.mark([message.id for message in gateway.store.queued(99)], "mined")
    return made


def accredit(nonce: int = 0) -> Accredit:
    return Accredit(BOARD, RUNNER, 9_999_999_999, nonce)


def test_a_motion_goes_to_the_chain_with_its_quorum_and_not_before(
    gateway: Gateway, society: Society, sender: MiningSender
) -> None:
    first = boards.vote(gateway, society.vote(2, accredit()))
    assert (first["votes"], first["quorum"], first["state"]) == ([society.members[2].address.lower()], 2, "open")
    relay.relay_once(gateway, 100)
    assert sender.sent == []
    second = boards.vote(gateway, society.vote(0, accredit()))
    assert (second["motion"], len(second["votes"]), second["state"]) == (first["motion"], 2, "queued")
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    assert (call.contract, call.function, call.args[:3]) == (
        "StudyRegistry",
        "accredit",
        (BOARD, RUNNER, 9_999_999_999),
    )
    voters = [member for member, _ in call.args[3]]
    assert voters == sorted(society.members[n].address.lower() for n in (0, 2))
    [told] = boards.motions(gateway, hexed(BOARD), society.members[1].address.lower())["motions"]
    assert told["state"] == "mined"


def messages(study: bytes) -> list[Any]:
    return [
        Approve(study, 1, 9_999, 0),
        Reject(study, 1, b"\1" * 32, 0),
        Suspend(study, 0),
        Close(study, 0),
        accredit(),
        AcceptForm(BOARD, b"\2" * 32, True, 0),
        ChangeBoard(BOARD, ("0x" + "01" * 20, "0x" + "02" * 20), 2, 0),
    ]


@pytest.mark.parametrize("number", range(7))
def test_every_kind_of_decision_becomes_the_call_of_its_name(
    gateway: Gateway, society: Society, sender: MiningSender, number: int
) -> None:
    message = messages(society.study)[number]
    for member in (0, 1):
        boards.vote(gateway, society.vote(member, message))
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    name = type(message).__name__
    assert call.function == name[0].lower() + name[1:]
    assert len(call.args[-1]) == 2


def test_a_vote_whose_member_changed_her_key_does_not_keep_the_others_from_deciding(
    gateway: Gateway, society: Society, sender: MiningSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards.vote(gateway, society.vote(0, accredit()))
    gone, asked = society.members[0].address.lower(), StubLedger.signed_by

    def signed_by(ledger: StubLedger, block: Block, claims: Sequence[Claim]) -> list[bool]:
        return [good and c.identity != gone for c, good in zip(claims, asked(ledger, block, claims), strict=True)]

    monkeypatch.setattr(StubLedger, "signed_by", signed_by)
    assert boards.vote(gateway, society.vote(1, accredit()))["state"] == "open"
    assert boards.vote(gateway, society.vote(2, accredit()))["state"] == "queued"
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    assert [member for member, _ in call.args[3]] == sorted(society.members[n].address.lower() for n in (1, 2))


def test_what_the_contract_refused_is_sent_again_with_the_next_vote(gateway: Gateway, society: Society) -> None:
    for member in (0, 1):
        boards.vote(gateway, society.vote(member, accredit()))
    [queued] = gateway.store.queued(9)
    gateway.store.mark([queued.id], "refused")
    assert boards.vote(gateway, society.vote(2, accredit()))["state"] == "queued"


def test_one_member_voting_twice_is_one_vote(gateway: Gateway, society: Society) -> None:
    for _ in range(3):
        told = boards.vote(gateway, society.vote(0, accredit()))
    assert (len(told["votes"]), told["state"]) == (1, "open")


def test_a_vote_of_somebody_who_is_no_member_is_refused_and_makes_no_motion(gateway: Gateway, society: Society) -> None:
    body = client.vote(society.chain.study_domain, WalletKey(), accredit())
    with pytest.raises(SignatureRefused):
        boards.vote(gateway, body)
    assert gateway.studies.motions(BOARD) == []


def test_a_vote_over_another_message_is_refused(gateway: Gateway, society: Society) -> None:
    body = society.vote(0, accredit())
    body["message"] = {**body["message"], "runner": "0x" + "66" * 20}
    with pytest.raises(SignatureRefused):
        boards.vote(gateway, body)


@pytest.mark.parametrize("kind", ["Consent", "Propose", "SetMember", "", None, 7, ["Approve"]])
def test_another_kind_of_message_is_no_motion(gateway: Gateway, society: Society, kind: Any) -> None:
    with pytest.raises(MalformedError):
        boards.vote(gateway, {**society.vote(0, accredit()), "kind": kind})


@pytest.mark.parametrize("nonce", [1, 7])
def test_a_vote_for_a_later_decision_than_the_next_is_refused(gateway: Gateway, society: Society, nonce: int) -> None:
    with pytest.raises(ConflictError, match="next nonce is 0"):
        boards.vote(gateway, society.vote(0, accredit(nonce)))


def test_of_two_motions_at_once_the_second_is_stale_when_the_first_is_carried_out(
    gateway: Gateway, society: Society
) -> None:
    boards.vote(gateway, society.vote(0, accredit()))
    boards.vote(gateway, society.vote(1, Close(society.study, 0)))
    society.board(nonce=1)
    told = boards.motions(gateway, hexed(BOARD), society.members[0].address.lower())["motions"]
    assert [motion["state"] for motion in told] == ["stale", "stale"]
    assert boards.vote(gateway, society.vote(2, accredit()))["votes"] == [society.members[0].address.lower()]
    relayed = [message.kind for message in gateway.store.queued(9)]
    assert relayed == []


def test_a_board_the_gateway_does_not_pay_for_is_told_so_and_nothing_is_kept(
    gateway: Gateway, society: Society
) -> None:
    gateway.sponsorship = replace(gateway.sponsorship, boards=frozenset())
    with pytest.raises(NotSponsoredError):
        boards.vote(gateway, society.vote(0, accredit()))
    assert gateway.studies.motions(BOARD) == []


def test_a_vote_about_a_study_of_another_board_is_refused(gateway: Gateway, society: Society) -> None:
    society.chain.studies[society.study] = replace(society.chain.studies[society.study], board=b"\x0e" * 32)
    with pytest.raises(SignatureRefused):
        boards.vote(gateway, society.vote(0, Approve(society.study, 1, 9_999, 0)))


# Recusal


def test_whoever_recuses_herself_is_shown_and_her_vote_is_not_counted(gateway: Gateway, society: Society) -> None:
    told = boards.vote(gateway, society.vote(0, accredit()))
    her = society.members[0].address.lower()
    after = boards.recuse(gateway, told["motion"], {"motion": told["motion"]}, her)
    assert (after["votes"], after["recused"]) == ([], [her])
    assert boards.vote(gateway, society.vote(1, accredit()))["state"] == "open"
    with pytest.raises(ConflictError):
        boards.vote(gateway, society.vote(0, accredit()))
    assert boards.vote(gateway, society.vote(2, accredit()))["state"] == "queued"


def test_nobody_but_a_member_recuses_herself(gateway: Gateway, society: Society, world: World) -> None:
    told = boards.vote(gateway, society.vote(0, accredit()))
    body = {"motion": told["motion"]}
    for who in (world.alice.address.lower(), society.lead.address.lower()):
        with pytest.raises(NotFoundError):
            boards.recuse(gateway, told["motion"], body, who)
    with pytest.raises(NotFoundError):
        boards.recuse(gateway, "0x" + "00" * 32, {"motion": "0x" + "00" * 32}, society.members[0].address.lower())
    with pytest.raises(MalformedError):
        boards.recuse(gateway, told["motion"], {"motion": "0x" + "00" * 32}, society.members[0].address.lower())
    assert gateway.studies.motion(bytes.fromhex(told["motion"][2:])).recused == ()


def test_a_decided_motion_cannot_be_left_any_more(gateway: Gateway, society: Society) -> None:
    for member in (0, 1):
        told = boards.vote(gateway, society.vote(member, accredit()))
    with pytest.raises(ConflictError):
        boards.recuse(gateway, told["motion"], {"motion": told["motion"]}, society.members[0].address.lower())


@pytest.mark.parametrize("who", ["alice", "researcher", "hospital"])
def test_a_boards_motions_are_its_members_matter(gateway: Gateway, society: Society, world: World, who: str) -> None:
    boards.vote(gateway, society.vote(0, accredit()))
    other = getattr(world, who).address.lower()
    with pytest.raises(NotFoundError) as hers:
        boards.motions(gateway, hexed(BOARD), other)
    with pytest.raises(NotFoundError) as nobodys:
        boards.motions(gateway, "0x" + "00" * 32, other)
    assert str(hers.value) == str(nobodys.value)


# Founding one


def test_a_board_is_created_for_whom_the_gateway_pays(gateway: Gateway, world: World, sender: MiningSender) -> None:
    board, body = client.new_board(["0x" + "02" * 20, "0x" + "01" * 20], 2)
    assert boards.create(gateway, body, world.alice.address.lower())["board"] == hexed(board)
    relay.relay_once(gateway, 100)
    [call] = sender.sent
    assert (call.function, call.args[0], call.args[1]) == ("createBoard", body["members"], 2)


def test_a_board_of_the_settings_is_created_for_anybody_and_no_other_is(gateway: Gateway, world: World) -> None:
    board, body = client.new_board(["0x" + "01" * 20], 1)
    with pytest.raises(NotSponsoredError):
        boards.create(gateway, body, world.researcher.address.lower())
    assert gateway.store.queued(9) == []
    gateway.sponsorship = replace(gateway.sponsorship, boards=frozenset({board}))
    assert boards.create(gateway, body, world.researcher.address.lower())["state"] == "queued"


@pytest.mark.parametrize(
    "change",
    [
        {"members": []},
        {"members": ["0x" + "02" * 20, "0x" + "01" * 20]},
        {"members": ["0x" + "01" * 20, "0x" + "01" * 20]},
        {"members": ["0x01"]},
        {"quorum": 0},
        {"quorum": 2},
        {"quorum": True},
        {"salt": "0x00"},
        {"more": 1},
    ],
)
def test_a_board_that_cannot_be_is_malformed(gateway: Gateway, world: World, change: dict[str, Any]) -> None:
    _, body = client.new_board(["0x" + "01" * 20], 1)
    with pytest.raises(MalformedError):
        boards.create(gateway, {**body, **change}, world.alice.address.lower())
