# SPDX-License-Identifier: Apache-2.0
"""A Kubo for the tests and the demo: the one on PATH, else built from tools/kubo and kept, else npm's."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from setup_steps import BIN, LOG, NPM_CI, ROOT, TOOLS, attempt, key, link, reason

KUBO = ROOT / "tools" / "kubo"
VERSION = "0.43.1"  # of tools/kubo/go.mod and package.json
OLDEST = (0, 40)  # the profile unixfs-v1-2025, and `dag/import` as we call it
SKIP = "CONSENTUM_SKIP_KUBO"


def ensure_kubo(npm: Sequence[str]) -> Path | None:
    """Links .tools/bin/ipfs and returns it; None, after one line that says why, where there is none to be had.

    With CONSENTUM_SKIP_KUBO=1 only what is there already is used.
    """
    found = _on_path() or _kept()
    if found is None and os.environ.get(SKIP) != "1":
        found = _built() or _from_npm(npm)
    if found is None:
        (BIN / "ipfs").unlink(missing_ok=True)
        return None
    link("ipfs", found)
    return BIN / "ipfs"


def _on_path() -> Path | None:
    """An `ipfs` of the user's own, if it is new enough."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    elsewhere = os.pathsep.join(folder for folder in folders if Path(folder) != BIN)
    program = shutil.which("ipfs", path=elsewhere)
    if program is None:
        return None
    answer = subprocess.run([program, "version", "--number"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"(\d+)\.(\d+)\.", answer)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        return None
    return Path(program).resolve()


def _kept() -> Path | None:
    program = _cache() / "ipfs"
    return program if os.access(program, os.X_OK) else None


def _cache() -> Path:
    """Where a build is kept: outside this copy of the project, for it takes minutes and every copy needs the same."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    made_of = key(KUBO / "go.mod", KUBO / "go.sum", f"{sys.platform} {platform.machine()}")
    return base / "consentum" / f"kubo-{VERSION}-{made_of[:12]}"


def _built() -> Path | None:
    go = shutil.which("go")
    if go is None:
        return None
    cache = _cache()
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError:
        cache = TOOLS / "kubo"
        cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as draft:
        # readonly: what go.sum does not vouch for is not built.
        env = {**os.environ, "GOBIN": draft, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
        for other in ("GOOS", "GOARCH", "GOWORK"):
            env.pop(other, None)
        command = [go, "install", "-trimpath", "-ldflags=-s -w", "github.com/ipfs/kubo/cmd/ipfs"]
        if not attempt(f"Kubo {VERSION}, built once (minutes)", command, cwd=KUBO, env=env):
            print(f"set-up: Kubo cannot be built: {reason()}", file=sys.stderr, flush=True)
            return None
        (Path(draft) / "ipfs").replace(cache / "ipfs")  # whole or not at all
    return cache / "ipfs"


def _from_npm(npm: Sequence[str]) -> Path | None:
    """npm's package holds no program: a script of its own downloads it, which only works on the open internet."""
    package = KUBO / "node_modules" / "kubo"
    program = package / "kubo" / "ipfs"
    if program.exists():
        return program
    env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    fetch = [str(BIN / "node"), str(package / "src" / "post-install.js")]
    if not (
        attempt("npm packages (kubo)", [*npm, *NPM_CI], cwd=KUBO, env=env)
        and attempt(f"Kubo {VERSION}, downloaded", fetch, cwd=package, env=env)
    ):
        where = LOG.relative_to(ROOT)
        print(f"set-up: npm's Kubo cannot be downloaded here (see {where})", file=sys.stderr, flush=True)
        return None
    return program if program.exists() else None
