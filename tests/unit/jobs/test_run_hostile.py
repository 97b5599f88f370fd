# SPDX-License-Identifier: Apache-2.0
"""Jobs that go for the runner itself: pipes held open, deadlocks, answers the worker would not write."""

from __future__ import annotations

import threading
import time
import tracemalloc

import pytest

from consentum.domain.package import JobPackage
from consentum.errors import ConsentumError, UnavailableError
from consentum.jobs.run import Bounds, JobFailed, run
from consentum.jobs.source import JobRecord
from tests.fakes.records import FailingRecords, HeldRecords
from tests.unit.jobs.test_run import CANARY, RECORDS, failed, main, package

# Where the worker keeps its way out: a copy of stdout, the only pipe above 2.
ANSWER = (
    "import os, stat\n"
    "def answer(raw):\n"
    "    for n in range(3, 20):\n"
    "        try:\n"
    "            if stat.S_ISFIFO(os.fstat(n).st_mode): os.write(n, raw)\n"
    "        except OSError: pass\n"
    "    os._exit(0)\n"
)


def answering(raw: bytes) -> str:
    return f"{ANSWER}def main(data):\n    answer({raw!r})\n"


@pytest.mark.parametrize(
    "raw", [b"", b"not json", b'{"outputs": {"out": 1}', b'{"outputs": {"out": "%s"}}' % (b"x" * 65), b"\xff\xfe"]
)
def test_an_answer_the_worker_did_not_write_passes_the_same_gate(raw: bytes) -> None:
    failed(answering(raw))


@pytest.mark.parametrize("raw", [b"[]", b"1", b"{}", b'{"error": 1}', b'{"error": {}}'])
def test_an_answer_of_another_form_is_the_jobs_failure(raw: bytes) -> None:
    with pytest.raises(JobFailed):
        run(package(answering(raw)), HeldRecords(RECORDS), Bounds(20.0, 1 << 20))


@pytest.mark.parametrize("raw", [b'{"outputs": {"out": NaN}}', b'{"outputs": {"out": -Infinity}}'])
def test_a_number_that_is_none_is_refused_whoever_wrote_it(raw: bytes) -> None:
    failed(answering(raw))


@pytest.mark.parametrize(
    "body",
    [
        f"raise type('{CANARY} ' * 20, (Exception,), {{}})",
        f"raise type('{CANARY.replace('-', '_')}' * 20, (Exception,), {{}})",
        f"exec(compile('1/0', __file__.replace('job.py', '{CANARY} ' * 20), 'exec'))",
    ],
)
def test_the_type_and_the_place_of_an_exception_carry_nothing_out(body: str) -> None:
    with pytest.raises(JobFailed) as caught:
        run(package(main(body)), HeldRecords(RECORDS), Bounds(20.0, 4_096))
    assert CANARY.split("-")[1] not in str(caught.value)


def test_a_job_that_ends_early_with_a_long_answer_is_no_deadlock() -> None:
    many = [JobRecord("p", "x", "y", bytes(100_000))] * 20
    code = main("return {'out': [len(next(iter(data)).content)] * 50_000}")
    start = time.monotonic()
    assert len(run(package(code), HeldRecords(many), Bounds(4.0, 1 << 20))["out"]) == 50_000
    assert time.monotonic() - start < 4


def test_a_job_that_forks_is_killed_with_its_children() -> None:
    code = "import os, select\ndef main(data):\n    os.fork()\n    select.select([], [], [], 6)\n"
    start = time.monotonic()
    failed(code, timeout=1.0)
    assert time.monotonic() - start < 4


def test_no_more_of_an_answer_is_read_than_may_come_out() -> None:
    code = f"{ANSWER}def main(data):\n    answer(b'x' * (64 << 20))\n"
    tracemalloc.start()
    try:
        with pytest.raises(JobFailed, match="larger than 4096 bytes"):
            run(package(code), HeldRecords(RECORDS), Bounds(20.0, 4_096))
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_when_the_records_fail_no_process_and_no_timer_stays() -> None:
    before = set(threading.enumerate())
    with pytest.raises(UnavailableError):
        run(package(main("next(iter(data))")), FailingRecords(), Bounds(20.0, 4_096))
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join()
    assert left == []


def test_a_package_whose_files_cannot_all_be_written_is_refused() -> None:
    with pytest.raises(ConsentumError):
        run(
            JobPackage({"a": b"", "a/b.py": b""}, "job:main", 4, {"out": "json"}),
            HeldRecords(RECORDS),
            Bounds(20.0, 4_096),
        )


def test_a_job_cannot_give_its_way_out_to_a_program_it_starts() -> None:
    code = "import os\ndef main(data):\n    os.system('echo {} >&3; echo {} >&4; echo {} >&5')\n    return {'out': 1}\n"
    assert run(package(code), HeldRecords(RECORDS), Bounds(20.0, 4_096)) == {"out": 1}
