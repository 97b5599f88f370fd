# SPDX-License-Identifier: Apache-2.0
"""A whole system on this host, in one folder: a chain, key servers, a gateway and a runner, each a process with keys
of its own. The one way to start them: `consentum up`, the demonstration and the tests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consentum.adapters.chain.deploy import deploy
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.ledger import ChainLedger
from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.chain.sender import ChainSender
from consentum.adapters.peers.http import HttpClient
from consentum.domain.profiles import profile_for
from consentum.errors import ConsentumError, UnavailableError
from consentum.settings import GatewaySettings, RunnerSettings
from consentum.wiring import founding
from consentum.wiring.allowing import together
from consentum.wiring.founding import ANVIL_KEY
from consentum.wiring.layout import ANCHOR_SECONDS, KeyServerProcess, account_of, introduce, lay_out, lay_out_servers
from consentum.wiring.ports import free_port, require_free
from consentum.wiring.spawn import Processes, anvil_command, service_command

ONE_ETHER = hex(10**18)
START_SECONDS = 60
HOST = "127.0.0.1"
STATE_FILE = "chain.json"


@dataclass(slots=True)
class LocalSystem:
    """Starts and stops everything. What is in the folder already is kept: keys, settings, state.

    next_port gives a port for each process that has none yet. payer: pays for contracts, committee and gas; None for
    the development chain's own account. keep_chain: whether Anvil's state outlives it. gateway_options: further
    settings of a gateway that is made now. custodians: who deposits at a gateway and key servers that are made now.
    with_peers: whether key servers pass notices on to each other.
    """

    folder: Path
    size: int = 3
    threshold: int = 2
    next_port: Callable[[], int] = free_port
    payer: bytes | None = None
    keep_chain: bool = True
    unsafe_foreign_rpc: bool = False
    profile: str | None = None
    gateway_options: dict[str, Any] = field(default_factory=dict)
    custodians: tuple[str, ...] = ()
    with_peers: bool = False
    services: Processes = field(init=False)
    servers: list[KeyServerProcess] = field(default_factory=list)
    rpc_url: str = ""
    gateway_url: str = ""
    gateway_address: str = ""
    runner_url: str = ""
    runner_address: str = ""
    runner_settings: RunnerSettings = field(init=False)
    deployment: Deployment = field(init=False)
    rpc: Rpc = field(init=False)
    ledger: ChainLedger = field(init=False)
    sender: ChainSender = field(init=False)

    def __post_init__(self) -> None:
        self.services = Processes(self.folder)

    @property
    def processes(self) -> dict[str, subprocess.Popen[bytes]]:
        return self.services.running

    @property
    def deployment_path(self) -> Path:
        return self.folder / "deployment.json"

    def start_chain(self, say: Callable[[str], None], port: int | None = None) -> None:
        """Anvil and, once, the contracts."""
        port = port or self.next_port()
        require_free(HOST, port)
        state = self.folder / STATE_FILE if self.keep_chain else None
        self.services.spawn("anvil", anvil_command(port, state))
        self.use_chain(f"http://{HOST}:{port}", say)

    def use_chain(self, url: str, say: Callable[[str], None]) -> None:
        """A chain that is there, or just starts; once, the contracts."""
        self.rpc_url, self.rpc = url, Rpc(url)
        wait_for(lambda: bool(self.rpc.call("eth_chainId")), "the chain", self._still_running)
        key = self.payer or ANVIL_KEY
        self.deployment = deploy(url, self.deployment_path, key, say)
        self.ledger = ChainLedger(self.rpc, self.deployment, profile_for(self.deployment.chain_id, self.profile))
        self.sender = ChainSender(self.rpc, self.deployment, key)

    def start_services(self, custodians: Sequence[str] = ()) -> None:
        """Key servers, gateway and the runner's folder; each with keys of its own and a little gas. They take these
        custodians' deposits, and the gateway pays for the patients they know."""
        self.custodians = together(self.custodians, tuple(custodians))
        self.lay_out()
        self.give_gas()
        for server in self.servers:
            self.start_server(server)
        self.start_gateway()

    def lay_out(self) -> None:
        """Folders, keys and settings of every service, as far as they are missing."""
        common: dict[str, Any] = {
            "rpc": self.rpc_url,
            "deployment": str(self.deployment_path.resolve()),
            "profile": self.profile,
        }
        common["unsafe_foreign_rpc"] = self.unsafe_foreign_rpc
        storing = {**common, "custodians": self.custodians}
        about = {**storing, "anchor_seconds": ANCHOR_SECONDS}
        self.servers = lay_out_servers(self.folder, self.size, about, self.next_port)
        if self.with_peers:
            introduce(self.servers)
        endpoints = tuple(server.endpoint for server in self.servers)
        folder, about = (
            self.folder / "gateway",
            {**storing, **self.gateway_options, "key_servers": endpoints},
        )
        self.gateway_url = lay_out(folder, "gateway", GatewaySettings, about, self.next_port).endpoint
        self.gateway_address = account_of(folder)
        folder, about = self.folder / "runner", {**common, "gateway": self.gateway_url}
        self.runner_settings = lay_out(folder, "runner", RunnerSettings, about, self.next_port)
        self.runner_url, self.runner_address = self.runner_settings.endpoint, account_of(folder)

    def give_gas(self) -> None:
        """To whoever writes on chain and has little."""
        addresses = [self.gateway_address, *(server.address for server in self.servers)]
        if self.payer is not None:
            founding.fund(self.rpc, self.payer, addresses)
            return
        for address in addresses:
            if founding.balance(self.rpc, address) < founding.LOW_WEI:
                self.rpc.call("anvil_setBalance", address, ONE_ETHER)

    def found_committee(self) -> bytes:
        """All servers as one committee; its id."""
        return founding.found_committee(self.sender, self.threshold, [server.address for server in self.servers])

    def start_runner(self, board: bytes, committee: bytes) -> None:
        """The runner takes jobs of this board (b"" for none) and of those in its settings, and believes this committee
        alone."""
        boards = together(self.runner_settings.boards, ("0x" + board.hex(),) if board else ())
        settings = replace(self.runner_settings, boards=boards, committees=("0x" + committee.hex(),))
        settings.save(self.folder / "runner")
        self.serve("runner", "runner", self.folder / "runner")

    def start_server(self, server: KeyServerProcess) -> None:
        self.serve(server.name, "keyserver", server.folder)

    def start_gateway(self, *options: str) -> None:
        self.serve("gateway", "gateway", self.folder / "gateway", *options)

    def serve(self, name: str, noun: str, folder: Path, *options: str) -> None:
        self.services.spawn(name, service_command(noun, folder, *options))

    def wait_ready(self) -> None:
        """Until every service that was started says it would do its work; UnavailableError with the reason of the
        first that would not."""
        urls = [*(s.endpoint for s in self.servers if s.name in self.processes), self.gateway_url, self.runner_url]
        for url in urls:
            client = HttpClient(url, timeout=5)
            wait_for(lambda client=client: client.get("/ready")["status"] == "ready", url)  # type: ignore[misc]
            client.close()

    def stop(self, name: str) -> None:
        """Ends one process by its pid and waits for it."""
        self.services.stop(name)

    def close(self) -> None:
        """Ends everything; the folder stays."""
        self.services.stop_all()

    def _still_running(self) -> None:
        code = self.services.ended().get("anvil")
        if code is not None:
            raise UnavailableError(f"anvil ended with exit code {code}; see {self.folder / 'anvil.log'}")


def wait_for(ready: Callable[[], bool], what: str, check: Callable[[], None] = lambda: None) -> None:
    """Until it is so; UnavailableError after a minute, with the last reason. check may end the waiting early."""
    deadline = time.monotonic() + START_SECONDS
    reason = ""
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except ConsentumError as error:
            reason = str(error)
        check()
        time.sleep(0.1)
    raise UnavailableError(f"{what} is not ready after {START_SECONDS} s: {reason}")
