# SPDX-License-Identifier: Apache-2.0
"""system.json: what a local system consists of and which processes run for it now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from consentum.errors import CorruptError, NotRunningError

FILE = "system.json"


@dataclass(frozen=True, slots=True)
class Running:
    """A process by its pid and by when it started: pids are used again, the two together are not."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Running:
        return cls(pid, started_at(pid))

    @property
    def alive(self) -> bool:
        """Whether it is still this process. Never true of another that has its number now."""
        return bool(self.started) and started_at(self.pid) == self.started

    def tell(self, number: int) -> None:
        """Sends a signal, if it is alive."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, seconds: float) -> None:
        """SIGTERM, and SIGKILL to whoever is still there after so long."""
        self.tell(signal.SIGTERM)
        if not gone(lambda: self.alive, seconds):
            self.tell(signal.SIGKILL)
            gone(lambda: self.alive, 5)


def gone(alive: Callable[[], bool], seconds: float) -> bool:
    """Waits until it is no longer alive; whether it is gone."""
    deadline = time.monotonic() + seconds
    while alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def started_at(pid: int) -> str:
    """When a process started, in the system's own terms; "" if there is none (or only what waits to be reaped)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        return "" if fields[0] == "Z" else f"{boot}:{fields[19]}"
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return ""
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed


@dataclass(slots=True, kw_only=True)
class Part:
    """One process of the system: what it is and, while it runs, who. address and folder are "" for the chain."""

    noun: str
    endpoint: str
    address: str = ""
    folder: str = ""
    process: Running | None = None


@dataclass(slots=True, kw_only=True)
class Inventory:
    """The content of system.json. port: the first of the ports; committee, board: ids in hex, "" while there is none.
    rpc: "" until a chain was chosen. ipfs: the nodes that keep the records; none where the gateway does.
    ready: whether the start that wrote it came to its end."""

    port: int = 8545
    servers: int = 3
    threshold: int = 2
    rpc: str = ""
    embedded: bool = True
    unsafe_foreign_rpc: bool = False
    profile: str | None = None
    ipfs: list[str] = field(default_factory=list)
    chain_id: int = 0
    deployment: str = ""
    committee: str = ""
    board: str = ""
    ready: bool = False
    supervisor: Running | None = None
    parts: dict[str, Part] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f"{FILE}.new"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Inventory:
        """NotRunningError if no system was ever started here; CorruptError if the file is damaged."""
        path = folder / FILE
        if not path.is_file():
            raise NotRunningError(f"no system was started in {folder}", field="folder")
        try:
            data = json.loads(path.read_text("utf-8"))
            data["supervisor"] = data["supervisor"] and Running(**data["supervisor"])
            for name, part in data["parts"].items():
                part["process"] = part["process"] and Running(**part["process"])
                data["parts"][name] = Part(**part)
            return cls(**data)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CorruptError(f"{path} is damaged; its processes, if any, must be ended by hand", field=FILE) from None

    @property
    def alive(self) -> dict[str, Running]:
        """The processes that run now, by name."""
        return {name: part.process for name, part in self.parts.items() if part.process and part.process.alive}
