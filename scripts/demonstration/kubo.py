# SPDX-License-Identifier: Apache-2.0
"""A private Kubo node on this host: no bootstrap, no routing, no telemetry, reachable on the loopback address alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import httpx

from consentum.wiring.ports import free_port
from consentum.wiring.spawn import die_with_parent

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05


class KuboFailed(Exception):
    """The node does not come up; the message ends with the last line it wrote."""


@dataclass(slots=True)
class KuboNode:
    """A node that runs, and its folder. Started again on the same folder it has the same blocks, pins, peer id and
    ports, whether it was stopped or killed."""

    folder: Path
    program: str
    process: subprocess.Popen[bytes]
    rpc_url: str
    gateway_url: str
    peer_id: str
    swarm_address: str

    @classmethod
    def start(cls, folder: Path, program: str = "ipfs") -> Self:
        """Makes the repository in `folder` unless there is one, runs the node and waits until it answers.

        KuboFailed, FileNotFoundError without the program.
        """
        environment = {**os.environ, "IPFS_PATH": str(folder), "IPFS_TELEMETRY": "off"}
        if not (folder / "config").exists():
            _initialise(folder, program, environment)
        addresses = json.loads((folder / "config").read_text())["Addresses"]
        with (folder / "daemon.log").open("ab") as log:
            process = subprocess.Popen(
                [program, "daemon", "--migrate=false"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                process_group=0,  # Ctrl-C is for us
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only calls prctl
            )
        node = cls(folder, program, process, _url(addresses["API"]), _url(addresses["Gateway"]), "", "")
        try:
            node.peer_id = node._ready()
        except BaseException:
            node.kill()
            raise
        node.swarm_address = f"{addresses['Swarm'][0]}/p2p/{node.peer_id}"
        return node

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    def stop(self) -> None:
        """Ends it in order. Stopping twice is fine."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: as a power cut would end it, but for what the kernel still holds."""
        self.process.kill()
        self.process.wait()

    def call(self, command: str, **options: str) -> str:
        """The answer of the RPC's `command` ("pin/ls"); `httpx.HTTPStatusError` if it refuses. Up to one minute."""
        answer = httpx.post(f"{self.rpc_url}/api/v0/{command}?{urlencode(options)}", timeout=60, trust_env=False)
        answer.raise_for_status()
        return answer.text

    def connect(self, other: KuboNode) -> None:
        """Makes a peer of `other`: blocks that are not here are then asked of it."""
        self.call("swarm/connect", arg=other.swarm_address)

    def _ready(self) -> str:
        """The node's peer id, once it answers."""
        until = time.monotonic() + READY_SECONDS
        while self.process.poll() is None and time.monotonic() < until:
            try:
                return str(json.loads(self.call("id"))["ID"])
            except httpx.HTTPError:
                time.sleep(_POLL_SECONDS)
        lines = (self.folder / "daemon.log").read_text(errors="replace").strip().splitlines()
        raise KuboFailed(f"the Kubo node does not start: {lines[-1] if lines else 'it said nothing'}")


def _url(multiaddress: str) -> str:
    """'/ip4/127.0.0.1/tcp/5001' as a URL."""
    _, _, host, _, port = multiaddress.split("/")
    return f"http://{host}:{port}"


def _initialise(folder: Path, program: str, environment: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    command = [program, "init", "--profile=server,unixfs-v1-2025"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KuboFailed(f"no Kubo repository can be made: {done.stderr.strip()[-300:]}")
    config = json.loads((folder / "config").read_text())
    _privatise(config)
    # Written beside it and renamed: a config cut off halfway would be taken for a repository.
    draft = folder / "config.draft"
    draft.write_text(json.dumps(config, indent=2))
    draft.chmod(0o600)
    draft.replace(folder / "config")


def _privatise(config: dict[str, Any]) -> None:
    """Loopback addresses alone, nobody to call, nothing to announce, nobody's settings but these."""
    host = "/ip4/127.0.0.1/tcp"
    config["Addresses"] |= {
        "Swarm": [f"{host}/{free_port()}"],
        "API": f"{host}/{free_port()}",
        "Gateway": f"{host}/{free_port()}",
        "NoAnnounce": [],
    }
    config["Swarm"] |= {
        "AddrFilters": [],  # the profile "server" filters private networks, the loopback one among them
        "DisableNatPortMap": True,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
    }
    config["Swarm"]["Transports"]["Network"] = {
        name: name == "TCP" for name in ("TCP", "Websocket", "QUIC", "WebTransport", "WebRTCDirect", "Relay")
    }
    # Blocks count as written when the disk has them, not when the kernel does.
    for mount in config["Datastore"]["Spec"]["mounts"]:
        if mount["type"] == "flatfs":
            mount["sync"] = True
    config |= {
        "Bootstrap": [],
        "AutoConf": {"Enabled": False},
        "AutoTLS": {"Enabled": False},
        "AutoNAT": {"ServiceMode": "disabled"},
        "Routing": {"Type": "none", "DelegatedRouters": []},
        "Ipns": config["Ipns"] | {"DelegatedPublishers": []},
        "DNS": {"Resolvers": {}},
        "Discovery": {"MDNS": {"Enabled": False}},
        "Provide": {"Enabled": False},
        "HTTPRetrieval": {"Enabled": False},
        "Version": {"SwarmCheckEnabled": False},
        "Plugins": {"Plugins": {"telemetry": {"Disabled": True}}},
    }
