# SPDX-License-Identifier: Apache-2.0
"""The server's background work over the fakes: its keys on chain, epochs, notices between two of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from consentum.adapters.store.files import FolderLock, replace_private, write_private
from consentum.crypto.sealing import SealingKey
from consentum.errors import KeyFileError
from consentum.flow.keyserver import deposit, notice
from consentum.flow.login import LoginDesk
from consentum.settings import KeyServerSettings
from consentum.wiring.key_file import KeyFile
from consentum.wiring.keyserver import KEY_FILE, KeyServerProcess
from tests.fakes.peers import FakeKeyServer
from tests.fakes.sender import FakeSender
from tests.fakes.store import MemoryServerStore
from tests.unit.keyserver.batch import Batch
from tests.unit.keyserver.conftest import Given
from tests.unit.keyserver.world import World, build_server

SETTINGS = KeyServerSettings(
    rpc="http://127.0.0.1:1", deployment="none", port=7001, endpoint="http://localhost:7001", anchor_seconds=0.05
)


class ClosingStore(MemoryServerStore):
    def close(self) -> None: ...


def process_of(world: World, folder: Path, **changes: Any) -> KeyServerProcess:
    """A process whose key file has the world's sealing key as epoch 1."""
    keys = KeyFile(bytes(32), bytes(32), bytes(32), {1: world.server.sealing_keys[1].seed})
    write_private(folder / KEY_FILE, keys.to_bytes())
    server = replace(world.server, store=ClosingStore(), monotonic=time.monotonic, listeners=[], **changes)
    sender = FakeSender(world.ledger, server.address)
    desk = LoginDesk(world.ledger, world.domain, "http://localhost:7001", world.clock.utc)
    stop, store = threading.Event(), server.store
    return KeyServerProcess(server, store, sender, desk, SETTINGS, FolderLock(folder), stop, [], folder)  # type: ignore[arg-type]


@pytest.fixture
def process(world: World, tmp_path: Path) -> Iterator[KeyServerProcess]:
    made = process_of(world, tmp_path)
    yield made
    made.stop()


def rotated(process: KeyServerProcess, epoch: int) -> None:
    assert process.folder is not None
    keys = KeyFile.load(process.folder / KEY_FILE)
    replace_private(process.folder / KEY_FILE, keys.with_epoch(epoch).to_bytes())


def on_chain(process: KeyServerProcess) -> Any:
    ledger = process.server.ledger
    return ledger.server_keys(ledger.view().latest, process.server.address)


def eventually(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if fact():
            return
        time.sleep(0.01)
    pytest.fail("not within 10 s")


# Keys


def test_a_first_start_announces_and_a_second_has_nothing_to_do(process: KeyServerProcess) -> None:
    assert process._announce()
    assert process._announce()
    sender: Any = process.sender
    assert [call.function for call in sender.sent] == ["announce", "rotate"]
    assert on_chain(process).epoch == 1


def test_a_new_epoch_is_told_to_depositors_only_once_it_is_on_chain(process: KeyServerProcess) -> None:
    process._announce()
    rotated(process, 2)
    assert process._take_new_keys()
    assert not process._take_new_keys()
    assert process.server.sealing_key()[0] == 1
    assert process._announce()
    epoch, public = process.server.sealing_key()
    assert (epoch, keccak(public)) == (2, on_chain(process).sealing_key_hash)


def test_a_deposit_sealed_to_the_old_epoch_still_opens(world: World, process: KeyServerProcess) -> None:
    request = Batch(world, [world.patient]).request()
    process._announce()
    rotated(process, 2)
    process._take_new_keys()
    process._announce()
    deposit.accept(process.server, request)
    assert process.server.store.has_deposit(request.deposit.recordsRoot)


def test_two_epochs_at_once_are_announced_in_order(process: KeyServerProcess) -> None:
    process._announce()
    rotated(process, 2)
    rotated(process, 3)
    process._take_new_keys()
    assert process._announce()
    assert (on_chain(process).epoch, process.server.sealing_key()[0]) == (3, 3)
    assert on_chain(process).sealing_key_hash == keccak(process.server.sealing_keys[3].public)


def test_a_key_file_from_before_a_rotation_announces_nothing_and_is_not_ready(
    world: World, process: KeyServerProcess
) -> None:
    process._announce()
    process.sender.send([_rotation(SealingKey())])
    assert not process._announce()
    assert on_chain(process).epoch == 2
    assert "chain" in process.why_not_ready()
    rotated(process, 3)  # what the command does: one above what the chain knows
    process._take_new_keys()
    assert process._announce()
    assert process.why_not_ready() == {}


def test_another_key_under_the_same_epoch_is_an_error(world: World, process: KeyServerProcess) -> None:
    process._announce()
    process.server.sealing_keys = {1: SealingKey()}
    with pytest.raises(KeyFileError):
        process._announce()


def test_without_gas_nothing_is_announced(process: KeyServerProcess) -> None:
    process.sender.wei = 0  # type: ignore[attr-defined]
    assert not process._announce()
    assert on_chain(process).epoch == 0


def _rotation(key: SealingKey) -> Any:
    from consentum.ports.transactions import Call

    return Call("KeyServerRegistry", "rotate", (key.public,))


# Notices, with all threads


def another(world: World) -> FakeKeyServer:
    made = build_server(world, SealingKey(), "0x" + "01" * 20)
    return FakeKeyServer(replace(made, store=MemoryServerStore(), listeners=[]))


def test_a_server_fetches_then_serves_then_passes_on(world: World, given: Given, tmp_path: Path) -> None:
    other = another(world)
    notice.accept(other.server, world.revocation(given.consent))
    process = process_of(world, tmp_path, unfetched=True)
    process.peers = [other]
    process.start()
    try:
        eventually(lambda: not process.server.unfetched)
        assert len(process.server.store.arrivals(0, 10)) == 1
        notice.accept(process.server, world.revocation(world.consent()))
        eventually(lambda: len(other.server.store.arrivals(0, 10)) == 2)
        eventually(lambda: on_chain(process).epoch == 1)
    finally:
        process.stop()


def test_a_peer_that_is_down_is_not_waited_for_for_ever_and_is_asked_when_it_is_back(
    world: World, given: Given, tmp_path: Path
) -> None:
    other = another(world)
    notice.accept(other.server, world.revocation(given.consent))
    other.fault = "down"
    process = process_of(world, tmp_path, unfetched=True)
    process.peers, process.settings = [other], replace(SETTINGS, notice_fetch_seconds=0.3)
    process.start()
    try:
        eventually(lambda: not process.server.unfetched)
        assert process.server.store.arrivals(0, 10) == []
        other.fault = None
        eventually(lambda: len(process.server.store.arrivals(0, 10)) == 1)
    finally:
        process.stop()


def test_the_work_goes_on_after_whatever_happens_in_it(world: World, tmp_path: Path) -> None:
    process = process_of(world, tmp_path)
    world.ledger.down = True
    process.start()
    try:
        time.sleep(0.05)
        assert all(thread.is_alive() for thread in process._threads if thread.name != "waiting")
        world.ledger.down = False
        eventually(lambda: on_chain(process).epoch == 1)
    finally:
        process.stop()
