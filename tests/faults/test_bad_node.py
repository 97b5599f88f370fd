# SPDX-License-Identifier: Apache-2.0
"""P2: stale node, skewed clock, disagreement, error, time-out: refused, said, and over when the node is well again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from consentum.crypto import typed
from consentum.errors import ConsentumError
from consentum.flow.client import terms
from consentum.flow.wire import Notice
from tests.e2e.stack import Stack, until
from tests.faults.proxy import Proxy

pytestmark = pytest.mark.processes

MODES = [
    ("down", "CHAIN_UNAVAILABLE"),
    ("hang", "CHAIN_UNAVAILABLE"),
    ("500", "CHAIN_UNAVAILABLE"),
    ("truncated", "CHAIN_UNAVAILABLE"),
    ("error", "CHAIN_UNAVAILABLE"),
    ("no finalized block", "CHAIN_UNAVAILABLE"),
    ("short results", "CHAIN_UNAVAILABLE"),
    ("long results", "CHAIN_UNAVAILABLE"),
    ("zero results", "CHAIN_UNAVAILABLE"),
    ("results that are no hex", "CHAIN_UNAVAILABLE"),
    ("null results", "CHAIN_UNAVAILABLE"),
    ("two minutes behind", "STALE"),
    ("two minutes ahead", "CLOCK"),
    ("far ahead", "CLOCK"),
    ("backwards", "STALE"),
    ("other chain", "OTHER_CHAIN"),
]


@dataclass
class Bad:
    stack: Stack
    proxy: Proxy


@pytest.fixture(scope="module")
def bad(stack: Stack) -> Iterator[Bad]:
    """Server 1 speaks to the chain through the proxy."""
    proxy = Proxy(stack.system.rpc_url)
    server = stack.server()
    path = server.folder / "settings.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "rpc": proxy.url, "rpc_timeout_seconds": 2.0}))
    stack.system.stop(server.name)
    stack.system.start_server(server)
    stack.system.wait_ready()
    yield Bad(stack, proxy)
    proxy.close()


@pytest.mark.parametrize(("mode", "code"), MODES)
def test_a_key_server_refuses_says_why_and_recovers(bad: Bad, mode: str, code: str) -> None:
    stack, patient = bad.stack, bad.stack.patient()
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    bad.proxy.mode = mode
    try:
        assert stack.ask(patient) == code
        if mode not in ("zero results", "long results"):  # /ready asks other questions than a release
            ready = json.dumps(stack.ready())
            assert code in ready
            assert "secret words" not in ready
    finally:
        bad.proxy.mode = "ok"
        bad.proxy.released.set()
        bad.proxy.released.clear()
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    assert until(lambda: stack.ready() == {"status": "ready"})


def test_a_node_that_comes_and_goes_gives_releases_and_refusals_and_nothing_in_between(bad: Bad) -> None:
    stack, patient = bad.stack, bad.stack.patient()
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    bad.proxy.mode = "flapping"
    try:
        answers = [stack.ask(patient) for _ in range(30)]
    finally:
        bad.proxy.mode = "ok"
    assert set(answers) <= {"ALLOWED", "CHAIN_UNAVAILABLE"}
    assert "CHAIN_UNAVAILABLE" in answers
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    assert until(lambda: stack.ready() == {"status": "ready"})


def test_a_notice_given_while_the_node_is_down_is_kept_and_blocks(bad: Bad) -> None:
    stack, patient = bad.stack, bad.stack.patient("registry")
    request = stack_release(stack, patient)
    peer = stack.server().peer()
    assert peer.release(request(patient).to_json())["receipt"]["counts"] == {"ALLOWED": 1}
    signed = terms.revoke(stack.system.deployment.user_domain, patient.key, patient.address, patient.given().hash)
    bad.proxy.mode = "down"
    try:
        receipt = peer.notice(Notice(signed.message, signed.signature).to_json())["receipt"]  # type: ignore[arg-type]
        assert receipt["judged"] is False
    finally:
        bad.proxy.mode = "ok"
    assert until(lambda: _reason(stack, request(patient)) == "NOTICE_HELD")


def test_a_forged_notice_given_while_the_node_is_down_is_dropped_once_it_can_be_judged(bad: Bad) -> None:
    stack = bad.stack
    victim, stranger = [p for p in stack.people.patients if p.kind == "registry"][-1], stack.patient("board")
    request = stack_release(stack, victim)
    message = terms.revoke(stack.system.deployment.user_domain, victim.key, victim.address, victim.given().hash).message
    forged = stranger.key.sign(typed.digest(stack.system.deployment.user_domain, message))
    bad.proxy.mode = "down"
    try:
        stack.server().peer().notice(Notice(message, forged).to_json())  # type: ignore[arg-type]
    finally:
        bad.proxy.mode = "ok"
    assert until(lambda: _reason(stack, request(victim)) == "ALLOWED")


def stack_release(stack: Stack, patient: object):  # type: ignore[no-untyped-def]
    """Makes requests of the registry study's researcher for a patient's record."""
    from scripts.demonstration.jobs import Asker

    asker = Asker(stack.system, stack.people.researcher, stack.studies["registry"], stack.committee)
    return lambda who: asker.request(who, who.given().message)


def _reason(stack: Stack, request) -> str:  # type: ignore[no-untyped-def]
    try:
        [reason] = stack.server().peer().release(request.to_json())["receipt"]["counts"]
    except ConsentumError as error:
        return error.code
    return str(reason)
