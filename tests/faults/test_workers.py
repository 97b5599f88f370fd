# SPDX-License-Identifier: Apache-2.0
"""A gateway of several workers: one session for all, each challenge once, one relays, none outlives its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.store.files import FolderLock
from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Login
from consentum.domain.parsing import as_bytes, hexed
from consentum.domain.registry_messages import AddDelegate
from consentum.errors import SettingsError
from consentum.settings import GatewaySettings
from consentum.wiring import gateway as wiring
from tests.conformance import conftest as chains
from tests.conformance.conftest import Node, until

pytestmark = pytest.mark.processes
node = chains.node
WORKERS = 3


@dataclass
class Served:
    """A running gateway; `key` is somebody it pays for."""

    node: Node
    folder: Path
    url: str
    key: WalletKey
    process: subprocess.Popen[bytes]

    def workers(self) -> list[int]:
        """The process ids of the workers: uvicorn's children that are no resource tracker."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            with suppress(OSError):
                if b"spawn_main" in Path(f"/proc/{task}/cmdline").read_bytes():
                    found.append(int(task))
        return found

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """On a connection of its own, so that any worker may answer."""
        return httpx.request(method, self.url + path, timeout=20, trust_env=False, **options)

    def login(self) -> dict[str, Any]:
        offer = self.ask("POST", "/v1/logins/challenge", json={}).json()
        challenge = as_bytes(offer["challenge"], "challenge", 32)
        login = Login(self.key.address.lower(), self.url, challenge, offer["expires"])
        signature = hexed(self.key.sign(typed.digest(self.node.at.user_domain, login)))
        return {"login": typed.to_json(login), "signature": signature}

    def name(self, nonce: int) -> str:
        """Queues an identity message; its id."""
        kind = b"consent".ljust(32, b"\0")
        message = AddDelegate(self.key.address.lower(), kind, WalletKey().address.lower(), 1_000, nonce)
        signature = hexed(self.key.sign(typed.digest(self.node.at.did_domain, message)))
        body = {"kind": "AddDelegate", "message": typed.to_json(message), "signature": signature}
        return str(self.ask("POST", "/v1/identities", json=body).json()["id"])

    def mined(self, identity: str) -> bool:
        return bool(self.ask("GET", f"/v1/relayed/{identity}").json()["state"] == "mined")


def alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


@pytest.fixture
def served(node: Node, tmp_path: Path) -> Iterator[Served]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder, key = tmp_path / "gateway", WalletKey()
    node.at.save(tmp_path / "deployment.json")
    settings = GatewaySettings(
        rpc=node.url,
        deployment=str(tmp_path / "deployment.json"),
        port=port,
        endpoint=f"http://127.0.0.1:{port}",
        sponsored=(key.address,),
        workers=WORKERS,
    )
    Rpc(node.url).call("anvil_setBalance", wiring.initialise(folder, settings), hex(10**18))
    command = [sys.executable, "-m", "consentum.cli.main", "gateway", "serve", "--folder", str(folder)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    made = Served(node, folder, settings.endpoint, key, process)
    try:
        until(lambda: ready(made), "the gateway is ready", 120)
        yield made
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()


def ready(made: Served) -> bool:
    with suppress(httpx.HTTPError):
        return made.ask("GET", "/ready").status_code == 200
    return False


def test_workers_share_sessions_spend_a_challenge_once_and_one_relays(served: Served) -> None:
    until(lambda: len(served.workers()) == WORKERS, "all workers run", 60)
    body = served.login()
    answers = [served.ask("POST", "/v1/logins", json=body) for _ in range(6)]
    assert sorted(answer.status_code for answer in answers) == [200, 403, 403, 403, 403, 403]
    [token] = [answer.json()["token"] for answer in answers if answer.status_code == 200]
    headers = {"Authorization": f"Bearer {token}"}
    where = {"subject": served.key.address}
    assert {served.ask("GET", "/v1/consents", params=where, headers=headers).status_code for _ in range(12)} == {200}
    ids = [served.name(nonce) for nonce in range(2)]
    until(lambda: all(served.mined(one) for one in ids), "both are mined", 60)
    relayer = wiring.build(served.folder, worker=True)
    count = Rpc(served.node.url).call("eth_getTransactionCount", relayer.gateway.sender.address, "latest")
    relayer.close()
    assert int(count, 16) == 2, "each message was sent once"


def test_another_worker_takes_over_the_background_work_and_a_dead_one_is_replaced(served: Served) -> None:
    until(lambda: len(served.workers()) == WORKERS, "all workers run", 60)
    first = served.name(0)
    until(lambda: served.mined(first), "it relays", 60)
    before = served.workers()
    for worker in before[:-1]:  # at most one of them is not the one that relays
        os.kill(worker, signal.SIGKILL)
    later = served.name(1)
    until(lambda: served.mined(later), "another relays", 90)
    until(lambda: len(served.workers()) == WORKERS, "the dead are replaced", 60)


def test_no_worker_outlives_its_parent_and_the_folder_is_held_meanwhile(served: Served) -> None:
    until(lambda: len(served.workers()) == WORKERS, "all workers run", 60)
    with pytest.raises(SettingsError):
        FolderLock(served.folder)
    workers = served.workers()
    served.process.kill()
    served.process.wait()
    deadline = time.monotonic() + 30
    while any(alive(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)
