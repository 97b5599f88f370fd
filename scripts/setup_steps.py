# SPDX-License-Identifier: Apache-2.0
"""How set-up goes forward: steps that show they live, stamps that leave them out, one set-up at a time."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"
LOG = TOOLS / "setup.log"
# Foundry's programs are optional dependencies, one a platform; no package needs its install script.
NPM_CI = ("ci", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
TICK = 2.5  # seconds between signs of life


def fail(message: str) -> NoReturn:
    raise SystemExit(f"set-up: {message}")


def step(title: str, command: Sequence[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None,
         attempts: int = 1) -> None:  # fmt: skip
    """Runs `command` as `attempt` does, up to `attempts` times; ends the program where it fails."""
    if not attempt(title, command, cwd=cwd, env=env, attempts=attempts):
        fail(f"FAILED at {title}: {reason()} (all of it: {LOG.relative_to(ROOT)})")


def attempt(title: str, command: Sequence[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None,
            attempts: int = 1) -> bool:  # fmt: skip
    """Runs `command` with its output in the log; shows the title, a dot every few seconds and the time taken.

    Whether it went well; `reason` tells why not.
    """
    print(f"set-up: {title} ", end="", file=sys.stderr, flush=True)
    start = time.monotonic()
    for turn in range(1, attempts + 1):
        if _run(command, cwd, env) == 0:
            print(f" {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
            return True
        if turn < attempts:
            print(" once more ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return False


def _run(command: Sequence[str], cwd: Path, env: dict[str, str] | None) -> int:
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        with process:
            while True:
                try:
                    return process.wait(TICK)
                except subprocess.TimeoutExpired:
                    print(".", end="", file=sys.stderr, flush=True)


def reason() -> str:
    """What the last step said when it failed."""
    lines = [line.strip() for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    return (errors or lines or ["it said nothing"])[-1][:300]


@contextmanager
def alone() -> Iterator[None]:
    """One set-up at a time: the demo and the tests may be started together."""
    with (TOOLS / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: waiting for another one to end", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def key(*sources: Path | str) -> str:
    """One hash over texts and the contents of files."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256(source.encode() if isinstance(source, str) else source.read_bytes()).digest())
    return digest.hexdigest()


def holds(stamp: Path, wanted: str) -> bool:
    """Whether the step that left `stamp` was done with what there is now."""
    return stamp.exists() and stamp.read_text() == wanted


def write(path: Path, text: str) -> None:
    path.write_text(text)


def link(name: str, target: Path) -> None:
    """Makes .tools/bin/`name` a link to `target`."""
    path = BIN / name
    if not (path.is_symlink() and os.readlink(path) == str(target)):
        path.unlink(missing_ok=True)
        path.symlink_to(target)


def wrap(name: str, script: Path) -> None:
    """Makes .tools/bin/`name` a program that runs `script` with our Node."""
    wrapper = BIN / name
    text = f'#!/bin/sh\nexec "{BIN / "node"}" "{script}" "$@"\n'
    if not (wrapper.exists() and wrapper.read_text() == text):
        write(wrapper, text)
        wrapper.chmod(0o755)
