# SPDX-License-Identifier: Apache-2.0
"""Delegates, guardians, recovery: what is signed, for which identity, under which nonce; votes gathered in a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.parsing import as_bytes
from consentum.domain.registry_messages import ProposeOwner
from consentum.errors import ConflictError, MalformedError, SettingsError
from consentum.ports.registries import IdentityFacts
from consentum.sdk import helpers
from tests.unit.client.world import recovered

DID = Domain(31337, "0x" + "dd" * 20)
ANNA = "0x" + "a1" * 20
FRIEND = "0x" + "b2" * 20


class Identities:
    """The registry: everybody's nonce and recovery threshold."""

    def __init__(self, nonce: int = 4, threshold: int = 2) -> None:
        self.number, self.threshold = nonce, threshold

    def identity(self, identity: str) -> IdentityFacts:
        return IdentityFacts(identity, self.number, self.threshold)


@dataclass
class StandIn:
    """A gateway that takes everything and remembers it."""

    url: str = ""
    got: list[tuple[str, Any]] = field(default_factory=list)


@pytest.fixture
def gateway() -> Iterator[StandIn]:
    made = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.got.append((self.path, body))
            answer = json.dumps({"id": "0x00", "state": "queued"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}"
    yield made
    server.shutdown()
    server.server_close()


def identity(gateway: StandIn, key: WalletKey, of: str = ANNA, registry: Identities | None = None) -> helpers.Identity:
    connection = SimpleNamespace(
        identity=of,
        key=key,
        settings=SimpleNamespace(gateway=gateway.url),
        deployment=SimpleNamespace(did_domain=DID),
        registries=registry or Identities(),
    )
    return helpers.Identity(connection)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("act", "kind", "fields"),
    [
        (
            lambda w: helpers.add_delegate(w, "guardian", FRIEND, 2),
            "AddDelegate",
            {"delegateType": "0x" + b"guardian".ljust(32, b"\0").hex(), "delegate": FRIEND, "validity": 172_800},
        ),
        (
            lambda w: helpers.remove_delegate(w, "deposit", FRIEND),
            "RevokeDelegate",
            {"delegateType": "0x" + b"deposit".ljust(32, b"\0").hex(), "delegate": FRIEND},
        ),
        (lambda w: helpers.set_recovery(w, 2), "SetRecovery", {"threshold": 2}),
        (helpers.cancel, "CancelOwner", {}),
    ],
    ids=["add", "remove", "recovery", "cancel"],
)
def test_a_change_is_signed_for_the_identity_under_its_nonce_and_the_registrys_domain(
    gateway: StandIn, act: Any, kind: str, fields: dict[str, Any]
) -> None:
    key = WalletKey()
    assert act(identity(gateway, key))["state"] == "queued"
    [(path, body)] = gateway.got
    assert (path, body["kind"]) == ("/v1/identities", kind)
    assert body["message"] == {"identity": ANNA, **fields, "nonce": 4}
    digest = typed.digest(DID, typed.from_json(typed.MESSAGES[kind], body["message"]))
    assert recovered(digest, as_bytes(body["signature"], "signature")) == key.address.lower()


@pytest.mark.parametrize(
    "act",
    [
        lambda w: helpers.add_delegate(w, "owner", FRIEND, 1),
        lambda w: helpers.add_delegate(w, "consent", "friend", 1),
        lambda w: helpers.add_delegate(w, "consent", FRIEND, 0),
        lambda w: helpers.add_delegate(w, "consent", FRIEND, 3_651),
        lambda w: helpers.set_recovery(w, -1),
        lambda w: helpers.set_recovery(w, 33),
        lambda w: helpers.finalize(w, "0x12"),
    ],
)
def test_what_cannot_be_meant_is_not_sent(gateway: StandIn, act: Any) -> None:
    with pytest.raises(MalformedError):
        act(identity(gateway, WalletKey()))
    assert gateway.got == []


def test_recovery_delegates_vote_one_after_the_other_and_enough_are_handed_in(gateway: StandIn, tmp_path: Path) -> None:
    keys = [WalletKey() for _ in range(2)]
    first, second = (identity(gateway, key, of=key.address.lower()) for key in keys)
    new_owner = WalletKey().address.lower()
    petition = helpers.propose(first, ANNA, new_owner)
    assert not helpers.enough(first, petition)
    petition.save(tmp_path / "votes.json")
    petition = helpers.approve(second, helpers.Petition.load(tmp_path / "votes.json"))
    assert helpers.enough(second, petition)
    helpers.hand_in(second, petition)
    [(path, body)] = gateway.got
    assert (path, body["identity"], body["newOwner"]) == ("/v1/identities/recoveries", ANNA, new_owner)
    members = [vote["member"] for vote in body["votes"]]
    assert members == sorted(key.address.lower() for key in keys)
    digest = typed.digest(DID, ProposeOwner(ANNA, new_owner, 4))
    for vote in body["votes"]:
        assert recovered(digest, as_bytes(vote["signature"], "signature")) == vote["member"]


def test_the_same_delegate_twice_is_one_vote(gateway: StandIn) -> None:
    who = identity(gateway, WalletKey())
    petition = helpers.approve(who, helpers.propose(who, ANNA, FRIEND))
    assert len(petition.votes) == 1


def test_a_vote_under_a_nonce_that_has_passed_is_not_given(gateway: StandIn) -> None:
    registry = Identities()
    who = identity(gateway, WalletKey(), registry=registry)
    petition = helpers.propose(who, ANNA, FRIEND)
    registry.number += 1
    with pytest.raises(ConflictError):
        helpers.approve(who, petition)


def test_an_identity_without_recovery_can_get_none(gateway: StandIn) -> None:
    who = identity(gateway, WalletKey(), registry=Identities(threshold=0))
    with pytest.raises(SettingsError):
        helpers.enough(who, helpers.propose(who, ANNA, FRIEND))


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"proposal": {}, "votes": []}', '{"proposal": 1, "votes": [{"member": 1, "signature": 2}]}'],
)
def test_what_is_no_recovery_file_is_malformed(tmp_path: Path, content: str) -> None:
    path = tmp_path / "votes.json"
    path.write_text(content)
    with pytest.raises(MalformedError):
        helpers.Petition.load(path)


def test_finalizing_names_the_identity(gateway: StandIn) -> None:
    helpers.finalize(identity(gateway, WalletKey()), ANNA)
    assert gateway.got == [("/v1/identities/finalizations", {"identity": ANNA})]


def test_the_status_is_what_the_registry_holds(gateway: StandIn) -> None:
    found = helpers.status(identity(gateway, WalletKey()), ANNA)
    assert (found["owner"], found["threshold"], found["pending"]) == (ANNA, 2, None)
