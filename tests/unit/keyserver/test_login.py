# SPDX-License-Identifier: Apache-2.0
"""Sign-in: a challenge of this origin, once, soon, by who it names or her `assertion` delegate."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.domain.messages import Login
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, SignatureRefused
from consentum.flow import login
from consentum.flow.login import LoginDesk, bearer
from tests.unit.keyserver.world import World

ORIGIN = "http://localhost:8101"


@pytest.fixture
def desk(world: World) -> LoginDesk:
    return LoginDesk(world.ledger, world.domain, ORIGIN, world.clock.utc)


def signed(world: World, desk: LoginDesk, by: Signer | None = None, **changes: Any) -> dict[str, Any]:
    given = desk.challenge()
    values = {
        "who": world.patient.address.lower(),
        "origin": given["origin"],
        "challenge": bytes.fromhex(given["challenge"][2:]),
        "expires": given["expires"],
    }
    made = Login(**{**values, **changes})
    return {"login": typed.to_json(made), "signature": hexed(world.sign(by or world.patient, made))}


def refused(desk: LoginDesk, body: dict[str, Any], where: str) -> None:
    with pytest.raises(SignatureRefused) as caught:
        desk.open(body)
    assert caught.value.field == where


def test_a_passkey_signs_in_and_the_session_names_her(world: World, desk: LoginDesk) -> None:
    session = desk.open(signed(world, desk))
    assert desk.who(session["token"]) == world.patient.address.lower()


def test_an_assertion_delegate_signs_in_for_her(world: World, desk: LoginDesk) -> None:
    world.delegate(world.patient, b"assertion", world.stranger)
    assert desk.open(signed(world, desk, by=world.stranger))


@pytest.mark.parametrize("role", [b"consent", b"guardian", b"deposit", b"recovery"])
def test_no_other_delegate_signs_in_for_her(world: World, desk: LoginDesk, role: bytes) -> None:
    world.delegate(world.patient, role, world.stranger)
    refused(desk, signed(world, desk, by=world.stranger), "signature")


def test_a_stranger_does_not_sign_in(world: World, desk: LoginDesk) -> None:
    refused(desk, signed(world, desk, by=world.stranger), "signature")


@pytest.mark.parametrize("origin", ["http://localhost:8102", ORIGIN + "/", ORIGIN.upper(), ""])
def test_a_login_for_another_origin_is_refused(world: World, desk: LoginDesk, origin: str) -> None:
    refused(desk, signed(world, desk, origin=origin), "origin")


def test_a_challenge_can_be_used_once(world: World, desk: LoginDesk) -> None:
    body = signed(world, desk)
    desk.open(body)
    refused(desk, body, "challenge")


def test_a_challenge_that_failed_cannot_be_used_again(world: World, desk: LoginDesk) -> None:
    body = signed(world, desk)
    refused(desk, {**body, "signature": "0x00" + "11" * 64}, "signature")
    refused(desk, body, "challenge")


def test_a_challenge_nobody_gave_is_refused(world: World, desk: LoginDesk) -> None:
    refused(desk, signed(world, desk, challenge=bytes(32)), "challenge")


def test_another_services_challenge_is_refused(world: World, desk: LoginDesk) -> None:
    other = LoginDesk(world.ledger, world.domain, ORIGIN, world.clock.utc)
    refused(other, signed(world, desk), "challenge")


def test_an_old_challenge_is_refused(world: World, desk: LoginDesk) -> None:
    body = signed(world, desk, expires=int(world.clock.utc()) + 400)
    world.clock.ahead = 301
    refused(desk, body, "challenge")


def test_an_expired_login_is_refused(world: World, desk: LoginDesk) -> None:
    body = signed(world, desk)
    world.clock.ahead = 300
    refused(desk, body, "expires")


def test_a_login_that_lasts_too_long_is_refused(world: World, desk: LoginDesk) -> None:
    refused(desk, signed(world, desk, expires=int(world.clock.utc()) + 301), "expires")


def test_a_session_expires(world: World, desk: LoginDesk) -> None:
    token = desk.open(signed(world, desk))["token"]
    world.clock.ahead = 899
    assert desk.who(token)
    world.clock.ahead = 900
    with pytest.raises(SignatureRefused):
        desk.who(token)


def test_a_token_nobody_gave_is_refused(desk: LoginDesk) -> None:
    with pytest.raises(SignatureRefused):
        desk.who("x" * 43)


def test_used_challenges_stay_used_however_many_there_are(world: World, desk: LoginDesk) -> None:
    first = signed(world, desk)
    desk.open(first)
    for _ in range(4):
        desk.open(signed(world, desk))
    refused(desk, first, "challenge")


def test_what_has_expired_is_not_kept() -> None:
    now = [0.0]
    once = login.Once(lambda: now[0])
    assert once(b"1")
    assert not once(b"1")
    now[0] = 2 * login.CHALLENGE_SECONDS
    assert once(b"2")
    assert set(once._used) == {b"2"}


def test_workers_that_share_a_key_take_each_others_sessions_but_a_challenge_once(world: World) -> None:
    used: set[bytes] = set()

    def spend(challenge: bytes) -> bool:
        first = challenge not in used
        used.add(challenge)
        return first

    one, two = (LoginDesk(world.ledger, world.domain, ORIGIN, world.clock.utc, b"k" * 32, spend) for _ in range(2))
    body = signed(world, one)
    assert one.who(two.open(body)["token"]) == world.patient.address.lower()
    refused(one, body, "challenge")


def test_no_bit_of_a_session_can_be_changed(world: World, desk: LoginDesk) -> None:
    raw = base64.urlsafe_b64decode(desk.open(signed(world, desk))["token"])
    for place in (0, 19, 20, 25, 31, 32, 47):
        bad = raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]
        with pytest.raises(SignatureRefused):
            desk.who(base64.urlsafe_b64encode(bad).decode())


def test_a_challenge_is_no_session_and_a_session_no_challenge(world: World, desk: LoginDesk) -> None:
    token = desk.open(signed(world, desk))["token"]
    refused(desk, signed(world, desk, challenge=base64.urlsafe_b64decode(token)[:32]), "challenge")
    challenge = bytes.fromhex(desk.challenge()["challenge"][2:])
    with pytest.raises(SignatureRefused):
        desk.who(base64.urlsafe_b64encode(challenge + bytes(16)).decode())


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Bearer " + "x" * 129, "abc"])
def test_a_header_that_is_no_bearer_token_is_refused(header: str) -> None:
    with pytest.raises(MalformedError):
        bearer(header)


def test_no_header_means_sign_in_first() -> None:
    with pytest.raises(SignatureRefused):
        bearer(None)
    assert bearer("bearer abc") == "abc"
