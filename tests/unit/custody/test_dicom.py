# SPDX-License-Identifier: Apache-2.0
"""What comes out of real imaging: CT, MR and a 12-lead ECG, by manifest to the patient herself and into a job, byte for
byte, small or large."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from consentum.domain.package import JobPackage
from consentum.flow.client import filing, opening, own, spooling
from consentum.jobs.run import Bounds, run
from consentum.jobs.source import JobRecord
from tests.unit.client.world import COMMITTEE, DOMAIN
from tests.unit.custody.conftest import Ward
from tests.unit.jobs.test_large import Records

NAMES = ("CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm")
CODE = """
import hashlib, pydicom
def main(data):
    found = []
    for record in data:
        read = pydicom.dcmread(record.open())
        found.append([str(read.SOPClassUID), hashlib.sha256(record.content).hexdigest()])
    return {'out': found}
"""


def original(name: str) -> bytes:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()


def own_record(ward: Ward, record: bytes) -> JobRecord:
    reader = own.Reader(
        ledger=ward.world.ledger,
        domain=DOMAIN,
        signer=ward.world.alice,
        peers=ward.world.peers,
        depository=ward.world.depository,
    )
    with own.opened(reader, record, COMMITTEE) as found:
        content = b"".join(found.chunks())
        return JobRecord("p", found.header.name, found.header.content_type, content)


@pytest.mark.parametrize("limit", [1_000, 8 << 20], ids=["as large records", "as small ones"])
def test_dicom_comes_back_byte_for_byte_and_readable(ward: Ward, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "LARGE_BYTES", limit)
    monkeypatch.setattr(opening, "LARGE_BYTES", limit)
    ward.patient("4711", ward.world.alice)
    for name in NAMES:
        ward.write(name, original(name))
    report = ward.deposit(ward.entries(*(f"{name},4711,imaging" for name in NAMES)))
    assert report == filing.Report(deposited=3)
    records = [own_record(ward, filed.record) for filed in ward.book.files()]
    assert {record.name: record.content for record in records} == {name: original(name) for name in NAMES}
    assert {record.content_type for record in records} == {"application/dicom"}
    read = {record.name: pydicom.dcmread(record.open()) for record in records}
    assert read["CT_small.dcm"].pixel_array.shape == (128, 128)
    assert read["MR_small.dcm"].Modality == "MR"
    assert read["waveform_ecg.dcm"].WaveformSequence[0].NumberOfWaveformChannels == 12


def test_a_job_reads_dicom_out_of_parts() -> None:
    package = JobPackage({"job.py": CODE.encode()}, "job:main", 4, {"out": "json"})
    outputs = run(package, Records([original(name) for name in NAMES]), Bounds(60.0, 65_536))
    assert [digest for _, digest in outputs["out"]] == [hashlib.sha256(original(name)).hexdigest() for name in NAMES]
    assert len({kind for kind, _ in outputs["out"]}) == 3
