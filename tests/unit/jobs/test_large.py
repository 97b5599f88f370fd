# SPDX-License-Identifier: Apache-2.0
"""Large records reach a job in the parts it reads: no process holds one whole, and no key waits for a network."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto import envelope
from consentum.domain.package import JobPackage
from consentum.errors import ConsentChanged, CorruptError, MalformedError
from consentum.jobs import frames, source
from consentum.jobs import leases as leases_module
from consentum.jobs.large import LargeRecord
from consentum.jobs.leases import KEY_SECONDS
from consentum.jobs.run import Bounds, run
from consentum.jobs.source import JobRecord, Ranged
from tests.fakes.records import HeldRecords
from tests.unit.jobs.conftest import Runner
from tests.unit.jobs.test_leases import Place, contents

KEY = bytes(range(32))
CONTENT = os.urandom(5_300_000)
SEALED = envelope.seal(KEY, envelope.Header("scan.dcm", "application/dicom"), CONTENT)
BOUNDS = Bounds(20.0, 4_096)


class Watched(io.BytesIO):
    """A sealed record; before each read `then` is called."""

    then: Callable[[], None] = staticmethod(lambda: None)

    def read(self, size: int | None = -1) -> bytes:
        self.then()
        return super().read(size)


class Records(HeldRecords):
    """Records whose contents stay at the source."""

    def __init__(self, contents: list[bytes]) -> None:
        super().__init__([JobRecord(f"p{n}", "a", "b", content) for n, content in enumerate(contents)])
        self.reads: list[tuple[int, int, int]] = []

    def batch(self, start: int, count: int) -> Any:
        found = super().batch(start, count)
        made = tuple(
            JobRecord(r.pseudonym, r.name, r.content_type, Ranged(start + n, r.size, lambda *_: b""))
            for n, r in enumerate(found.records)
        )
        return source.Batch(made, found.next, found.ended, found.changed)

    def read(self, position: int, offset: int, length: int) -> bytes:
        self.reads.append((position, offset, length))
        return super().read(position, offset, length)


def ran(code: str, records: HeldRecords) -> Any:
    return run(JobPackage({"job.py": code.encode()}, "job:main", 4, {"out": "json"}), records, BOUNDS)["out"]


# A record in parts


def test_every_part_of_a_large_record_is_what_it_was() -> None:
    large = LargeRecord(io.BytesIO(SEALED))
    header, size = large.about(lambda: KEY)
    assert (header.name, size) == ("scan.dcm", len(CONTENT))
    for offset, length in ((0, 10), (1 << 20, 1 << 20), (3_000_001, 999_999), (len(CONTENT) - 5, 100), (size + 1, 1)):
        assert large.read_at(lambda: KEY, offset, length) == CONTENT[offset : offset + length]


def test_what_is_opened_was_fetched_before_its_key_was_leased() -> None:
    """A key that waited for a network could outlive its lease."""
    said: list[str] = []
    sealed = Watched(SEALED)
    sealed.then = lambda: said.append("fetch")

    def lease() -> bytes:
        said.append("lease")
        return KEY

    large = LargeRecord(sealed)
    large.about(lease)
    assert said == ["fetch", "fetch", "lease"]
    large.forget()
    said.clear()
    large.read_at(lease, 2 << 20, 100)
    assert said[-1] == "lease"
    large.forget()
    assert large._reader is None


def test_a_key_dropped_in_the_middle_is_leased_again_and_a_refusal_then_reads_nothing() -> None:
    sealed = Watched(SEALED)
    large = LargeRecord(sealed)
    sealed.then = large.forget  # whenever anything is fetched, the lease ends
    assert large.read_at(lambda: KEY, 2 << 20, 100) == CONTENT[2 << 20 : (2 << 20) + 100]

    def refused() -> bytes:
        raise ConsentChanged

    with pytest.raises(ConsentChanged):
        large.read_at(refused, 0, 1)


def test_a_damaged_part_is_corrupt_and_the_others_are_read() -> None:
    damaged = bytearray(SEALED)
    damaged[3 << 20] ^= 1
    large = LargeRecord(io.BytesIO(damaged))
    assert large.read_at(lambda: KEY, 0, 100) == CONTENT[:100]
    with pytest.raises(CorruptError):
        large.read_at(lambda: KEY, 3 << 20, 100)
    with pytest.raises(CorruptError):
        LargeRecord(io.BytesIO(SEALED[:-1])).about(lambda: KEY)


def test_few_parts_are_in_memory_however_much_was_read() -> None:
    large = LargeRecord(io.BytesIO(SEALED))
    for offset in range(0, len(CONTENT), 1 << 20):
        large.read_at(lambda: KEY, offset, 1 << 20)
        assert len(large._segments.held) <= 4


# Across the pipe


def test_a_job_reads_a_large_record_as_a_file_where_it_likes() -> None:
    code = """
def main(data):
    [record] = data
    with record.open() as file:
        file.seek(-5, 2)
        end = file.read().hex()
        file.seek(1000)
        return {'out': [record.size, end, file.read(4).hex()]}
"""
    records = Records([CONTENT])
    assert ran(code, records) == [len(CONTENT), CONTENT[-5:].hex(), CONTENT[1000:1004].hex()]
    assert records.reads == [(0, len(CONTENT) - 5, 5), (0, 1000, 4)]


def test_a_job_that_wants_it_whole_gets_it_in_small_parts() -> None:
    code = """
import hashlib
def main(data):
    return {'out': [hashlib.sha256(r.content).hexdigest() for r in data for _ in range(2)]}
"""
    import hashlib

    digest = hashlib.sha256(CONTENT).hexdigest()
    records = Records([CONTENT, CONTENT])
    assert ran(code, records) == [digest] * 4
    assert max(length for *_, length in records.reads) == frames.MAX_READ


def test_a_consent_that_ends_while_a_record_is_read_ends_the_reading() -> None:
    code = """
from consentum.jobs.dataset import ConsentChanged
def main(data):
    [record] = data
    try:
        record.open().read(1)
    except ConsentChanged:
        return {'out': 'told'}
"""
    records = Records([CONTENT])
    records.gone.add(0)
    records.batch = lambda start, count: source.Batch(  # type: ignore[method-assign]
        (JobRecord("p", "a", "b", Ranged(0, len(CONTENT), lambda *_: b"")),), None
    )
    assert ran(code, records) == "told"


def test_a_record_above_what_memory_should_hold_is_read_by_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_CONTENT", 10)
    record = JobRecord("p", "a", "b", Ranged(0, 11, lambda offset, length: bytes(length)))
    with pytest.raises(MalformedError) as caught:
        _ = record.content
    assert caught.value.field == "content"
    assert record.open().read() == bytes(11)


def test_a_record_is_saved_under_its_name_when_it_is_whole(tmp_path: Path) -> None:
    JobRecord("p", "a", "b", Ranged(0, 3, lambda offset, length: b"abc"[offset : offset + length])).save(tmp_path / "a")
    assert ((tmp_path / "a").read_bytes(), (tmp_path / "a").stat().st_mode & 0o777) == (b"abc", 0o600)

    def broken(offset: int, length: int) -> bytes:
        raise CorruptError("cut")

    with pytest.raises(CorruptError):
        JobRecord("p", "a", "b", Ranged(0, 3, broken)).save(tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


# Under leases


@pytest.fixture
def place(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Every record counts as large here."""
    monkeypatch.setattr(leases_module, "is_large", lambda *_: True)
    return Place(runner)


def test_large_records_are_read_under_leased_keys(place: Place) -> None:
    assert sorted(contents(place.data)) == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']
    assert place.asked == 2
    place.leases.finish()
    place.leases.close()


def test_after_a_minute_a_record_that_is_open_is_decided_again(place: Place) -> None:
    [record, *_] = list(place.data)
    record.open().read(1)
    place.runner.steady = KEY_SECONDS
    place.leases.sweep()
    assert place.leases._large is not None
    assert place.leases._large[1]._reader is None
    assert record.content
    assert place.asked == 4


def test_a_record_whose_consent_ended_is_read_no_further(place: Place) -> None:
    record = list(place.data)[place.bobs]
    place.bob_leaves()
    assert record.open().read(1)
    place.runner.steady = KEY_SECONDS
    with pytest.raises(ConsentChanged):
        record.open().read(1)
    with pytest.raises(ConsentChanged):
        place.leases.finish()


def test_where_a_job_says_drop_a_large_record_that_ended_is_left_out(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "is_large", lambda *_: True)
    dropping = Place(runner, drops=True)
    dropping.bob_leaves()
    runner.steady = KEY_SECONDS
    assert len(contents(dropping.data)) == 2
    dropping.leases.finish()
