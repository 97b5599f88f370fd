# SPDX-License-Identifier: Apache-2.0
"""The benchmarks' keys are a promise: documented, all there, and each a measured number."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from scripts.benchmarks.main import SUITES, measure, parse
from scripts.benchmarks.measure import Run, Suite, milliseconds, percentile
from scripts.demonstration.story import Story

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/benchmarks.md").read_text("utf-8")


def documented() -> list[tuple[str, str]]:
    """(suite.key, unit) of every row of the table of keys."""
    return re.findall(r"^\| `(\w+\.\w+)` \| ([^|]+?) \|", PAGE, re.MULTILINE)


def run_of(tmp_path: Path) -> Run:
    return Run(Story(1), tmp_path, quick=True)


def given(found: dict[str, float], _: Run) -> dict[str, float]:
    return found


def test_every_key_is_documented_in_order_with_its_unit() -> None:
    emitted = [(f"{name}.{key}", unit) for name, suite in SUITES.items() for key, unit in suite.keys.items()]
    assert documented() == emitted


def test_every_documented_key_has_a_meaning_and_a_measured_value() -> None:
    for row in re.findall(r"^\| `\w+\.\w+` \|.*$", PAGE, re.MULTILINE):
        _, _, *values, meaning = (cell.strip() for cell in row.strip("|").split("|"))
        assert len(values) == 2, row
        assert all(float(value.replace(",", "")) > 0 for value in values), row
        assert len(meaning) > 10, row


def test_a_suite_that_forgets_a_key_is_not_reported(tmp_path: Path) -> None:
    suite = Suite("some", "", {"one": "ms", "two": "ms"}, partial(given, {"one": 1.0}))
    with pytest.raises(AssertionError, match="two"):
        measure(suite, run_of(tmp_path))


def test_a_suite_that_makes_up_a_key_is_not_reported(tmp_path: Path) -> None:
    suite = Suite("some", "", {"one": "ms"}, partial(given, {"one": 1.0, "other": 1.0}))
    with pytest.raises(AssertionError, match="unknown"):
        measure(suite, run_of(tmp_path))


def test_only_a_key_that_needs_a_program_of_the_machine_may_be_missing(tmp_path: Path) -> None:
    suite = Suite("some", "", {"one": "ms", "two": "ms"}, partial(given, {"one": 1.0}), frozenset({"two"}))
    assert measure(suite, run_of(tmp_path)) == {"one": 1.0}


def test_percentiles_are_samples_by_nearest_rank() -> None:
    hundred = [n / 1_000 for n in range(100, 0, -1)]
    assert milliseconds("x", hundred, 50, 95, 99) == {"x_p50_ms": 50.0, "x_p95_ms": 95.0, "x_p99_ms": 99.0}
    assert percentile([7.0], 0.99) == percentile([7.0], 0.01) == 7.0


@pytest.mark.parametrize("arguments", [["nonsense"], ["--entries", "1"]], ids=["suite", "entries"])
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        parse()
    assert ended.value.code == 2
    assert re.search("there are:|takes", capsys.readouterr().err)


@pytest.mark.processes
def test_a_quick_run_gives_every_documented_key_a_positive_number(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    command = [sys.executable, "-m", "scripts.benchmarks.main", "--quick", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(file.read_text("utf-8"))
    assert report["machine"]["cores"] >= 1
    assert {"python", "anvil", "eas-contracts", "ethr-did-registry"} <= set(report["versions"])
    assert list(report["suites"]) == list(SUITES)
    for name, suite in SUITES.items():
        found = report["suites"][name]
        assert set(suite.keys) - set(found) <= suite.optional, name
        assert [key for key, value in found.items() if not value > 0] == []
