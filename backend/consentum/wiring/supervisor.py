# SPDX-License-Identifier: Apache-2.0
"""Starts a local system, keeps it running and writes down what runs: `consentum up`."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consentum.adapters.store.engine import FolderLock
from consentum.errors import SettingsError
from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings, ServiceSettings
from consentum.wiring import inventory
from consentum.wiring.allowing import Allowed, allow
from consentum.wiring.content import require_nodes
from consentum.wiring.founding import DevelopmentBoard, read
from consentum.wiring.inventory import Inventory, Part, Running
from consentum.wiring.local import HOST, LocalSystem
from consentum.wiring.ports import require_free

Say = Callable[[str], None]
LOOK_SECONDS = 0.25
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY_SECONDS = 60.0
NOBODY = Allowed()
END_SECONDS = 20.0
KINDS: dict[str, type[ServiceSettings]] = {
    "keyserver-*": KeyServerSettings,
    "gateway": GatewaySettings,
    "runner": RunnerSettings,
}


@dataclass(slots=True)
class _Fate:
    """How often a process failed in a row, when it started, and when it may start again."""

    failures: int = 0
    started: float = field(default_factory=time.monotonic)
    again: float | None = None


class Supervisor:
    """One per folder: the lock says so."""

    def __init__(self, folder: Path, wanted: dict[str, Any], payer: bytes | None, say: Say) -> None:
        """wanted: fields of the inventory that were asked for. SettingsError if another supervisor runs, or if what is
        in the folder is of another kind than wanted."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = FolderLock(folder)
        self._folder, self._say = folder, say
        self.known = merged(folder, wanted)
        _, new = service_ports(folder, self.known)
        ports = iter(new)
        self._all_ports = ports_of(folder, self.known)
        self.system = LocalSystem(
            folder,
            size=self.known.servers,
            threshold=self.known.threshold,
            next_port=lambda: next(ports),
            payer=payer,
            unsafe_foreign_rpc=self.known.unsafe_foreign_rpc,
            profile=self.known.profile,
            gateway_options={"ipfs": tuple(self.known.ipfs)},
            with_peers=True,
        )
        self._fates: dict[str, _Fate] = {}

    def start(self, with_board: bool, allowed: Allowed = NOBODY) -> None:
        """Until every process is ready, serving also whom `allowed` names. On any error everything that was started is
        ended. PortTakenError, UnavailableError for an IPFS node that does not answer, before anything is."""
        for process in self.known.alive.values():  # of a supervisor that was killed
            process.end(END_SECONDS)
        for port in self._all_ports:
            require_free(HOST, port)
        require_nodes(self.known.ipfs)
        try:
            self.known.ready, self.known.supervisor = False, Running.of(os.getpid())
            self.known.save(self._folder)
            self._start(with_board, allowed)
            self._say("waiting until all are ready")
            self.system.wait_ready()
            self.known.ready = True
            self._note()
        except BaseException:
            self.stop()
            raise

    def _start(self, with_board: bool, allowed: Allowed) -> None:
        system, known = self.system, self.known
        if known.embedded:
            self._say("starting the chain")
            system.start_chain(self._say, known.port)
        else:
            system.use_chain(known.rpc, self._say)
        known.rpc, known.chain_id = system.rpc_url, system.deployment.chain_id
        known.deployment = str(system.deployment_path.resolve())
        board = DevelopmentBoard(self._folder / "board") if with_board or known.board else None
        known.board = "0x" + board.id.hex() if board else ""
        system.lay_out()
        allow(self._folder, replace(allowed, boards=(*allowed.boards, *filter(None, [known.board]))))
        self._say("starting key servers and gateway")
        system.start_services()
        self._note()
        committee = bytes.fromhex(known.committee.removeprefix("0x"))
        if not committee or not read(system.rpc, system.deployment, "KeyServerRegistry", "committeeOf", committee)[0]:
            committee = system.found_committee()
            known.committee = "0x" + committee.hex()
        if board:
            board.found(system.rpc, system.deployment, system.sender, system.runner_address)
        self._say("starting the runner")
        system.start_runner(board.id if board else b"", committee)
        self._note()

    def watch(self, stop: threading.Event) -> None:
        """Starts again whatever dies, after a pause that grows while it goes on dying; until told to stop."""
        while not stop.wait(LOOK_SECONDS):
            again = [self._look_after(name, code) for name, code in self.system.services.ended().items()]
            if any(again):
                self._note()

    def _look_after(self, name: str, code: int) -> bool:
        """Whether it was started again."""
        fate, now = self._fates.setdefault(name, _Fate()), time.monotonic()
        if fate.again is None:
            told_to_end = code in (0, -signal.SIGTERM)  # by somebody who wants it to read its settings again
            fate.failures = 0 if told_to_end or now - fate.started > STEADY_SECONDS else fate.failures
            pause = min(FIRST_PAUSE * 2**fate.failures, LONGEST_PAUSE)
            fate.failures, fate.again = fate.failures + 1, now + pause
            self._say(f"{name} ended (exit code {code}); it starts again in {pause:g} s")
        if now < fate.again:
            return False
        self.system.services.again(name)
        fate.started, fate.again = now, None
        self._say(f"{name} started again")
        return True

    def stop(self) -> None:
        """Ends everything; what is in the folder stays."""
        self.system.close()
        self.known.ready, self.known.supervisor = False, None
        self._note()
        self._lock.release()

    def _note(self) -> None:
        """Writes system.json anew."""
        system, running = self.system, self.system.processes
        parts = {}
        if self.known.embedded:
            parts["anvil"] = Part(noun="anvil", endpoint=self.known.rpc)
        for server in system.servers:
            folder = str(server.folder)
            parts[server.name] = Part(noun="keyserver", endpoint=server.endpoint, address=server.address, folder=folder)
        if system.servers:
            for noun in ("gateway", "runner"):
                url, address = getattr(system, f"{noun}_url"), getattr(system, f"{noun}_address")
                folder = str(self._folder / noun)
                parts[noun] = Part(noun=noun, endpoint=url, address=address, folder=folder)
        self.known.parts |= parts
        for name, part in self.known.parts.items():
            part.process = Running.of(running[name].pid) if name in running else None
        self.known.save(self._folder)


def service_ports(folder: Path, known: Inventory) -> tuple[list[int], list[int]]:
    """Of the services that were laid out before, and of those that will be."""
    kept = [
        kind.load(path).port
        for pattern, kind in KINDS.items()
        for path in sorted(folder.glob(pattern))
        if (path / "settings.json").exists()
    ]
    first, missing = known.port + 1, max(known.servers + len(KINDS) - 1 - len(kept), 0)
    return kept, [port for port in range(first, first + missing + len(kept)) if port not in kept][:missing]


def ports_of(folder: Path, known: Inventory) -> list[int]:
    """Every port the system of a folder needs, the chain's first."""
    kept, new = service_ports(folder, known)
    return [*([known.port] if known.embedded else []), *kept, *new]


def merged(folder: Path, wanted: dict[str, Any]) -> Inventory:
    """What is in the folder, else what is wanted; SettingsError if another kind of system is in the folder."""
    if not (folder / inventory.FILE).exists():
        return replace(Inventory(), **wanted)
    known = Inventory.load(folder)
    for name, value in wanted.items():
        if getattr(known, name) != value:
            raise SettingsError("the system in this folder was made with another value", field=name)
    return known


def allow_now(folder: Path, allowed: Allowed) -> list[str]:
    """Lets a system that runs serve these too: writes its settings and ends the services that must read them, which
    its supervisor starts again; their names."""
    changed = allow(folder, allowed)
    for name in changed:
        process = Inventory.load(folder).parts[name].process
        if process is not None:
            process.end(END_SECONDS)
    return changed


def is_running(folder: Path) -> bool:
    """Whether a supervisor of this folder is alive."""
    if not (folder / inventory.FILE).exists():
        return False
    known = Inventory.load(folder)
    return known.supervisor is not None and known.supervisor.alive


def take_down(folder: Path, seconds: float) -> list[str]:
    """Ends the supervisor, which ends the others, and whoever of them is left; their names. NotRunningError if there
    never was a system in this folder."""
    known = Inventory.load(folder)
    alive = known.alive
    if known.supervisor is not None:
        known.supervisor.end(seconds)
    latest = Inventory.load(folder)  # it may have started some again meanwhile
    for process in {**alive, **latest.alive}.values():
        process.end(END_SECONDS)
    return sorted({*alive, *latest.alive})
