# SPDX-License-Identifier: Apache-2.0
"""Records too large for memory: sealed into the spool, sent once their batch is written down, and before it is."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Sequence
from typing import Any, BinaryIO

import pytest

from consentum.adapters.ipfs.spool_folder import SpoolFolder
from consentum.crypto import envelope
from consentum.domain.cid import Cid
from consentum.errors import CorruptError, NotFoundError, Reason, RefusedError, UnavailableError
from consentum.flow.client import filing, spooling
from tests.fakes.peers import MemoryDepository
from tests.unit.custody.conftest import Ward

LINES = "a.json,4711,laboratory", "scan.dcm,4711,imaging", "volume.dcm,4712,imaging"
SCAN, VOLUME = b"scan" * 1_000, os.urandom(5_000)


@pytest.fixture
def large(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> Ward:
    """Two large files beside a small one: large begins at 1,000 bytes here."""
    monkeypatch.setattr(spooling, "LARGE_BYTES", 1_000)
    ward.patient("4711", ward.world.alice)
    ward.patient("4712", ward.world.bob)
    ward.write("a.json", b"{}")
    ward.write("scan.dcm", SCAN)
    ward.write("volume.dcm", VOLUME)
    return ward


def spool(ward: Ward) -> SpoolFolder:
    return SpoolFolder(ward.folder / "spool")


def left(ward: Ward) -> list[str]:
    folder = ward.folder / "spool"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def break_uploads(monkeypatch: pytest.MonkeyPatch, ward: Ward, error: BaseException) -> None:
    def broken(*_: Any) -> None:
        raise error

    monkeypatch.setattr(ward.world.depository, "put_file", broken)


def stored(ward: Ward) -> Sequence[Cid]:
    return list(ward.world.depository.contents)


def test_large_and_small_are_deposited_together_and_open(large: Ward) -> None:
    shown: list[int] = []
    entries = large.entries(*LINES)
    enrolments = filing_enrolments(large)
    report = filing.deposit(large.filing(), large.world.custodian(), entries, enrolments, shown.append)
    assert report == filing.Report(deposited=3)
    assert sum(shown) == sum(entry.size for entry in entries)
    assert min(shown) > 0
    assert (left(large), len(large.sent)) == ([], 1)
    sizes = {len(content) for content in large.world.depository.contents.values()}
    assert any(size > len(VOLUME) for size in sizes)


def filing_enrolments(ward: Ward) -> Any:
    from consentum.flow.client.custody import enrolments_by_number

    return enrolments_by_number(ward.book)


def test_a_deposit_is_not_sent_before_its_large_records_are_stored(
    large: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_uploads(patch, large, UnavailableError("no answer"))
        report = large.deposit(large.entries(*LINES))
    assert (report.pending, large.sent, large.listed()) == (3, [], 0)
    assert len(left(large)) == 2
    sealed = {name: (large.folder / "spool" / name).read_bytes() for name in left(large)}
    assert large.deposit(large.entries(*LINES)) == filing.Report(deposited=3)
    # Byte for byte: what is stored is what was sealed before, under the keys that were split then.
    assert {large.world.depository.contents[Cid.parse(name)] for name in sealed} == set(sealed.values())
    assert left(large) == []


def test_a_large_record_that_waits_keeps_the_next_from_filling_the_disk(
    large: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filing, "BATCH_CONTENT_BYTES", 1)  # each in a batch of its own
    with monkeypatch.context() as patch:
        break_uploads(patch, large, UnavailableError("no answer"))
        report = large.deposit(large.entries(*LINES))
    assert (report.deposited, report.pending, report.left, report.stopped) == (1, 1, 1, "UNAVAILABLE")
    assert len(left(large)) == 1
    assert large.deposit(large.entries(*LINES)) == filing.Report(deposited=2, already=1)


def test_killed_between_sealing_and_signing_leaves_noise_that_the_next_run_sweeps(
    large: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(SpoolFolder):
        """A process that died: its locks are no longer held."""

        def fill(self, write: Any) -> Cid:
            cid = super().fill(write)
            self._mine.pop(cid).close()
            return cid

    with monkeypatch.context() as patch:
        patch.setattr("tests.unit.custody.conftest.SpoolFolder", Gone)
        patch.setattr(type(large.book), "add_batch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            large.deposit(large.entries(*LINES))
    orphans = left(large)
    assert (len(orphans), large.book.files()) == (2, [])
    assert large.deposit(large.entries(*LINES)) == filing.Report(deposited=3)
    assert not {Cid.parse(name) for name in orphans} & set(stored(large))
    assert left(large) == []


def test_killed_while_uploading_it_goes_on_with_the_same_bytes(large: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        break_uploads(patch, large, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            large.deposit(large.entries(*LINES))
    names = left(large)
    assert large.deposit(large.entries(*LINES)) == filing.Report(deposited=3)
    assert {Cid.parse(name) for name in names} <= set(stored(large))


def test_a_large_file_that_changed_since_the_manifest_is_refused_and_the_rest_deposited(large: Ward) -> None:
    entries = large.entries(*LINES)
    large.write("scan.dcm", SCAN[::-1])
    assert large.deposit(entries) == filing.Report(deposited=2, refused={"CHANGED": 1})
    assert left(large) == []
    (large.folder / "files" / "volume.dcm").unlink()
    assert large.deposit(large.entries("scan.dcm,4711,imaging")).deposited == 1


def test_a_large_record_that_the_store_refuses_for_good_ends_its_batch_and_its_spool(
    large: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        break_uploads(patch, large, CorruptError("not what its CID says", field="cid"))
        report = large.deposit(large.entries(*LINES))
    assert report.refused == {"CORRUPT (cid)": 3}
    assert (left(large), large.sent) == ([], [])
    assert large.deposit(large.entries(*LINES)).deposited == 3


def test_a_record_never_has_more_memory_than_a_few_segments(large: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    seal = envelope.seal_stream

    def watched(key: bytes, header: envelope.Header, source: BinaryIO, sink: BinaryIO) -> None:
        class Source:
            def read(self, size: int) -> bytes:
                asked.append(size)
                return source.read(size)

        seal(key, header, Source(), sink)  # type: ignore[arg-type]

    monkeypatch.setattr(envelope, "seal_stream", watched)
    large.deposit(large.entries(*LINES[1:]))
    assert asked
    assert max(asked) <= envelope.SEGMENT_SIZE


# The spool itself


def test_the_spool_names_what_was_written_and_only_its_owner_reads_it(large: Ward) -> None:
    made = spool(large)
    cid = made.fill(lambda sink: [sink.write(part) for part in (b"se", b"al", b"ed")] and None)
    with made.open(cid) as file:
        assert file.read() == b"sealed"
    assert stat.S_IMODE((large.folder / "spool" / str(cid)).stat().st_mode) == 0o600
    assert MemoryDepository().put_all([b"sealed"]) == [cid]
    assert made.cids() == [cid]
    made.drop(cid)
    made.drop(cid)
    with pytest.raises(NotFoundError):
        made.open(cid)


def test_a_write_that_fails_keeps_nothing(large: Ward) -> None:
    def failing(sink: BinaryIO) -> None:
        sink.write(os.urandom(1 << 21))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spool(large).fill(failing)
    assert left(large) == []


def test_a_full_disk_is_a_refusal_in_plain_words(large: Ward) -> None:
    def full(_: BinaryIO) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(RefusedError, match="No space left") as caught:
        spool(large).fill(full)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE


def test_a_sweep_takes_what_is_nobodys_and_leaves_what_another_run_is_filling(large: Ward) -> None:
    other, mine = spool(large), spool(large)
    dead = spool(large)
    kept, gone = other.fill(lambda sink: sink.write(b"1") and None), dead.fill(lambda sink: sink.write(b"2") and None)
    wanted = dead.fill(lambda sink: sink.write(b"3") and None)
    for file in dead._mine.values():
        file.close()  # its process has died
    (large.folder / "spool" / "half.part").write_bytes(b"half")
    mine.sweep({wanted})
    assert mine.cids() == sorted([kept, wanted])
    assert (gone not in mine.cids(), len(left(large))) == (True, 2)
    assert io.BytesIO(b"1").read() == mine.open(kept).read()
