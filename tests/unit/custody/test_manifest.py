# SPDX-License-Identifier: Apache-2.0
"""A manifest is checked whole before anything is sent; every problem is named with its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consentum.domain.terms import Category
from consentum.errors import ManifestError
from consentum.flow.client import manifest
from consentum.flow.client.manifest import read_file, read_manifest
from tests.unit.custody.conftest import Ward

KNOWN = {"4711", "4712"}


def problems(ward: Ward, *lines: str, header: str = "file,number,category") -> list[tuple[int, str]]:
    with pytest.raises(ManifestError) as caught:
        read_manifest(ward.manifest(*lines, header=header), ward.folder / "files", KNOWN)
    return [(line, code) for line, code, _ in caught.value.problems]


def test_lines_become_entries_with_types_guessed_or_given(ward: Ward) -> None:
    for name in ("a.json", "b.dcm", "sub/c", "d.csv"):
        ward.write(name, name.encode())
    path = ward.manifest(
        'a.json,4711,"Pathology"',
        "b.dcm,4711,imaging + notes",
        "",
        "sub/c,4712,genomics,application/x-own",
        "d.csv,4712,laboratory,",
        header="\ufeffFile, Number ,category,type",
    )
    text = path.read_text().replace('"Pathology"', '"Pathology",').replace("imaging + notes", "imaging + notes,")
    path.write_text(text)
    found = read_manifest(path, ward.folder / "files", KNOWN)
    assert [(e.line, e.name, e.number, e.categories, e.media_type) for e in found] == [
        (2, "a.json", "4711", int(Category.PATHOLOGY), "application/json"),
        (3, "b.dcm", "4711", int(Category.IMAGING | Category.NOTES), "application/dicom"),
        (5, "sub/c", "4712", int(Category.GENOMICS), "application/x-own"),
        (6, "d.csv", "4712", int(Category.LABORATORY), "text/csv"),
    ]


def test_all_problems_are_named_at_once_by_line(ward: Ward) -> None:
    ward.write("a.json", b"1")
    (ward.folder / "outside.json").write_text("{}")
    assert problems(
        ward,
        "a.json,4711,pathology",
        "missing.json,4711,pathology",
        "a.json,4713,wrong",
        "../outside.json,4711,pathology",
        "a.json,4711,pathology",
        "a.json,4711",
    ) == [
        (3, "MISSING_FILE"),
        (4, "NOT_ENROLLED"),
        (4, "UNKNOWN_CATEGORY"),
        (5, "OUTSIDE_FOLDER"),
        (6, "DUPLICATE"),
        (7, "MALFORMED"),
    ]


def test_the_number_of_a_patient_is_not_in_the_error(ward: Ward) -> None:
    ward.write("a.json")
    with pytest.raises(ManifestError) as caught:
        read_manifest(ward.manifest("a.json,secret-number,pathology"), ward.folder / "files", KNOWN)
    assert "secret-number" not in str(caught.value)


def test_a_link_that_leads_out_of_the_folder_is_outside(ward: Ward) -> None:
    (ward.folder / "outside.json").write_text("{}")
    os.symlink(ward.folder / "outside.json", ward.folder / "files" / "link.json")
    assert problems(ward, "link.json,4711,pathology") == [(2, "OUTSIDE_FOLDER")]


def test_an_absolute_path_is_outside(ward: Ward) -> None:
    assert problems(ward, "/etc/hostname,4711,pathology") == [(2, "OUTSIDE_FOLDER")]


@pytest.mark.parametrize("name", [".", "sub", "a\0b", "x" * 5_000])
def test_what_is_no_file_is_missing(ward: Ward, name: str) -> None:
    ward.write("sub/a")
    assert problems(ward, f"{name},4711,pathology") == [(2, "MISSING_FILE")]


def test_a_record_over_the_limit_is_named(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "MAX_RECORD_BYTES", 5)
    ward.write("big", b"123456")
    ward.write("small", b"12345")
    assert problems(ward, "big,4711,pathology", "small,4711,pathology") == [(2, "TOO_LARGE")]


def test_the_same_content_for_the_same_patient_and_categories_is_a_duplicate_under_any_name(ward: Ward) -> None:
    ward.write("a", b"same")
    ward.write("b", b"same")
    assert problems(ward, "a,4711,pathology", "b,4711,pathology") == [(3, "DUPLICATE")]
    both = ward.manifest("a,4711,pathology", "b,4712,pathology")
    assert len(read_manifest(both, ward.folder / "files", KNOWN)) == 2


@pytest.mark.parametrize(
    "header",
    ["file,number", "file,number,category,more", "file,file,number,category", "", "file;number;category"],
)
def test_columns_that_are_missing_or_too_many_are_refused(ward: Ward, header: str) -> None:
    assert problems(ward, "a,4711,pathology", header=header) == [(1, "MALFORMED")]


@pytest.mark.parametrize("raw", [b"\xff\xfe\x00", b'file,number,category\n"a,4711,pathology', b""])
def test_what_is_not_csv_is_refused(ward: Ward, raw: bytes) -> None:
    path = ward.folder / "manifest.csv"
    path.write_bytes(raw)
    with pytest.raises(ManifestError) as caught:
        read_manifest(path, ward.folder / "files", KNOWN)
    assert caught.value.problems[0][1] == "MALFORMED"


def test_a_manifest_without_a_line_is_refused(ward: Ward) -> None:
    assert problems(ward) == [(1, "MALFORMED")]


def test_one_file_alone_is_checked_alike(ward: Ward, tmp_path: Path) -> None:
    ward.write("new.json", b"{}")
    entry = read_file(ward.folder / "files" / "new.json", "4711", 8)
    assert (entry.name, entry.media_type, entry.size) == ("new.json", "application/json", 2)
    with pytest.raises(ManifestError):
        read_file(tmp_path / "none.json", "4711", 8)
