# SPDX-License-Identifier: Apache-2.0
"""The folders of a local system: keys and settings of every service, made once and taken up where a start stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from consentum.adapters.peers.http import HttpClient, HttpKeyServer
from consentum.adapters.store.files import read_private
from consentum.crypto.signing import WalletKey
from consentum.errors import KeyFileError
from consentum.settings import KeyServerSettings, ServiceSettings
from consentum.wiring.key_file import KeyFile

S = TypeVar("S", bound=ServiceSettings)
KEY_FILE = "keys.json"
SETTINGS_FILE = "settings.json"
ANCHOR_SECONDS = 3.0


@dataclass(slots=True)
class KeyServerProcess:
    """A key server as it is known from outside."""

    number: int
    folder: Path
    address: str
    endpoint: str

    @property
    def name(self) -> str:
        return server_name(self.number)

    def peer(self) -> HttpKeyServer:
        return HttpKeyServer(self.address, HttpClient(self.endpoint))


def server_name(number: int) -> str:
    """What a local system calls its key servers' processes."""
    return f"server {number}"


def numbered(folder: Path) -> dict[str, Path]:
    """The folders of a local system's key servers, by the names of their processes."""
    paths = sorted(folder.glob("keyserver-*"), key=lambda path: int(path.name.removeprefix("keyserver-")))
    return {server_name(number): path for number, path in enumerate(paths, start=1)}


def account_of(folder: Path) -> str:
    """The address of the process of a folder."""
    try:
        return WalletKey(bytes.fromhex(json.loads(read_private(folder / KEY_FILE))["account"])).address
    except (ValueError, KeyError, TypeError):
        raise KeyFileError("the key file is damaged", field=KEY_FILE) from None


def lay_out(folder: Path, noun: str, kind: type[S], common: dict[str, Any], next_port: Callable[[], int]) -> S:
    """The settings of one service; keys and settings are made where there are none. next_port is asked only then."""
    if (folder / SETTINGS_FILE).exists():
        account_of(folder)
        return kind.load(folder)
    port = next_port()
    settings = kind(**common, port=port, endpoint=f"http://localhost:{port}")
    if (folder / KEY_FILE).exists():  # an init that was interrupted
        settings.validate()
        settings.save(folder)
    else:
        import_module(f"consentum.wiring.{noun}").initialise(folder, settings)
    return settings


def lay_out_servers(
    folder: Path, size: int, about: dict[str, Any], next_port: Callable[[], int]
) -> list[KeyServerProcess]:
    """The key servers, numbered. Committees list members ascending, so that is the order of their numbers here."""
    folders = [path for path in sorted(folder.glob("keyserver-*")) if (path / KEY_FILE).exists()]
    for number in range(len(folders), size):
        made = folder / f"keyserver-new-{number}"
        KeyFile.create(made / KEY_FILE)  # settings follow, when the numbers are known
        folders.append(made)
    servers = []
    for number, path in enumerate(_in_order(folder, folders), start=1):
        settings = lay_out(path, "keyserver", KeyServerSettings, about, next_port)
        servers.append(KeyServerProcess(number, path, account_of(path), settings.endpoint))
    return servers


def introduce(servers: Sequence[KeyServerProcess]) -> None:
    """Each is told of the others, for notices; peers that somebody wrote into its settings stay."""
    for server in servers:
        settings = KeyServerSettings.load(server.folder)
        others = (other.endpoint for other in servers if other is not server)
        peers = tuple(dict.fromkeys((*settings.peers, *others)))
        if peers != settings.peers:
            replace(settings, peers=peers).save(server.folder)


def _in_order(folder: Path, folders: list[Path]) -> list[Path]:
    """Renames where the order is not yet that of the addresses: first out of each other's way, then to the numbers."""
    ordered = sorted(folders, key=lambda path: account_of(path).lower())
    wanted = [folder / f"keyserver-{number}" for number in range(1, len(ordered) + 1)]
    if ordered == wanted:
        return ordered
    aside = [path.rename(folder / f"keyserver-{account_of(path).lower()}") for path in ordered]
    return [path.rename(target) for path, target in zip(aside, wanted, strict=True)]
