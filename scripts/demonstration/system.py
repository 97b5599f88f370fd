# SPDX-License-Identifier: Apache-2.0
"""The system the demo runs on: Anvil, three key servers, a gateway and a runner, each a process of its own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from consentum.adapters.chain.deploy import deploy
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError
from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings
from consentum.wiring import gateway, keyserver, runner

SERVERS = 3
THRESHOLD = 2
# Anvil's first account: its key is public, so it is worth nothing anywhere else.
ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
ONE_ETHER = hex(10**18)
START_SECONDS = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Linux: a child is ended when the demo is, even by kill -9."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


@dataclass(slots=True)
class KeyServerProcess:
    """A key server as the demo knows it from outside."""

    number: int
    folder: Path
    address: str
    endpoint: str

    @property
    def name(self) -> str:
        return f"server {self.number}"

    def peer(self) -> HttpKeyServer:
        return HttpKeyServer(self.address, HttpClient(self.endpoint))


@dataclass(slots=True)
class System:
    """Starts, stops and finally removes everything."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="consentum-demo-")))
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    servers: list[KeyServerProcess] = field(default_factory=list)
    rpc_url: str = ""
    gateway_url: str = ""
    runner_url: str = ""
    runner_address: str = ""
    runner_settings: RunnerSettings = field(init=False)
    deployment: Deployment = field(init=False)
    rpc: Rpc = field(init=False)
    ledger: ChainLedger = field(init=False)
    sender: ChainSender = field(init=False)

    def start_chain(self, say: Callable[[str], None]) -> None:
        port = free_port()
        self.rpc_url = f"http://127.0.0.1:{port}"
        anvil = os.environ.get("CONSENTUM_ANVIL", "anvil")
        # Interval mining: with mining on demand an idle chain goes stale, and every release is rightly refused.
        self._spawn("anvil", [anvil, "--port", str(port), "--block-time", "1", "--slots-in-an-epoch", "1", "--silent"])
        self.rpc = Rpc(self.rpc_url)
        _wait(lambda: bool(self.rpc.call("eth_chainId")), "the chain")
        self.deployment = deploy(self.rpc_url, self.deployment_path, ANVIL_KEY, say)
        self.ledger = ChainLedger(self.rpc, self.deployment, profile_for(self.deployment.chain_id))
        self.sender = ChainSender(self.rpc, self.deployment, ANVIL_KEY)

    @property
    def deployment_path(self) -> Path:
        return self.folder / "deployment.json"

    def start_services(self, custodians: Sequence[str]) -> None:
        """Three key servers, a gateway, a runner; each with keys of its own and a little gas. The gateway takes these
        custodians' deposits and pays for the patients they know."""
        common = {"rpc": self.rpc_url, "deployment": str(self.deployment_path)}
        for number in range(1, SERVERS + 1):
            port, folder = free_port(), self.folder / f"new-{number}"
            settings = KeyServerSettings(**common, port=port, endpoint=f"http://localhost:{port}", anchor_seconds=3.0)
            address = keyserver.initialise(folder, settings)
            self.servers.append(KeyServerProcess(number, folder, address, settings.endpoint))
        self._number_servers()
        port = free_port()
        self.gateway_url = f"http://localhost:{port}"
        endpoints = tuple(server.endpoint for server in self.servers)
        gateway_settings = GatewaySettings(
            **common,
            port=port,
            endpoint=self.gateway_url,
            key_servers=endpoints,
            custodians=tuple(custodians),
        )
        relayer = gateway.initialise(self.folder / "gateway", gateway_settings)
        port = free_port()
        self.runner_url = f"http://localhost:{port}"
        self.runner_settings = RunnerSettings(**common, port=port, endpoint=self.runner_url, gateway=self.gateway_url)
        self.runner_address = runner.initialise(self.folder / "runner", self.runner_settings)
        for address in [relayer, *(server.address for server in self.servers)]:
            self.rpc.call("anvil_setBalance", address, ONE_ETHER)
        for server in self.servers:
            self.start_server(server)
        self.start_gateway()

    def start_runner(self, board: bytes, committee: bytes) -> None:
        """The runner takes jobs of this board alone, and believes this committee alone."""
        settings = replace(self.runner_settings, boards=("0x" + board.hex(),), committees=("0x" + committee.hex(),))
        settings.save(self.folder / "runner")
        self._serve("runner", "runner", self.folder / "runner")

    def _number_servers(self) -> None:
        """Committees list members ascending, so that is the order of the servers' numbers here."""
        self.servers.sort(key=lambda server: server.address.lower())
        for number, server in enumerate(self.servers, start=1):
            server.number = number
            server.folder = server.folder.rename(self.folder / f"keyserver-{number}")

    def start_server(self, server: KeyServerProcess) -> None:
        self._serve(server.name, "keyserver", server.folder)

    def start_gateway(self, *options: str) -> None:
        self._serve("gateway", "gateway", self.folder / "gateway", *options)

    def wait_ready(self) -> None:
        """Until every service says it would do its work; else the reason of the first that would not."""
        urls = [*(s.endpoint for s in self.servers if s.name in self.processes), self.gateway_url, self.runner_url]
        for url in urls:
            client = HttpClient(url, timeout=5)
            _wait(lambda client=client: client.get("/ready")["status"] == "ready", url)  # type: ignore[misc]
            client.close()

    def stop(self, name: str) -> None:
        """Ends one process by its pid and waits for it."""
        process = self.processes.pop(name)
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def close(self) -> None:
        """Ends everything and removes the folder."""
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.stop(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _serve(self, name: str, noun: str, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "consentum.cli.main", noun, "serve", "--folder", str(folder), *options]
        self._spawn(name, command)

    def _spawn(self, name: str, command: list[str]) -> None:
        log = (self.folder / f"{name.replace(' ', '-')}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it only calls prctl
        )
        log.close()


def _wait(ready: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    reason = ""
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except ConsentumError as error:
            reason = str(error)
        time.sleep(0.1)
    raise TimeoutError(f"{what} is not ready after {START_SECONDS} s: {reason}")
