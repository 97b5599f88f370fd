# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.stack import ROOT, until

pytestmark = pytest.mark.processes
COMMAND = [sys.executable, "-m", "scripts.demonstration.main"]
KEYS = [
    *("patients", "records", "granted", "released", "refused", "revoked", "revoked_by_notice", "auc_consented"),
    *("auc_plain", "released_after_revoke", "servers_needed", "journal_verified", "seconds"),
]


def environment(folder: Path) -> dict[str, str]:
    anvil = os.environ.get("CONSENTUM_ANVIL", str(ROOT / ".tools" / "bin" / "anvil"))
    return {**os.environ, "PYTHONPATH": str(ROOT), "CONSENTUM_ANVIL": anvil, "TMPDIR": str(folder)}


def test_the_demo_tells_its_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    facts = tmp_path / "facts.json"
    command = [*COMMAND, "--patients", "20", "--json", str(facts)]
    done = subprocess.run(command, env=environment(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(facts.read_text())
    assert list(result) == KEYS
    assert result["patients"] == result["records"] == result["granted"] == 20
    assert result["auc_consented"] == result["auc_plain"]
    assert result["released"] + sum(result["refused"].values()) == 20
    assert result["released_after_revoke"] == result["released"] - result["revoked"]
    assert result["journal_verified"] is True
    assert not list(tmp_path.glob("consentum-demo-*"))
    assert not _living(tmp_path)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_demo_ends_its_processes_end(tmp_path: Path, how: signal.Signals) -> None:
    demo = subprocess.Popen(
        [*COMMAND, "--patients", "20"],
        env=environment(tmp_path),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        # Whoever starts the tests in the background has them, and so the demo, ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else runs in it
    )
    try:
        assert until(lambda: len(_living(tmp_path)) >= 5, 60)
        time.sleep(0.5)
        demo.send_signal(how)
        demo.wait(timeout=30)
        assert until(lambda: not _living(tmp_path), 20)
    finally:
        demo.kill()


def test_a_demo_without_a_chain_fails_with_one_clear_line(tmp_path: Path) -> None:
    env = {**environment(tmp_path), "CONSENTUM_ANVIL": str(tmp_path / "nothing")}
    done = subprocess.run(
        [*COMMAND, "--patients", "20"], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("demo: ")
    assert done.stderr.count("\n") == 1


def _living(folder: Path) -> list[int]:
    """Processes whose files or arguments are in the demo's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (path / "cmdline").read_bytes().decode(errors="replace")
            output = os.readlink(path / "fd" / "1")
        except OSError:
            continue
        if "consentum-demo-" in output + arguments and str(folder) in output + arguments:
            found.append(int(path.name))
    return found
