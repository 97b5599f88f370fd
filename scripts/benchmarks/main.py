# SPDX-License-Identifier: Apache-2.0
"""The benchmarks: gas, envelope, store, journal, release, deposit, revoke; ours and the peers' in one run.

What each key means and how it is measured is in docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from consentum.errors import ConsentumError
from scripts.benchmarks import deposit, envelope, gas, journal, release, revoke, store
from scripts.benchmarks.measure import Run, Suite
from scripts.demonstration.story import Story

# revoke is last: those who revoke are then in no page.
SUITES: dict[str, Suite] = {
    module.SUITE.name: module.SUITE for module in (gas, envelope, store, journal, release, deposit, revoke)
}
PACKAGES = ("consentum", "cryptography", "tink", "coincurve", "fastapi", "uvicorn", "httpx", "sqlalchemy", "web3")
PEERS = {"eas-contracts": "@ethereum-attestation-service/eas-contracts", "ethr-did-registry": "ethr-did-registry"}
QUICK_ENTRIES = 2_000


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="suite", help=f"of {', '.join(SUITES)}; default all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write machine, versions and every figure to FILE")
    parser.add_argument("--quick", action="store_true", help="a few samples: shows that it works, not how fast it is")
    parser.add_argument("--entries", type=int, default=100_000, metavar="N", help="the journal's size; default 100,000")
    given = parser.parse_args()
    unknown = sorted(set(given.suites) - set(SUITES))
    if unknown:
        parser.error(f"no suite {', '.join(unknown)} (there are: {', '.join(SUITES)})")
    if not 100 <= given.entries <= 10_000_000:
        parser.error("--entries takes 100 to 10,000,000")
    return given


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "temporary_files": tempfile.gettempdir(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.machine()


def versions() -> dict[str, str]:
    from scripts.benchmarks.peers import MODULES  # noqa: PLC0415 - beside its only use

    found = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    found |= {
        name: str(json.loads((MODULES / folder / "package.json").read_text())["version"])
        for name, folder in PEERS.items()
        if (MODULES / folder).exists()
    }
    for name, program in (("anvil", os.environ.get("CONSENTUM_ANVIL", "anvil")), ("age", "age")):
        if shutil.which(program):
            answer = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
            found[name] = answer.splitlines()[0].split()[-1] if answer.strip() else "?"
    return found


def measure(suite: Suite, run: Run) -> dict[str, float]:
    """A suite's figures, rounded, in the order of its keys. AssertionError if they are not the documented ones."""
    found = suite.run(run)
    missing = set(suite.keys) - set(found)
    assert missing <= suite.optional, f"{suite.name} gave no {sorted(missing)}"
    assert set(found) <= set(suite.keys), f"{suite.name} gave unknown keys"
    return {key: _rounded(found[key]) for key in suite.keys if key in found}


def _rounded(value: float) -> float:
    """Four significant digits, whole numbers from 1,000 on: more is noise."""
    return round(value) if value >= 1_000 or value == int(value) else float(f"{value:.4g}")


def table(story: Story, figures: dict[str, dict[str, float]]) -> None:
    rows = [
        (f"{name}.{key}", f"{value:,}", SUITES[name].keys[key])
        for name, found in figures.items()
        for key, value in found.items()
    ]
    width = max(len(row[1]) for row in rows)
    story.table([(key, value.rjust(width), unit) for key, value, unit in rows])


def main() -> int:
    given = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [suite for name, suite in SUITES.items() if name in (given.suites or SUITES)]
    story, begun = Story(len(chosen)), time.monotonic()
    report: dict[str, Any] = {"machine": machine(), "versions": versions(), "quick": given.quick, "suites": {}}
    with tempfile.TemporaryDirectory(prefix="consentum-bench-") as folder:
        run = Run(story, Path(folder), given.quick, min(given.entries, QUICK_ENTRIES) if given.quick else given.entries)
        try:
            for suite in chosen:
                with story.stage(suite.name, suite.title):
                    report["suites"][suite.name] = measure(suite, run)
        except (ConsentumError, RuntimeError, TimeoutError, OSError) as error:
            print(f"bench: {getattr(error, 'code', type(error).__name__)}: {error}", file=sys.stderr, flush=True)
            return 1
        except KeyboardInterrupt:
            return 130
        finally:
            story.doing("the system ends")
            run.close()
            story.doing("")
    print()
    table(story, report["suites"])
    story.say(f"\n{time.monotonic() - begun:.0f} s" + ("; --quick: the figures mean nothing" if given.quick else ""))
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
