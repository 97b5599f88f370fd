# SPDX-License-Identifier: Apache-2.0
"""Every setting with its default and unit, validated when loaded. The only reader of the environment.

A process reads <folder>/settings.json; `… init` writes it. Secrets are never in it: they are in the key file beside.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from consentum.errors import SettingsError

S = TypeVar("S", bound="ServiceSettings")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What every process needs."""

    rpc: str
    """URL of the operator's own chain node; openings go there in eth_calls."""
    deployment: str
    """Path of deployments/<chainId>.json."""
    host: str = "127.0.0.1"
    """The address it listens on."""
    port: int
    """The port it listens on."""
    endpoint: str
    """The URL others reach this process under; also the origin people sign in to."""
    profile: str | None = None
    """Finality and freshness limits; by default the chain's own."""
    max_body_bytes: int = 16 * 1024 * 1024
    """A larger body is refused while it arrives."""
    rpc_timeout_seconds: float = 10.0
    """For each request to the node."""
    tls_certificate: str | None = None
    """Path of a PEM certificate chain to serve HTTPS with; null where a proxy in front does."""
    tls_key: str | None = None
    """Path of its private key."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    unsafe_foreign_rpc: bool = False
    """Allows a chain node that is not on this host or a private network: it will see every opening."""

    def validate(self) -> None:
        """SettingsError naming the first setting that cannot work."""
        for name in ("rpc", "endpoint"):
            if urlsplit(getattr(self, name)).scheme not in ("http", "https"):
                raise SettingsError(f"{name} is not an http(s) URL", field=name)
        if not self.unsafe_foreign_rpc and not _is_own(urlsplit(self.rpc).hostname or ""):
            raise SettingsError("a node that is not your own sees openings; unsafe_foreign_rpc allows it", field="rpc")
        if not 0 < self.port < 65536:
            raise SettingsError("port is not a port", field="port")
        _check_tls(self.tls_certificate, self.tls_key)
        for proxy in self.trusted_proxies:
            _check_network(proxy)

    def save(self, folder: Path) -> None:
        write_json(folder / "settings.json", asdict(self))

    @classmethod
    def load(cls: type[S], folder: Path) -> S:
        """SettingsError for a missing file, an unknown or a missing setting."""
        settings = _load(cls, folder)
        settings.validate()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyServerSettings(ServiceSettings):
    """One key server."""

    anchor_seconds: float = 30.0
    """How often a grown journal is anchored on chain."""
    daily_records_per_requester: int = 100_000
    """Velocity cap: releases of records to one requester in 24 h."""
    custodians: tuple[str, ...] = ()
    """Addresses of the custodians that may deposit here; none by default."""
    unsafe_any_custodian: bool = False
    """Lets anybody deposit here, fill its disk and, by revocations of made-up patients, spend its account."""
    peers: tuple[str, ...] = ()
    """Endpoints of the other key servers, that notices are passed on to and fetched from; none of them is trusted."""
    notice_fetch_seconds: float = 10.0
    """How long a start waits for peers that give nothing new before it releases without them."""
    notice_chain_seconds: float = 30.0
    """How long a notice about a subject known here is left to others to put on chain."""
    low_balance_wei: int = 10**16
    """Below this balance of its account /ready warns."""

    def validate(self) -> None:
        ServiceSettings.validate(self)  # super() knows no class with slots
        _require_hex("custodians", self.custodians, 40)
        for peer in self.peers:
            if urlsplit(peer).scheme not in ("http", "https"):
                raise SettingsError("a peer is not an http(s) URL", field="peers")
        for name in ("anchor_seconds", "notice_fetch_seconds", "notice_chain_seconds"):
            if getattr(self, name) <= 0:
                raise SettingsError(f"{name} is not above 0", field=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings(ServiceSettings):
    """One gateway."""

    key_servers: tuple[str, ...] = ()
    """Endpoints that deposits, releases and notices are forwarded to."""
    relay: bool = True
    """Whether this gateway puts messages on chain; off, it still forwards notices and releases."""
    relay_batch: int = 100
    """Messages that one transaction carries at most."""
    relay_wait_seconds: float = 0.25
    """How long the relayer waits for a batch to fill."""
    custodians: tuple[str, ...] = ()
    """Addresses of the custodians that may upload and deposit, and whose word makes a patient known: for known patients
    the gateway pays."""
    sponsored: tuple[str, ...] = ()
    """Further addresses whose identity, board and study messages the gateway pays for."""
    boards: tuple[str, ...] = ()
    """Ids (0x) of the boards whose studies and decisions the gateway pays for."""
    reserve_wei: int = 0
    """With less than this left, the gateway pays for revocations alone."""
    workers: int = 1
    """Processes that serve; one of them does the background work."""
    ipfs: tuple[str, ...] = ()
    """RPC URLs of the IPFS nodes (Kubo) that keep the sealed records; with none named they are in `blocks.db`."""
    ipfs_copies: int = 0
    """Nodes that must hold a record before it is acknowledged; 0 means three, or all where there are fewer."""
    scrub_seconds: float = 86_400.0
    """How often every copy of every record is read and verified, where there are several nodes; 0: never."""
    pinning: tuple[str, ...] = ()
    """Endpoints of pinning services that are asked for further copies; their tokens are in pinning.json."""
    pinning_origins: tuple[str, ...] = ()
    """Multiaddresses under which pinning services reach the nodes, at most 20."""

    def validate(self) -> None:
        ServiceSettings.validate(self)
        for name, length in (("custodians", 40), ("sponsored", 40), ("boards", 64)):
            _require_hex(name, getattr(self, name), length)
        if not 1 <= self.workers <= 64:
            raise SettingsError("workers is 1 to 64", field="workers")
        if self.reserve_wei < 0:
            raise SettingsError("reserve_wei is not negative", field="reserve_wei")
        _check_replicas(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings(ServiceSettings):
    """One runner."""

    gateway: str
    """URL of the gateway it asks."""
    boards: tuple[str, ...] = ()
    """Ids (0x) of the boards whose studies' jobs this runner takes. None by default: anybody can found a board."""
    committees: tuple[str, ...] = ()
    """Ids (0x) of the committees whose records it believes: a committee of a liar's own could release anything."""
    job_timeout_seconds: float = 600.0
    """A job that runs longer is ended."""
    max_output_bytes: int = 1024 * 1024
    """Of all outputs of a job together; more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """One person's or institution's home folder: settings.json, keys.json (0600), deployment.json."""

    gateway: str
    """URL of the gateway."""
    rpc: str
    """URL of a chain node; what the gateway says about the chain is checked against it."""
    identity: str
    """The address acted for: the key's own, or the one it is a delegate of."""

    def save(self, folder: Path) -> None:
        write_json(folder / "settings.json", asdict(self))

    @classmethod
    def load(cls, folder: Path) -> ClientSettings:
        """SettingsError for a missing file, an unknown or a missing setting."""
        return _load(cls, folder)


def home_folder() -> Path:
    """CONSENTUM_HOME, else ~/.consentum."""
    return Path(os.environ.get("CONSENTUM_HOME") or Path.home() / ".consentum")


def hand_to_workers(folder: Path, relay: bool) -> None:
    """Leaves in this process's environment what its workers need to know."""
    os.environ["CONSENTUM_GATEWAY_WORKER"] = json.dumps([str(folder.resolve()), relay, os.getpid()])


def handed_to_worker() -> tuple[Path, bool, int]:
    """The folder, whether to relay, and the parent's process id. SettingsError outside a worker."""
    try:
        folder, relay, parent = json.loads(os.environ["CONSENTUM_GATEWAY_WORKER"])
    except (KeyError, ValueError):
        raise SettingsError("this is no worker of a gateway", field="CONSENTUM_GATEWAY_WORKER") from None
    return Path(folder), bool(relay), int(parent)


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


def _require_hex(name: str, items: Sequence[str], digits: int) -> None:
    if not all(re.fullmatch(rf"0x[0-9a-fA-F]{{{digits}}}", str(item)) for item in items):
        raise SettingsError(f"{name} holds something that is no 0x text of {digits} digits", field=name)


def _load(kind: type[T], folder: Path) -> T:
    path = folder / "settings.json"
    try:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise SettingsError(f"{path} cannot be read; run init first") from None
    unknown = data.keys() - {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown:
        raise SettingsError("unknown setting", field=min(unknown))
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in data.items()})
    except TypeError as error:
        raise SettingsError(f"{path}: {error}") from None


def _check_tls(certificate: str | None, key: str | None) -> None:
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        if (path is None) != (certificate is None and key is None):
            raise SettingsError("tls_certificate and tls_key go together", field=name)
        if path is not None and not Path(path).is_file():
            raise SettingsError("there is no such file", field=name)


def _check_replicas(settings: GatewaySettings) -> None:
    http = [node for node in settings.ipfs if urlsplit(node).scheme in ("http", "https")]
    if len(set(http)) != len(settings.ipfs):
        raise SettingsError("IPFS nodes are http(s) URLs, each named once", field="ipfs")
    if not 0 <= settings.ipfs_copies <= len(settings.ipfs):
        raise SettingsError("ipfs_copies is 0 to the number of IPFS nodes", field="ipfs_copies")
    if settings.scrub_seconds < 0:
        raise SettingsError("scrub_seconds is not negative", field="scrub_seconds")
    for endpoint in settings.pinning:
        url = urlsplit(endpoint)  # a token travels with each request
        private = url.scheme == "https" or (url.scheme == "http" and _is_own(url.hostname or ""))
        if not private or url.username or url.password or url.query or not settings.ipfs:
            raise SettingsError("a pinning service is an https URL without secrets, and needs ipfs", field="pinning")
    origins = settings.pinning_origins
    if len(origins) > 20 or not all(re.fullmatch(r"/[!-~]{1,254}", origin) for origin in origins):
        raise SettingsError("pinning_origins are at most 20 multiaddresses", field="pinning_origins")


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise SettingsError("not an address or network", field="trusted_proxies") from None


def _is_own(host: str) -> bool:
    """A name without a dot, or a loopback or private address: on this host or inside the operator's network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bool(host) and "." not in host
    return address.is_loopback or address.is_private


def private_key_from_environment(name: str) -> bytes | None:
    """A 32-byte key in hex, or None if the variable is not set."""
    text = os.environ.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"(0x)?[0-9a-fA-F]{64}", text):
        raise SettingsError("not a key of 32 bytes in hex", field=name)
    return bytes.fromhex(text.removeprefix("0x"))


def anvil_path() -> str:
    """The anvil of CONSENTUM_ANVIL, else of PATH; SettingsError if there is none."""
    named = os.environ.get("CONSENTUM_ANVIL")
    found = shutil.which(named or "anvil")
    if found is None:
        where = "CONSENTUM_ANVIL names no program" if named else "anvil is not on PATH"
        raise SettingsError(f"{where}; it comes with Foundry", field="CONSENTUM_ANVIL")
    return found


def service_environment() -> dict[str, str]:
    """The environment for services that we start: ours without the keys that pay."""
    return {name: value for name, value in os.environ.items() if name != "CONSENTUM_DEPLOYER_KEY"}
