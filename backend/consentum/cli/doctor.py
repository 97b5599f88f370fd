# SPDX-License-Identifier: Apache-2.0
"""`consentum doctor`: what could keep a system from running here, one line per check."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from consentum.cli.hints import hint_of
from consentum.cli.output import json_option, show
from consentum.cli.system import folder_option
from consentum.errors import ConsentumError, KeyFileError, SettingsError, UnavailableError

MIN_FREE_BYTES = 1024**3
MAX_CLOCK_SECONDS = 30
PACKAGES = ("consentum", "web3", "cryptography", "fastapi", "uvicorn", "sqlalchemy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: "" for code means that it is well."""

    check: str
    detail: str
    code: str = ""


@click.command("doctor")
@folder_option
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Look for what could keep a system from running here. Exit code 1 if anything is found."""
    found = [_judge(name, check) for name, check in checks(folder)]
    data = [
        {"check": f.check, "ok": not f.code, "detail": f.detail}
        | ({"code": f.code, "hint": hint_of(f.code)} if f.code else {})
        for f in found
    ]
    lines = [
        f"ok    {f.check}: {f.detail}" if not f.code else f"FAIL  {f.check}: {f.code}: {f.detail} - {hint_of(f.code)}"
        for f in found
    ]
    show({"ok": all(not f.code for f in found), "checks": data}, lines, as_json)
    if any(f.code for f in found):
        raise click.exceptions.Exit(1)


def _judge(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, check())
    except ConsentumError as error:
        return Finding(name, str(error), error.code)


def checks(folder: Path) -> Iterator[tuple[str, Callable[[], str]]]:
    """Each check gives what it saw, or raises what is wrong."""
    yield "python", _python
    yield "versions", _versions
    yield "anvil", _anvil
    yield "disk", lambda: _disk(folder)
    yield "ports", lambda: _ports(folder)
    yield "key files", lambda: _key_files(folder)
    if (folder / "system.json").exists():
        yield "clock", lambda: _clock(folder)
        yield "contracts", lambda: _contracts(folder)


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - a doctor must not take its own health for granted
        raise SettingsError("Python 3.11 or newer is needed")
    return sys.version.split()[0]


def _versions() -> str:
    try:
        return ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    except PackageNotFoundError as error:
        raise SettingsError(f"{error.name} is not installed") from None


def _anvil() -> str:
    from consentum.settings import anvil_path  # noqa: PLC0415 - next to its use

    return anvil_path()


def _disk(folder: Path) -> str:
    there = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < MIN_FREE_BYTES:
        raise UnavailableError(f"{free // 1024**2} MiB are free; a full disk stops every release")
    return f"{free // 1024**3} GiB free"


def _ports(folder: Path) -> str:
    """Free, or used by the system of this folder."""
    from consentum.wiring.inventory import Inventory  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.ports import require_free  # noqa: PLC0415 - as above
    from consentum.wiring.supervisor import ports_of  # noqa: PLC0415 - as above

    known = Inventory.load(folder) if (folder / "system.json").exists() else Inventory()
    if known.alive:
        return "used by the running system"
    ports = ports_of(folder, known)
    for port in ports:
        require_free("127.0.0.1", port)
    return ", ".join(map(str, ports)) + " are free"


def _key_files(folder: Path) -> str:
    files = sorted(folder.glob("*/keys.json"))
    for path in files:
        if path.stat().st_mode & 0o077:
            raise KeyFileError("others can read the key file; it must have mode 0600", field=str(path))
    return f"{len(files)} key files, mode 0600"


def _clock(folder: Path) -> str:
    import time  # noqa: PLC0415 - next to its use

    block: Any = _rpc(folder).call("eth_getBlockByNumber", "latest", False)
    distance = time.time() - int(block["timestamp"], 16)
    if abs(distance) > MAX_CLOCK_SECONDS:
        raise UnavailableError(f"the chain's clock and this host's are {distance:.0f} s apart; set the clock (NTP)")
    return f"{distance:.1f} s from the chain's"


def _contracts(folder: Path) -> str:
    from consentum.adapters.chain.artifacts import CONTRACTS, artifact  # noqa: PLC0415 - as above
    from consentum.adapters.chain.deployment import Deployment  # noqa: PLC0415 - as above

    deployment, rpc = Deployment.load(folder / "deployment.json"), _rpc(folder)
    if deployment.source_hash != artifact("DidRegistry")["sourceHash"]:
        raise SettingsError("the contracts on chain come from other sources than this package", field="deployment")
    for name in CONTRACTS:
        if len(str(rpc.call("eth_getCode", deployment.address_of(name), "latest"))) <= 2:
            raise SettingsError(f"{name} is not on the chain", field="deployment")
    return f"on chain {deployment.chain_id}, of the sources of this package"


def _rpc(folder: Path) -> Any:
    from consentum.adapters.chain.rpc import Rpc  # noqa: PLC0415 - as above
    from consentum.wiring.inventory import Inventory  # noqa: PLC0415 - as above

    return Rpc(Inventory.load(folder).rpc or "http://127.0.0.1:8545", 5)
