# SPDX-License-Identifier: Apache-2.0
"""The custodian's acts over the gateway's routes: interrupted anywhere, the next run finishes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.domain.invites import proof_of, ticket_of
from consentum.domain.journal import RETRACT_CONTEXT
from consentum.domain.messages import Retract
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import ConflictError, ConsentumError, MalformedError, NotFoundError, UnavailableError
from consentum.flow.client import retraction
from consentum.flow.gateway import enrolments
from consentum.sdk import custodian
from consentum.wiring.custodian import CustodianHome
from tests.unit.client.world import COMMITTEE, DOMAIN, NOW, recovered
from tests.unit.custody.conftest import GATEWAY, Ward

DAY = 86_400


@dataclass
class Client:
    """The gateway, signed in as the custodian. fail: paths whose answers never come; answers: stand-ins by path."""

    ward: Ward
    fail: set[str] = field(default_factory=set)
    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def get(self, path: str, **params: Any) -> Any:
        after = as_bytes(params["after"], "after", 32) if params["after"] else b""
        return enrolments.of_custodian(self.ward.gateway, params["custodian"], after, self.ward.custodian)

    def post(self, path: str, body: Any) -> Any:
        self.asked.append(path)
        if any(part in path for part in self.fail):
            raise UnavailableError("the gateway does not answer")
        if path in self.answers:
            return self.answers[path](body)
        if path == "/v1/deposits":
            return self.ward.send(body)
        if path == "/v1/invites":
            return enrolments.invite(self.ward.gateway, body, self.ward.custodian)
        identity = as_bytes(path.split("/")[3], "enrolment", 32)
        return enrolments.recognise(self.ward.gateway, identity, self.ward.custodian)


class Home(CustodianHome):
    """A CustodianHome whose committee is the world's."""

    def depositor(self, committee_id: bytes) -> Any:
        assert committee_id == COMMITTEE
        return self.connection.gateway.ward.world.custodian()  # type: ignore[attr-defined]


@pytest.fixture
def home(ward: Ward) -> Home:
    connection = SimpleNamespace(
        home=ward.folder,
        identity=ward.custodian,
        key=ward.world.hospital,
        ledger=ward.world.ledger,
        settings=SimpleNamespace(gateway=GATEWAY),
        deployment=SimpleNamespace(user_domain=DOMAIN),
        gateway=Client(ward),
    )
    return Home(connection=connection, book=ward.book)  # type: ignore[arg-type]


@pytest.fixture
def client(home: Home) -> Client:
    return home.connection.gateway  # type: ignore[return-value]


def accept(ward: Ward, number: str, who: Any, home: Home) -> None:
    invite = custodian.invite(home, number, 14)
    enrolment = ward.enrol(invite, who)
    plain = {"enrol": typed.to_json(enrolment.enrol), "signature": hexed(enrolment.signature)}
    body = {**plain, "proof": hexed(proof_of(invite.code))}
    enrolments.enrol(ward.gateway, [ward.custodian], body)


def test_an_invite_names_custodian_gateway_and_its_end_by_the_chains_clock(home: Home, ward: Ward) -> None:
    made = custodian.invite(home, " 4711 ", 14)
    assert (made.custodian, made.gateway, made.expires) == (ward.custodian, GATEWAY, NOW + 14 * DAY)
    assert [one.number for one in ward.book.invites()] == ["4711"]


def test_a_code_whose_ticket_the_gateway_did_not_take_is_not_given_out(home: Home, ward: Ward, client: Client) -> None:
    client.fail = {"invites"}
    with pytest.raises(UnavailableError):
        custodian.invite(home, "4711", 14)
    client.fail = set()
    made = custodian.invite(home, "4711", 14)
    assert [one.state for one in ward.book.invites()] == ["replaced", "open"]
    assert ward.gateway.enrolments.is_open(ticket_of(proof_of(made.code), made.custodian), NOW)


def test_a_gateway_that_forgot_the_tickets_gets_those_of_open_invites_again(home: Home, ward: Ward) -> None:
    made = [custodian.invite(home, number, 14) for number in ("4711", "4712", "4711")]
    ward.gateway.enrolments.tickets.clear()  # type: ignore[attr-defined]
    custodian.take_in(home)
    tickets = [ticket_of(proof_of(one.code), one.custodian) for one in made]
    assert [ward.gateway.enrolments.is_open(one, NOW) for one in tickets] == [False, True, True]


@pytest.mark.parametrize("days", [0, 366, -1])
def test_an_invite_is_valid_for_a_day_to_a_year(home: Home, ward: Ward, days: int) -> None:
    with pytest.raises(MalformedError):
        custodian.invite(home, "4711", days)
    assert ward.book.invites() == []


def test_who_accepted_is_linked_and_the_gateway_told(home: Home, ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolments, "PAGE", 1)
    for number, who in (("4711", ward.world.alice), ("4712", ward.world.bob)):
        accept(ward, number, who, home)
    taken = custodian.take_in(home)
    assert (taken.linked, taken.told, taken.turned, taken.strangers) == (2, 2, (), 0)
    assert ward.gateway.enrolments.recognised(ward.world.alice.address)
    assert ward.gateway.enrolments.recognised(ward.world.bob.address)
    assert custodian.take_in(home).told == 0


def test_a_gateway_that_fails_after_linking_is_told_by_the_next_run(home: Home, ward: Ward, client: Client) -> None:
    accept(ward, "4711", ward.world.alice, home)
    client.fail = {"recognise"}
    with pytest.raises(UnavailableError):
        custodian.take_in(home)
    assert not ward.gateway.enrolments.recognised(ward.world.alice.address)
    client.fail = set()
    assert custodian.take_in(home).told == 1
    assert ward.gateway.enrolments.recognised(ward.world.alice.address)


def test_who_is_refused_is_not_recognised_at_the_gateway_either(home: Home, ward: Ward) -> None:
    accept(ward, "4711", ward.world.alice, home)
    custodian.take_in(home)
    accept(ward, "4712", ward.world.alice, home)
    taken = custodian.take_in(home)
    assert [one.code for one in taken.turned] == ["ONE_PATIENT_TWO_NUMBERS"]
    assert sum(not e.recognised for e in ward.gateway.enrolments.of_custodian(ward.custodian, 9)) == 1


def test_pages_that_do_not_go_on_end_the_reading(home: Home, ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    accept(ward, "4711", ward.world.alice, home)
    first = enrolments.of_custodian(ward.gateway, ward.custodian, b"", ward.custodian)
    monkeypatch.setattr(Client, "get", lambda *_, **__: first)
    with pytest.raises(MalformedError):
        custodian.take_in(home)
    assert ward.book.patients() == []


# Taking back


def receipts(ward: Ward, body: Mapping[str, Any], waiting: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a gateway answers once the servers that are not waiting have destroyed their shares."""
    message = typed.from_json(Retract, body["retract"])
    assert recovered(typed.digest(DOMAIN, message), as_bytes(body["signature"], "signature")) == ward.custodian
    signed = {}
    for peer in ward.world.peers:
        if peer.address not in (waiting or {}):
            receipt = {
                "v": 1,
                "server": peer.address,
                "custodian": message.custodian,
                "record": hexed(message.record),
                "successor": hexed(message.successor),
            }
            signature = hexed(peer.server.sign(RETRACT_CONTEXT, receipt))
            signed[peer.address] = {"receipt": receipt, "signature": signature}
    left = dict(waiting or {})
    return {
        "record": hexed(message.record),
        "acknowledged": not left,
        "erased": True,
        "receipts": signed,
        "waiting": left,
    }


@pytest.fixture
def filed(home: Home, ward: Ward, client: Client) -> Any:
    """One deposited file of Alice's."""
    ward.patient("4711", ward.world.alice)
    ward.write("a.json", b"{}")
    assert ward.deposit(ward.entries("a.json,4711,laboratory")).deposited == 1
    client.answers["/v1/retractions"] = lambda body: receipts(ward, body)
    return custodian.find_deposited(home, path="a.json")


def test_a_retracted_record_is_noted_once_every_server_has_signed(home: Home, ward: Ward, filed: Any) -> None:
    answer = custodian.retract(home, filed)
    assert answer["complete"]
    assert set(answer["servers"].values()) == {retraction.DONE}
    assert [one.state for one in ward.book.files()] == ["retracted"]
    with pytest.raises(NotFoundError):
        custodian.find_deposited(home, path="a.json")


def test_while_a_server_waits_it_is_not_noted_and_goes_on(home: Home, ward: Ward, client: Client, filed: Any) -> None:
    late = ward.world.peers[1].address
    client.answers["/v1/retractions"] = lambda body: receipts(ward, body, {late: "UNAVAILABLE"})
    answer = custodian.retract(home, filed)
    assert (answer["complete"], answer["servers"][late]) == (False, "UNAVAILABLE")
    assert [one.state for one in ward.book.files()] == ["deposited"]
    client.answers["/v1/retractions"] = lambda body: receipts(ward, body)
    assert custodian.retract(home, filed)["complete"]


def test_a_receipt_about_another_record_does_not_count(home: Home, ward: Ward, client: Client, filed: Any) -> None:
    def lying(body: Any) -> Any:
        other = {**body["retract"], "record": hexed(bytes(32))}
        signature = hexed(ward.world.hospital.sign(typed.digest(DOMAIN, typed.from_json(Retract, other))))
        return {**receipts(ward, {"retract": other, "signature": signature}), "record": body["retract"]["record"]}

    client.answers["/v1/retractions"] = lying
    answer = custodian.retract(home, filed)
    assert (answer["complete"], set(answer["servers"].values())) == (False, {"CORRUPT"})
    assert [one.state for one in ward.book.files()] == ["deposited"]


def test_an_answer_without_any_server_is_not_complete(home: Home, client: Client, filed: Any) -> None:
    client.answers["/v1/retractions"] = lambda body: {
        "record": body["retract"]["record"],
        "acknowledged": True,
        "erased": True,
        "receipts": {},
        "waiting": {},
    }
    assert not custodian.retract(home, filed)["complete"]


def test_a_new_file_takes_a_records_place(home: Home, ward: Ward, filed: Any, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    new.write_bytes(b'{"better": 1}')
    answer = custodian.supersede(home, filed, new, COMMITTEE)
    old, successor = ward.book.files()
    assert (old.state, successor.state) == ("superseded", "deposited")
    assert answer["successor"] == hexed(successor.record)
    assert (successor.number, successor.categories) == (old.number, old.categories)


def test_if_the_new_file_is_not_deposited_the_old_record_stays(
    home: Home, ward: Ward, client: Client, filed: Any, tmp_path: Path
) -> None:
    new = tmp_path / "new.json"
    new.write_bytes(b'{"better": 1}')
    client.fail = {"deposits"}
    with pytest.raises(ConsentumError):
        custodian.supersede(home, filed, new, COMMITTEE)
    assert "/v1/retractions" not in client.asked
    client.fail = {"retractions"}
    with pytest.raises(UnavailableError):
        custodian.supersede(home, filed, new, COMMITTEE)
    client.fail = set()
    assert custodian.supersede(home, filed, new, COMMITTEE)["complete"]
    assert [one.state for one in ward.book.files()] == ["superseded", "deposited"]
    assert ward.listed() == 2  # the retraction is a stand-in here: both are still listed, none three times


def test_the_same_content_is_no_successor(home: Home, filed: Any, tmp_path: Path) -> None:
    same = tmp_path / "same.json"
    same.write_bytes(b"{}")
    with pytest.raises(ConflictError):
        custodian.supersede(home, filed, same, COMMITTEE)


def test_a_name_that_two_records_have_is_not_guessed(home: Home, ward: Ward, filed: Any) -> None:
    ward.write("a.json", b"changed")
    ward.deposit(ward.entries("a.json,4711,laboratory"))
    with pytest.raises(ConflictError) as told:
        custodian.find_deposited(home, path="a.json")
    listed = custodian.records(home)
    assert [(row["file"], row["number"], row["state"]) for row in listed] == [("a.json", "4711", "deposited")] * 2
    assert all(row["record"] in str(told.value) for row in listed)
    assert custodian.find_deposited(home, record=filed.record) == filed
