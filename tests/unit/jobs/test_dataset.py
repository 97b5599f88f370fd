# SPDX-License-Identifier: Apache-2.0
"""What a job sees of its records, and how they reach it."""

from __future__ import annotations

import io
import json

import pytest

from consentum.domain.package import JobPackage
from consentum.errors import CorruptError
from consentum.jobs import frames
from consentum.jobs.dataset import Dataset, JobRecord
from consentum.jobs.run import run

RECORDS = [JobRecord(f"p{n % 3}", f"{n}.json", "application/json", b'{"n": %d}' % n) for n in range(20)]


def framed(*records: JobRecord) -> bytes:
    sink = io.BytesIO()
    for record in records:
        frames.write(sink, {"pseudonym": record.pseudonym}, record.content)
    frames.end(sink)
    return sink.getvalue()


def test_the_order_of_the_records_is_the_cohorts() -> None:
    code = b"def main(data):\n    return {'out': [r.json()['n'] for r in data]}\n"
    made = JobPackage({"job.py": code}, "job:main", 4, {"out": "json"})
    assert run(made, RECORDS, 20.0, 4_096) == {"out": list(range(20))}
    assert run(made, RECORDS[::-1], 20.0, 4_096) == {"out": list(range(20))[::-1]}


def test_a_record_keeps_its_name_its_type_and_every_byte() -> None:
    code = (
        b"def main(data):\n    return {'out': [[r.pseudonym, r.name, r.content_type, r.content.hex()] for r in data]}"
    )
    odd = JobRecord("p", "B\u00e4r \u2713.bin", "a/b", bytes(range(24)))
    empty = JobRecord("p", "", "", b"")
    made = JobPackage({"job.py": code}, "job:main", 4, {"out": "json"})
    expected = [[r.pseudonym, r.name, r.content_type, r.content.hex()] for r in (odd, empty)]
    assert run(made, [odd, empty], 20.0, 4_096) == {"out": expected}


def test_a_dataset_iterates_once() -> None:
    data = Dataset(RECORDS)
    assert list(data) == RECORDS
    assert list(data) == []


def test_a_table_has_one_row_per_record_and_a_pseudonym_to_split_by() -> None:
    pytest.importorskip("pandas")
    table = Dataset(RECORDS).to_pandas()
    assert list(table["n"]) == list(range(20))
    assert list(table["pseudonym"]) == [record.pseudonym for record in RECORDS]


def test_a_record_does_not_show_its_content_when_printed() -> None:
    assert "canary" not in repr(JobRecord("p", "n", "t", b"canary"))


def test_frames_come_back_as_they_were_written() -> None:
    found = list(frames.read(io.BytesIO(framed(*RECORDS))))
    assert found == [({"pseudonym": record.pseudonym}, record.content) for record in RECORDS]
    assert list(frames.read(io.BytesIO(framed()))) == []


def test_frames_cut_anywhere_are_corrupt_never_a_shorter_dataset() -> None:
    whole = framed(*RECORDS[:2])
    for length in range(len(whole)):
        with pytest.raises(CorruptError):
            list(frames.read(io.BytesIO(whole[:length])))


def test_a_frame_with_too_large_a_head_is_corrupt() -> None:
    head = json.dumps({"pseudonym": "p" * frames.MAX_META}).encode()
    with pytest.raises(CorruptError):
        list(frames.read(io.BytesIO(len(head).to_bytes(4, "big") + head)))


def test_a_stream_cut_off_is_an_error_in_the_job_not_a_smaller_cohort() -> None:
    """What the job's process would see if the runner died: its records, then an error, and so no output."""
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as name:
        Path(name, "job.py").write_text("def main(data):\n    return {'out': sum(1 for _ in data)}\n")
        command = [sys.executable, "-I", "-m", "consentum.jobs.worker", name, "job:main"]
        for cut in (4, 30):
            record = RECORDS[0]
            sink = io.BytesIO()
            frames.write(sink, {"pseudonym": "p", "name": record.name, "type": "t"}, record.content)
            frames.end(sink)
            done = subprocess.run(command, input=sink.getvalue()[:-cut], capture_output=True, timeout=20, check=True)
            assert json.loads(done.stdout) == {"error": {"type": "CorruptError", "line": "job.py:2"}}
