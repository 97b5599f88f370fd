# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheel_carries_types_and_artifacts_and_nothing_secret(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    artifacts = {
        f"consentum/_contracts/artifacts/{path.name}" for path in (ROOT / "contracts/artifacts").glob("*.json")
    }
    assert artifacts
    assert artifacts | {"consentum/_contracts/types.json", "consentum/cli/main.py"} <= names
    assert not [name for name in names if "test" in name or name.endswith((".db", "keys.json"))]
