# SPDX-License-Identifier: Apache-2.0
"""Processes of this host that we start, each with a log of its own, and that end with us."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from consentum.settings import anvil_path, service_environment

STOP_SECONDS = 15


def die_with_parent() -> None:
    """Linux: a child is ended when its parent is, even by kill -9."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def anvil_command(port: int, state: Path | None) -> list[str]:
    """A chain that makes a block each second: with blocks on demand an idle one goes stale, and every release is
    rightly refused. state: the file it is kept in across restarts."""
    command = [anvil_path(), "--port", str(port), "--block-time", "1", "--slots-in-an-epoch", "1", "--silent"]
    if state is not None:
        command += ["--state", str(state), "--state-interval", "5"]
    return command


def service_command(noun: str, folder: Path, *options: str) -> list[str]:
    """noun: keyserver, gateway or runner."""
    return [sys.executable, "-m", "consentum.cli.main", noun, "serve", "--folder", str(folder), *options]


@dataclass(slots=True)
class Processes:
    """What runs, by name. Logs are <folder>/<name>.log."""

    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    commands: dict[str, list[str]] = field(default_factory=dict)

    def spawn(self, name: str, command: Sequence[str]) -> None:
        """Starts one and remembers how."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / f"{name.replace(' ', '-')}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(  # noqa: S603 - a command line of ours
                list(command),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=service_environment(),
                # Ctrl-C is for us: we end them in order.
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - it only calls prctl
            )
        self.commands[name] = list(command)

    def again(self, name: str) -> None:
        """Starts one that ended, as it was started before."""
        self.spawn(name, self.commands[name])

    def ended(self) -> Mapping[str, int]:
        """Those that ended without being told to, with their exit codes."""
        codes = {name: process.poll() for name, process in self.running.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self, name: str) -> None:
        """Ends one by its pid and waits for it."""
        process = self.running.pop(name)
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """Ends everything: the newest first, so that nobody misses what it relies on; the chain is last."""
        for name in reversed(list(self.running)):
            self.stop(name)
