# SPDX-License-Identifier: Apache-2.0
"""A session that ended is renewed once, for a request that takes longer than a session lasts."""

from __future__ import annotations

import pytest

from consentum.errors import NotFoundError, SignatureRefused
from tests.unit.client.world import DOMAIN
from tests.unit.patient.conftest import Home


def test_a_session_that_the_gateway_forgot_is_renewed(home: Home) -> None:
    client = home.connection.gateway
    client._headers = {"Authorization": "Bearer forgotten"}
    assert client.get("/v1/records", subject=home.connection.identity) == {"records": []}


def test_a_gateway_that_forgets_every_session_does_not_keep_us(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    client, calls = home.connection.gateway, []

    def forgetful(signer: object, domain: object) -> None:
        calls.append(1)
        client._headers = {"Authorization": "Bearer forgotten"}

    monkeypatch.setattr(client, "sign_in", forgetful)
    client._headers = {"Authorization": "Bearer forgotten"}
    with pytest.raises(SignatureRefused):
        client.get("/v1/records", subject=home.connection.identity)
    assert calls == [1]


def test_a_refusal_for_another_reason_signs_in_nowhere(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    client = home.connection.gateway
    monkeypatch.setattr(client, "sign_in", lambda *_: pytest.fail("signed in again"))
    with pytest.raises(NotFoundError):
        client.get("/v1/records", subject=home.world.bob.address)


def test_who_never_signed_in_is_refused(home: Home) -> None:
    client = home.client()
    with pytest.raises(SignatureRefused):
        client.get("/v1/records", subject=home.connection.identity)
    client.sign_in(home.connection.key, DOMAIN)
    assert client.get("/v1/records", subject=home.connection.identity) == {"records": []}
