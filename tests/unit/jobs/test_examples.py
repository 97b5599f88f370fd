# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/jobs.md run as they are printed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consentum.domain.package import JobPackage
from consentum.jobs.dataset import Dataset
from consentum.jobs.run import Bounds, run
from consentum.jobs.source import JobRecord
from tests.fakes.records import HeldRecords

PAGE = (Path(__file__).resolve().parents[3] / "docs/jobs.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = [{"age": 30 + n, "size": n % 7, "ill": n % 2} for n in range(24)]


def ran(code: str, ends: Sequence[int] = ()) -> Any:
    records = [JobRecord(f"p{n % 8}", "", "application/json", json.dumps(row).encode()) for n, row in enumerate(ROWS)]
    package = JobPackage({"job.py": code.encode()}, "job:main", 4, {"metrics": "json"})
    return run(package, HeldRecords(records, ends), Bounds(60.0, 4_096))["metrics"]


def test_the_page_has_two_examples() -> None:
    assert len(EXAMPLES) == 2


def test_the_classifier_runs() -> None:
    assert 0 <= ran(EXAMPLES[0])["accuracy"] <= 1


def test_the_job_that_starts_over_computes_over_who_is_left() -> None:
    left = [row["age"] for n, row in enumerate(ROWS) if n != 9]
    assert ran(EXAMPLES[1], ends=[9]) == {"mean": sum(left) / len(left)}


def test_everything_the_page_says_a_dataset_has_it_has() -> None:
    for name in re.findall(r"dataset\.(\w+)", PAGE.split("## scikit-learn")[0]):
        assert hasattr(Dataset, name), name
