# SPDX-License-Identifier: Apache-2.0
"""P2 and P6 beyond test_bad_node: lies in single answers, a head that stands still, reorgs, a node that goes back."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import merkle, typed
from consentum.crypto.checkpoint import open_note
from consentum.domain.parsing import as_bytes
from consentum.errors import ConsentumError
from consentum.flow.keyserver.anchor import origin_of
from consentum.ports.transactions import Call
from scripts.demonstration.proof import audit
from tests.e2e.stack import Stack, until
from tests.faults.asking import (
    RETRY,
    anchored,
    connect,
    fresh_consent,
    from_backup,
    grant,
    grow_and_anchor,
    notice_of,
    ready_if_it_answers,
    reason,
    registry_request,
    still_at_this_head,
)
from tests.faults.hammer import batches
from tests.faults.liar import Liar, about, standing_still, words

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def liar(stack: Stack) -> Iterator[Liar]:
    """Server 1 speaks to the chain through it."""
    made = Liar(stack.system.rpc_url)
    connect(stack, stack.server(), made.url, rpc_timeout_seconds=2.0)
    stack.system.wait_ready()
    yield made
    made.close()


REASONS = {
    "no reasons at all": words(32, 0),
    "one reason too many": words(32, 2, 0, 0),
    "a reason that is no uint8": words(32, 1, 256),
    "a list that begins elsewhere": words(64, 0, 1, 0),
    "a count without its reason": words(32, 1),
    "an empty answer": "0x",
}


@pytest.mark.parametrize("answer", REASONS.values(), ids=list(REASONS))
def test_a_wrong_list_of_reasons_releases_nothing(stack: Stack, liar: Liar, answer: str) -> None:
    patient = stack.patient()
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    with liar.telling("lie", about(stack.system.deployment.release_policy, lambda _: answer)):
        assert stack.ask(patient) == "CHAIN_UNAVAILABLE"
    assert until(lambda: stack.ask(patient) == "ALLOWED")


def test_a_refused_connection_refuses_everything_and_is_over_by_itself(stack: Stack, liar: Liar) -> None:
    patient, peer = stack.patient(), stack.server().peer()
    _, batch = batches(stack)()
    deposit = next(r for server, r in batch.requests if server.lower() == peer.address).to_json()
    with liar.refusing():
        assert stack.ask(patient) == "CHAIN_UNAVAILABLE"
        with pytest.raises(ConsentumError) as refused:
            peer.deposit(deposit)
        assert refused.value.code == "CHAIN_UNAVAILABLE"
        assert "CHAIN_UNAVAILABLE" in json.dumps(stack.ready())
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    assert until(lambda: stack.ready() == {"status": "ready"})
    assert peer.deposit(deposit)["receipt"]["count"] == len(batch.records)


def test_a_server_that_starts_while_its_node_is_down_serves_once_it_is_back(stack: Stack, liar: Liar) -> None:
    with liar.refusing():
        connect(stack, stack.server(), liar.url)
        assert until(lambda: "CHAIN_UNAVAILABLE" in json.dumps(ready_if_it_answers(stack)))
        # It cannot compare its journal with the chain, so it may just as well say that.
        assert stack.ask(stack.patient()) in ("CHAIN_UNAVAILABLE", "BEHIND_ANCHOR")
    assert until(lambda: stack.ask(stack.patient()) == "ALLOWED")


SIGNED_BY = {"an empty answer": "0x", "31 bytes": "0x" + "00" * 31, "two words": words(1, 1), "two": words(2)}


@pytest.mark.parametrize("answer", SIGNED_BY.values(), ids=list(SIGNED_BY))
def test_a_held_notice_survives_answers_that_are_no_judgement(stack: Stack, liar: Liar, answer: str) -> None:
    """isSignedBy says true or false; anything else is a node that does not answer, so the notice is kept and blocks."""
    patient, server = stack.patient("registry"), stack.server()
    consent = fresh_consent(stack, patient)
    grant(stack, patient, consent)
    request = registry_request(stack, patient, consent)
    assert until(lambda: reason(server, registry_request(stack, patient, consent)) == "ALLOWED")
    with liar.telling("down"):
        receipt = server.peer().notice(notice_of(stack, patient, typed.struct_hash(consent)).to_json())["receipt"]
        assert receipt["judged"] is False
    lie = about(stack.system.deployment.did_registry, lambda _: answer)
    with liar.telling("lie", lie):
        before = anchored(stack, server)
        assert reason(server, request) in (*RETRY, "NOTICE_HELD")
        grow_and_anchor(stack, server, before)
    assert until(lambda: reason(server, registry_request(stack, patient, consent)) not in RETRY)
    assert reason(server, registry_request(stack, patient, consent)) == "NOTICE_HELD"


@pytest.mark.parametrize("answer", SIGNED_BY.values(), ids=list(SIGNED_BY))
def test_a_notice_is_not_refused_because_the_node_answers_nonsense(stack: Stack, liar: Liar, answer: str) -> None:
    patient, server = stack.patient("registry"), stack.server()
    with liar.telling("lie", about(stack.system.deployment.did_registry, lambda _: answer)):
        body = notice_of(stack, patient, secrets.token_bytes(32)).to_json()
        assert server.peer().notice(body)["receipt"]["judged"] is False


def test_a_deposit_is_not_refused_for_good_because_the_node_answers_nonsense(stack: Stack, liar: Liar) -> None:
    """SIGNATURE is final: the gateway drops a batch for it. CHAIN_UNAVAILABLE is tried again."""
    peer = stack.server().peer()
    _, batch = batches(stack)()
    body = next(r for server, r in batch.requests if server.lower() == peer.address).to_json()
    with (
        liar.telling("lie", about(stack.system.deployment.did_registry, lambda _: "0x")),
        pytest.raises(ConsentumError) as refused,
    ):
        peer.deposit(body)
    assert refused.value.code == "CHAIN_UNAVAILABLE"


def test_a_head_that_stands_still_is_believed_for_thirty_seconds_and_no_longer(stack: Stack, liar: Liar) -> None:
    patient = stack.patient()
    assert until(lambda: stack.ask(patient) == "ALLOWED")
    said: list[str] = []
    with liar.telling("lie", standing_still()):
        stack.ask(patient)
        frozen = stack.system.ledger.view().latest.timestamp
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and said.count("STALE") < 3:
            begun = time.time()
            said.append(stack.ask(patient))
            assert said[-1] == "STALE" or begun - frozen <= 31, "a share at a head of more than 30 s"
            time.sleep(0.5)
        assert said[-1] == "STALE"
        assert "STALE" in json.dumps(stack.ready())
    assert set(said) == {"ALLOWED", "STALE"}
    assert until(lambda: stack.ask(patient) == "ALLOWED")


def test_status_of_a_server_whose_node_hangs_names_the_chain(stack: Stack, liar: Liar) -> None:
    """With the time-out of the settings' default: the server answers, so "nothing answers" would mislead."""
    server = stack.server()
    connect(stack, server, liar.url, rpc_timeout_seconds=10.0)
    assert until(lambda: stack.ask(stack.patient()) == "ALLOWED", 60)
    command = [sys.executable, "-m", "consentum.cli.main", "keyserver", "status", "--folder", str(server.folder)]
    try:
        with liar.telling("hang"):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        connect(stack, server, liar.url, rpc_timeout_seconds=2.0)
        assert until(lambda: stack.ask(stack.patient()) == "ALLOWED", 60)
    assert done.returncode == 3
    assert "CHAIN_UNAVAILABLE" in done.stderr


def test_a_grant_that_a_reorg_drops_before_finality_never_released_anything(stack: Stack) -> None:
    patient, server, rpc = stack.patient("registry"), stack.server(2), stack.system.rpc
    for _ in range(10):
        consent = fresh_consent(stack, patient)
        block = grant(stack, patient, consent)
        rpc.call("evm_setIntervalMining", 0)
        view = stack.system.ledger.view()
        if view.finalized.number < block:
            break
        rpc.call("evm_setIntervalMining", 1)
    else:
        pytest.fail("the machine is too slow: every grant was final at once")
    try:
        assert reason(server, registry_request(stack, patient, consent)) == "NOT_YET_FINAL"
        rpc.call("anvil_reorg", view.latest.number - block + 1, [])
    finally:
        rpc.call("evm_setIntervalMining", 1)
    said = set()
    deadline = time.monotonic() + 60
    while stack.system.ledger.view().finalized.number <= view.latest.number and time.monotonic() < deadline:
        said.add(reason(server, registry_request(stack, patient, consent)))
        time.sleep(0.2)
    said.add(reason(server, registry_request(stack, patient, consent)))
    assert "NO_CONSENT" in said
    assert said <= {"NO_CONSENT", *RETRY}
    assert reason(server, registry_request(stack, patient)) == "ALLOWED", "the older, final consent still counts"


def test_a_notice_outlives_the_reorg_that_drops_its_revocation(stack: Stack) -> None:
    """Everybody may see the revocation on chain and then not any more: who holds the notice still refuses."""
    patient, rpc = stack.patient("registry"), stack.system.rpc
    consent = fresh_consent(stack, patient)
    grant(stack, patient, consent)
    held, other = stack.server(2), stack.server(3)
    assert until(lambda: reason(held, registry_request(stack, patient, consent)) == "ALLOWED")
    notice = notice_of(stack, patient, typed.struct_hash(consent))
    assert held.peer().notice(notice.to_json())["receipt"]["judged"] is True
    for _ in range(3):
        revoke = Call("ConsentRegistry", "revoke", (patient.address, typed.struct_hash(consent), notice.signature))
        [transaction] = stack.system.sender.send([revoke])
        rpc.call("evm_setIntervalMining", 0)
        block = int(rpc.call("eth_getTransactionReceipt", transaction)["blockNumber"], 16)
        depth = stack.system.ledger.view().latest.number - block + 1
        assert reason(other, registry_request(stack, patient, consent)) == "REVOKED"
        rpc.call("anvil_reorg", depth, [])
        rpc.call("evm_setIntervalMining", 1)
        if not stack.system.ledger.standings(
            stack.system.ledger.view().latest, [(patient.address, typed.struct_hash(consent))]
        )[0].revoked_at:
            break
    assert until(lambda: reason(other, registry_request(stack, patient, consent)) == "ALLOWED")
    assert reason(held, registry_request(stack, patient, consent)) == "NOTICE_HELD"


def test_a_node_that_goes_backwards_is_stale_until_it_has_caught_up(stack: Stack) -> None:
    patient, ledger = stack.patient(), stack.system.ledger
    assert until(lambda: all(stack.ask(patient, n) == "ALLOWED" for n in (1, 2, 3)))
    seen = ledger.view().latest.number
    stack.system.rpc.call("anvil_rollback", 6)
    said = []
    while ledger.view().latest.number < seen - 1:
        said.append({stack.ask(patient, n) for n in (2, 3)})
        assert ledger.view().latest.number >= seen or said[-1] == {"STALE"}
    assert said
    assert "STALE" in str(said)
    assert until(lambda: all(stack.ask(patient, n) == "ALLOWED" for n in (2, 3)))


def test_a_restored_server_with_a_restored_node_serves_nothing_when_the_node_has_caught_up(
    stack: Stack, tmp_path: Path
) -> None:
    """The whole machine comes from a backup: the node's head is old and so is the anchor it knows. Whoever compares the
    journal with that anchor learns nothing, and must compare again before the first release."""
    patient, server, liar = stack.patient("registry"), stack.server(3), Liar(stack.system.rpc_url)
    own = stack.patient()
    consent = fresh_consent(stack, patient)
    grant(stack, patient, consent)
    assert until(lambda: reason(server, registry_request(stack, patient, consent)) == "ALLOWED")
    stack.system.stop(server.name)
    shutil.copytree(server.folder, tmp_path / "backup")
    then = still_at_this_head(stack, 100)
    size = anchored(stack, server)
    stack.system.start_server(server)
    stack.system.wait_ready()
    server.peer().notice(notice_of(stack, patient, typed.struct_hash(consent)).to_json())
    assert reason(server, registry_request(stack, patient, consent)) == "NOTICE_HELD"
    for _ in range(5):
        assert stack.ask(own, 3) == "ALLOWED"
    journal = int(HttpClient(server.endpoint).text("/v1/journal/checkpoint").split("\n")[1])
    assert until(lambda: anchored(stack, server) >= journal > size)
    try:
        with from_backup(stack, server, tmp_path / "backup", tmp_path / "newer"):
            with liar.telling("lie", then):
                connect(stack, server, liar.url, anchor_seconds=600.0)
                until(lambda: reason(server, registry_request(stack, patient, consent)) == "STALE", 10)
            said = [reason(server, registry_request(stack, patient, consent)) for _ in range(5)]
            assert set(said) <= {"BEHIND_ANCHOR", *RETRY}, "it has forgotten a notice, and released"
            assert until(lambda: stack.ask(own, 3) == "BEHIND_ANCHOR")
            assert "BEHIND_ANCHOR" in json.dumps(stack.ready(3))
    finally:
        liar.close()
    assert until(lambda: stack.ask(own, 3) == "ALLOWED", 60)


def test_after_all_this_every_journal_still_extends_what_was_anchored(stack: Stack) -> None:
    for server in stack.system.servers:
        # A transaction that a reorg dropped is waited for half a minute, then the journal is anchored anew.
        assert until(lambda s=server: anchored(stack, s) > 0, 60)  # type: ignore[misc]
        latest = stack.system.ledger.view().latest
        anchor = stack.system.ledger.anchor_of(latest, server.address)
        key = stack.system.ledger.server_keys(latest, server.address).checkpoint_key
        client = HttpClient(server.endpoint)
        note = open_note(client.text("/v1/journal/checkpoint"), origin_of(server.address), key)
        answer = client.get("/v1/journal/consistency", old=anchor.size, new=note.size)
        path = [as_bytes(node, "proof", 32) for node in answer["proof"]]
        assert anchor.size <= note.size
        merkle.verify_consistency(anchor.size, anchor.root, note.size, note.root, path)
        assert audit(server)[0] == 0
