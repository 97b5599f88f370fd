# SPDX-License-Identifier: Apache-2.0
"""What comes out of a job's process: its declared outputs, or that it failed, where, and not one word more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from consentum.domain.package import JobPackage
from consentum.errors import UnavailableError
from consentum.jobs.run import Bounds, JobFailed, run
from consentum.jobs.source import JobRecord
from tests.fakes.records import FailingRecords, HeldRecords

CANARY = "canary-7f3a91"
RECORDS = [
    JobRecord("p1", "a.json", "application/json", b'{"age": 61, "name": "' + CANARY.encode() + b'"}'),
    JobRecord("p2", "b.json", "application/json", b'{"age": 58}'),
    JobRecord("p1", "c.bin", "application/octet-stream", bytes(range(256))),
]


def package(code: str, outputs: Sequence[str] = ("out",), **files: str) -> JobPackage:
    sources = {"job.py": code, **{f"{name}.py": text for name, text in files.items()}}
    encoded = {path: text.encode() for path, text in sources.items()}
    return JobPackage(encoded, "job:main", 4, dict.fromkeys(outputs, "json"))


def ran(code: str, outputs: Sequence[str] = ("out",), timeout: float = 20.0, limit: int = 4_096) -> Mapping[str, Any]:
    return run(package(code, outputs), HeldRecords(RECORDS), Bounds(timeout, limit))


def failed(code: str, outputs: Sequence[str] = ("out",), timeout: float = 20.0, limit: int = 4_096) -> str:
    with pytest.raises(JobFailed) as caught:
        ran(code, outputs, timeout, limit)
    assert caught.value.code == "JOB_FAILED"
    assert CANARY not in str(caught.value)
    return str(caught.value)


def main(body: str) -> str:
    return f"def main(data):\n    {body}\n"


# What comes back


def test_the_declared_outputs_come_back() -> None:
    code = "def main(data):\n    many = [r.pseudonym for r in data]\n    return {'out': many, 'n': {'of': len(many)}}\n"
    assert ran(code, ("out", "n")) == {"out": ["p1", "p2", "p1"], "n": {"of": 3}}


def test_the_scratch_folder_may_be_named_relatively(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scratch").mkdir()
    bounds = Bounds(20.0, 4_096, Path("scratch"))
    assert run(package(main("return {'out': 1}")), HeldRecords(RECORDS), bounds) == {"out": 1}


def test_a_job_may_be_of_several_files() -> None:
    code = "from helper import total\ndef main(data):\n    return {'out': total(data)}\n"
    made = package(code, helper="def total(data):\n    return sum(len(r.content) for r in data)\n")
    assert run(made, HeldRecords(RECORDS), Bounds(20.0, 4_096)) == {"out": sum(len(r.content) for r in RECORDS)}


def test_a_job_may_ignore_the_rest_of_its_records() -> None:
    many = [JobRecord("p", "x", "y", bytes(100_000))] * 50
    assert run(
        package(main("return {'out': len(next(iter(data)).content)}")), HeldRecords(many), Bounds(20.0, 4_096)
    ) == {"out": 100_000}


def test_the_text_of_an_output_may_have_64_characters() -> None:
    assert ran(main("return {'out': 'x' * 64}")) == {"out": "x" * 64}


# What does not


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (main(f"raise ValueError('{CANARY}')"), "ValueError at job.py:2"),
        (main("return {'out': next(iter(data)).json()['name' * 2]}"), "KeyError at job.py:2"),
        (f"def main(data):\n    assert False, '{CANARY}'\n", "AssertionError at job.py:2"),
        (f"raise SystemExit('{CANARY}')\n", "SystemExit at job.py:1"),
        ("def other(data):\n    return {}\n", "AttributeError at its start"),
        (f"import {CANARY.replace('-', '_')}\n", "ModuleNotFoundError at job.py:1"),
        ("def main(data) return {}\n", "SyntaxError at its start"),
        (main(f"raise KeyboardInterrupt('{CANARY}')"), "KeyboardInterrupt at job.py:2"),
        (main("return {'out': float('nan')}"), "ValueError at its start"),
        (main("return {'out': [1.0, float('inf')]}"), "ValueError at its start"),
        (main("return {'out': {1, 2}}"), "TypeError at its start"),
        (main("return {'out': b'bytes'}"), "TypeError at its start"),
    ],
)
def test_an_exception_is_reported_by_type_and_line_only(code: str, says: str) -> None:
    assert failed(code) == says


def test_an_exception_in_another_file_is_reported_where_it_was_raised() -> None:
    helper = f"\n\ndef burst():\n    raise RuntimeError('{CANARY}')\n"
    made = package("from helper import burst\ndef main(data):\n    burst()\n", helper=helper)
    with pytest.raises(JobFailed, match=r"^RuntimeError at helper\.py:4$"):
        run(made, HeldRecords(RECORDS), Bounds(20.0, 4_096))


@pytest.mark.parametrize(
    ("value", "outputs"),
    [
        ("{'out': 1, 'more': 2}", ("out",)),
        ("{}", ("out",)),
        ("{'out': 1}", ("out", "missing")),
        ("{'other': 1}", ("out",)),
        ("None", ("out",)),
        ("[1, 2]", ("out",)),
        ("'out'", ("out",)),
    ],
)
def test_outputs_that_are_not_exactly_the_declared_ones_are_refused(value: str, outputs: tuple[str, ...]) -> None:
    assert failed(main(f"return {value}"), outputs) == "the outputs are not those declared"


@pytest.mark.parametrize(
    "value",
    ["'x' * 65", "[['x' * 65]]", "{'a': [{'b': 'x' * 65}]}", "{'x' * 65: 1}", "[{'a': {'x' * 65: 1}}]"],
)
def test_a_long_text_anywhere_in_an_output_is_refused(value: str) -> None:
    assert failed(main(f"return {{'out': {value}}}")) == "a text in an output is longer than 64"


def test_outputs_that_are_too_large_are_refused() -> None:
    assert failed(main("return {'out': list(range(5000))}")) == "the outputs are larger than 4096 bytes"


# What it prints, how it ends


@pytest.mark.parametrize(
    "leak",
    [
        f"print('{CANARY}')",
        f"print('{CANARY}', file=__import__('sys').stderr)",
        f"__import__('os').write(1, b'{CANARY}')",
        f"__import__('os').write(2, b'{CANARY}')",
        f"__import__('os').system('echo {CANARY}; echo {CANARY} >&2')",
        f"__import__('warnings').warn('{CANARY}')",
        f"__import__('logging').error('{CANARY}')",
    ],
)
def test_what_a_job_prints_goes_nowhere(leak: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert ran(f"def main(data):\n    {leak}\n    return {{'out': 1}}\n") == {"out": 1}
    assert CANARY not in "".join(capfd.readouterr())


def test_a_traceback_goes_nowhere_either(capfd: pytest.CaptureFixture[str]) -> None:
    failed(main(f"raise ValueError('{CANARY}')"))
    failed(f"import atexit\natexit.register(lambda: 1 / 0)\n{main(f'raise ValueError({CANARY!r})')}")
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("body", ["__import__('os')._exit(3)", "__import__('os').kill(__import__('os').getpid(), 9)"])
def test_a_job_whose_process_dies_gave_nothing(body: str) -> None:
    assert failed(main(body)) == "the job's process ended before its outputs, or ran out of time"


def test_a_job_that_ends_early_and_quietly_gave_nothing() -> None:
    assert failed(main("__import__('os')._exit(0)")) == "the job gave no outputs"


def test_a_job_that_ends_while_records_are_still_coming_is_a_failure_and_no_deadlock() -> None:
    many = [JobRecord("p", "x", "y", bytes(100_000))] * 50
    with pytest.raises(JobFailed):
        run(package(main("__import__('os')._exit(0)")), HeldRecords(many), Bounds(20.0, 4_096))


@pytest.mark.parametrize("body", ["while True: pass", "__import__('signal').pause()"])
def test_a_job_that_runs_out_of_time_is_killed(body: str) -> None:
    start = time.monotonic()
    assert "ran out of time" in failed(main(body), timeout=1.5)
    assert time.monotonic() - start < 10


def test_records_that_cannot_be_fetched_end_the_job_as_what_they_are() -> None:
    with pytest.raises(UnavailableError):
        run(package(main("return {'out': len(list(data))}")), FailingRecords(), Bounds(20.0, 4_096))


def test_a_job_sees_nothing_of_the_runners_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSENTUM_SECRET", CANARY)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    code = "import os, sys\ndef main(data):\n    return {'out': sorted(os.environ), 'argv': len(sys.argv)}\n"
    seen = ran(code, ("out", "argv"))["out"]
    assert set(seen) <= {"PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "LC_CTYPE"}


def test_a_job_inherits_no_open_file_of_the_runner(tmp_path: Any) -> None:
    secret = tmp_path / "keys.json"
    secret.write_text(CANARY)
    with secret.open() as held:
        names = "[os.path.basename(os.readlink(f'/proc/self/fd/{n}')) for n in range(3, 40) if os.path.exists("
        code = f"import os\ndef main(data):\n    return {{'out': {names}f'/proc/self/fd/{{n}}')]}}\n"
        assert held.name.endswith("keys.json")
        assert "keys.json" not in ran(code)["out"]


def test_nothing_of_a_job_stays_on_disk(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ran("def main(data):\n    open('left.txt', 'w').write('x')\n    return {'out': 1}\n")
    failed(main("raise ValueError"))
    assert list(tmp_path.iterdir()) == []
