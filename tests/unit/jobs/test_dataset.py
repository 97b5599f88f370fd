# SPDX-License-Identifier: Apache-2.0
"""What a job sees of its records, and how they reach it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consentum.domain.package import JobPackage
from consentum.errors import CorruptError
from consentum.jobs import frames
from consentum.jobs.dataset import ConsentChanged, Dataset
from consentum.jobs.run import WORKER, Bounds, run
from consentum.jobs.source import MAX_BATCH, JobRecord
from tests.fakes.records import HeldRecords

RECORDS = [JobRecord(f"p{n % 3}", f"{n}.json", "application/json", b'{"n": %d}' % n) for n in range(20)]
MANY = [JobRecord(f"p{n}", "", "application/json", b'{"n": %d}' % n) for n in range(3 * MAX_BATCH + 1)]
BOUNDS = Bounds(20.0, 8_192)


def framed(*records: JobRecord) -> bytes:
    sink = io.BytesIO()
    for record in records:
        frames.write(sink, {"pseudonym": record.pseudonym}, record.content)
    frames.end(sink)
    return sink.getvalue()


def ran(code: str, source: HeldRecords) -> Any:
    return run(JobPackage({"job.py": code.encode()}, "job:main", 4, {"out": "json"}), source, BOUNDS)["out"]


def numbers(records: Any) -> list[int]:
    return [record.json()["n"] for record in records]


def test_the_order_of_the_records_is_the_sources() -> None:
    code = "def main(data):\n    return {'out': [r.json()['n'] for r in data]}\n"
    assert ran(code, HeldRecords(RECORDS)) == list(range(20))
    assert ran(code, HeldRecords(RECORDS[::-1])) == list(range(20))[::-1]


def test_a_record_keeps_its_name_its_type_and_every_byte() -> None:
    code = "def main(data):\n    return {'out': [[r.pseudonym, r.name, r.content_type, r.content.hex()] for r in data]}"
    odd = JobRecord("p", "B\u00e4r \u2713.bin", "a/b", bytes(range(24)))
    empty = JobRecord("p", "", "", b"")
    expected = [[r.pseudonym, r.name, r.content_type, r.content.hex()] for r in (odd, empty)]
    assert ran(code, HeldRecords([odd, empty])) == expected


def test_a_job_may_go_over_its_records_again_and_again() -> None:
    code = "def main(data):\n    return {'out': [len(data)] + [sum(r.json()['n'] for r in data) for _ in range(4)]}\n"
    assert ran(code, HeldRecords(MANY)) == [len(MANY)] + [sum(range(len(MANY)))] * 4


def test_an_epoch_left_in_the_middle_does_not_disturb_the_next() -> None:
    code = "def main(data):\n    first = next(iter(data)).json()['n']\n    return {'out': [first, len(list(data))]}\n"
    assert ran(code, HeldRecords(MANY)) == [0, len(MANY)]


def test_no_more_than_a_few_records_are_asked_for_at_a_time() -> None:
    source = HeldRecords(MANY)
    iterator = iter(Dataset(source))
    next(iterator)
    assert source.asked == [0], "the rest waits until it is needed"
    list(iterator)
    assert source.asked == [0, MAX_BATCH, 2 * MAX_BATCH, 3 * MAX_BATCH]


def test_a_dataset_knows_its_length_its_groups_and_its_schema() -> None:
    source = HeldRecords(RECORDS)
    source.schema = [{"title": "Pathology"}]
    data = Dataset(source)
    assert (len(data), data.groups, data.schema) == (20, [r.pseudonym for r in RECORDS], [{"title": "Pathology"}])
    code = "def main(data):\n    return {'out': [len(data), data.groups, data.schema]}\n"
    assert ran(code, source) == [20, data.groups, data.schema]


def test_batches_are_of_their_size_and_the_last_is_what_is_left() -> None:
    found = list(Dataset(HeldRecords(RECORDS)).batches(8))
    assert [len(batch) for batch in found] == [8, 8, 4]
    assert numbers(record for batch in found for record in batch) == list(range(20))
    with pytest.raises(ValueError, match="at least one"):
        next(Dataset(HeldRecords(RECORDS)).batches(0))


def test_one_record_can_be_had_by_its_place() -> None:
    data = Dataset(HeldRecords(RECORDS))
    assert numbers([data[3], data[-1]]) == [3, 19]
    with pytest.raises(IndexError):
        data[20]


def test_a_table_has_one_row_per_record_and_a_pseudonym_to_split_by() -> None:
    table = Dataset(HeldRecords(RECORDS)).to_pandas()
    assert list(table["n"]) == list(range(20))
    assert list(table["pseudonym"]) == [record.pseudonym for record in RECORDS]


def test_a_record_of_many_rows_gives_many_rows() -> None:
    csv = JobRecord("p", "a.csv", "text/csv; charset=utf-8", b"n,m\n1,2\n3,4\n")
    listed = JobRecord("q", "b.json", "application/json", b'[{"n": 5}, {"n": 6}]')
    table = Dataset(HeldRecords([csv, listed])).to_pandas()
    assert list(table["n"]) == [1, 3, 5, 6]
    assert list(table["pseudonym"]) == ["p", "p", "q", "q"]


def test_scikit_learn_splits_by_patient() -> None:
    from sklearn.model_selection import GroupKFold

    data = Dataset(HeldRecords(RECORDS))
    for train, test in GroupKFold(3).split(data.to_pandas(), groups=data.groups):
        assert not {data.groups[n] for n in train} & {data.groups[n] for n in test}


def test_whoever_has_imported_pytorch_has_an_iterable_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's class is an ABC, as this one; PyTorch itself is not needed, neither here nor there."""
    import types
    from abc import ABC

    class IterableDataset(ABC):  # noqa: B024 - as PyTorch's
        pass

    module: Any = types.ModuleType("torch.utils.data")
    module.IterableDataset = IterableDataset
    monkeypatch.setitem(sys.modules, "torch.utils.data", module)
    assert isinstance(Dataset(HeldRecords(RECORDS)), IterableDataset)


def test_a_record_does_not_show_its_content_when_printed() -> None:
    assert "canary" not in repr(JobRecord("p", "n", "t", b"canary"))


# A consent that ends


def test_where_a_consent_ends_the_job_is_told() -> None:
    data = Dataset(HeldRecords(RECORDS, ends=[7]))
    with pytest.raises(ConsentChanged):
        list(data)


def test_a_job_that_catches_it_goes_on_without_the_record() -> None:
    data = Dataset(HeldRecords(RECORDS, ends=[7]))
    with pytest.raises(ConsentChanged):
        list(data)
    assert numbers(data) == [n for n in range(20) if n != 7]
    assert len(data) == len(data.groups) == 19


def test_a_job_that_said_drop_never_hears_of_it() -> None:
    source = HeldRecords(RECORDS, ends=[7], drops=True)
    code = "def main(data):\n    return {'out': [[r.json()['n'] for r in data], len(data), len(data.groups)]}\n"
    assert ran(code, source) == [[n for n in range(20) if n != 7], 19, 19]


def test_the_error_crosses_into_the_jobs_process_and_can_be_caught_there() -> None:
    code = (
        "from consentum.jobs.dataset import ConsentChanged\n"
        "def main(data):\n"
        "    try:\n        return {'out': len(list(data))}\n"
        "    except ConsentChanged as changed:\n        return {'out': [changed.code, len(list(data))]}\n"
    )
    assert ran(code, HeldRecords(RECORDS, ends=[7])) == ["CONSENT_ENDED", 19]


def test_a_job_that_does_not_catch_it_ends_with_its_reason() -> None:
    with pytest.raises(ConsentChanged) as caught:
        ran("def main(data):\n    return {'out': len(list(data))}\n", HeldRecords(RECORDS, ends=[7]))
    assert caught.value.code == "CONSENT_ENDED"


# Frames


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


@pytest.mark.parametrize(
    "asked", [b"", b"x\n", b"-1 1\n", b"0\n", b"21 1\n", b"0 0\n", b"0 33\n", b"20 0 1\n", b"0 0 1048577\n", b"9" * 99]
)
def test_a_question_that_cannot_be_is_not_answered(asked: bytes) -> None:
    source, sink = HeldRecords(RECORDS), io.BytesIO()
    frames.serve(source, sink, io.BytesIO(asked + b"0 1\n"))
    assert source.asked == ([0] if asked == b"" else [])


def test_a_stream_cut_off_is_an_error_in_the_job_not_a_smaller_cohort(tmp_path: Path) -> None:
    """What the job's process would see if the runner died: its records, then an error, and so no output."""
    (tmp_path / "job.py").write_text("def main(data):\n    return {'out': sum(1 for _ in data)}\n")
    sink = io.BytesIO()
    frames.serve(HeldRecords(RECORDS[:1]), sink, io.BytesIO(b"0 32\n"))
    for cut in (4, 30):
        reading, asking = os.pipe()
        done = subprocess.run(
            [*WORKER, str(tmp_path), "job:main", str(asking)],
            input=sink.getvalue()[:-cut],
            capture_output=True,
            timeout=20,
            check=True,
            pass_fds=(asking,),
        )
        os.close(reading)
        os.close(asking)
        assert json.loads(done.stdout) == {"error": {"type": "CorruptError", "line": "job.py:2"}}
