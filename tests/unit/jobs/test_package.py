# SPDX-License-Identifier: Apache-2.0
"""A package cannot reach outside its folder, and its digest is over every part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.domain.package import MAX_CODE_BYTES, MAX_FILES, JobPackage
from consentum.errors import MalformedError
from consentum.jobs.run import read_folder

GOOD = JobPackage({"train.py": b"def main(data): return {}\n"}, "train:main", 4, {"model": "json"})
# Made with sha256sum, of the text that JobPackage.digest documents.
GOLDEN = "16e1c65a35cb3dac930402f3dbe6a9042480d8587d81d962d69e720bca5375a7"


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../train.py",
        "a/../../train.py",
        "a/..",
        "a/./b.py",
        "./train.py",
        "~/train.py",
        ".hidden.py",
        "a/.hidden/b.py",
        "a//b.py",
        "a/",
        "",
        "a\\b.py",
        "C:b.py",
        "a b.py",
        "train.py\n",
        "tr\0ain.py",
        "über.py",
        "-m.py",
        "a" * 256,
    ],
)
def test_a_path_that_could_reach_outside_or_hide_is_refused(path: str) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, files={**GOOD.files, path: b""})
    assert caught.value.field == "files"


@pytest.mark.parametrize("path", ["a.py", "a/b/c.py", "data.v1.json", "_x.py", "A-1/b_2.txt", "a" * 255])
def test_a_plain_path_is_taken(path: str) -> None:
    replace(GOOD, files={path: b""})


@pytest.mark.parametrize(
    "files",
    [
        {},
        {f"f{n}.py": b"" for n in range(MAX_FILES + 1)},
        {"a.py": bytes(MAX_CODE_BYTES + 1)},
        {"a.py": bytes(MAX_CODE_BYTES), "b.py": b"x"},
    ],
)
def test_too_many_files_or_too_large_ones_are_refused(files: Mapping[str, bytes]) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, files=files)
    assert caught.value.field == "files"


def test_as_many_and_as_large_as_allowed_are_taken() -> None:
    replace(GOOD, files={f"f{n}.py": b"" for n in range(MAX_FILES)})
    replace(GOOD, files={"a.py": bytes(MAX_CODE_BYTES)})


@pytest.mark.parametrize(
    "entry",
    ["", "train", "train:", ":main", "train:main()", "train.:main", ".train:main", "a:b:c", "os;x:y", "a/b:c", "1a:b"],
)
def test_an_entry_that_is_no_function_of_a_module_is_refused(entry: str) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, entry=entry)
    assert caught.value.field == "entry"


@pytest.mark.parametrize("categories", [0, -1, 1 << 63])
def test_a_job_that_wants_no_category_or_an_impossible_one_is_refused(categories: int) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, categories=categories)
    assert caught.value.field == "categories"


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"model": "pickle"},
        {"model": "JSON"},
        {"model": ""},
        {"model": "json", "more": "joblib"},
        {"Model": "json"},
        {"../model": "json"},
        {"": "json"},
        {"1st": "json"},
        {"m" * 65: "json"},
    ],
)
def test_an_output_of_an_undeclared_kind_or_an_odd_name_is_refused(outputs: Mapping[str, str]) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, outputs=outputs)
    assert caught.value.field == "outputs"


# The digest


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD, files={"train.py": b"def main(data): return {}"}),
        replace(GOOD, files={"trainer.py": GOOD.files["train.py"]}),
        replace(GOOD, files={**GOOD.files, "other.py": b""}),
        replace(GOOD, entry="train:main2"),
        replace(GOOD, categories=5),
        replace(GOOD, outputs={"model2": "json"}),
        replace(GOOD, outputs={"model": "json", "scores": "json"}),
        replace(GOOD, on_consent_change="drop"),
    ],
)
def test_the_digest_changes_with_every_part(changed: JobPackage) -> None:
    assert changed.digest != GOOD.digest


def test_the_digest_does_not_depend_on_the_order_of_files_or_outputs() -> None:
    one = replace(GOOD, files={"a.py": b"1", "b.py": b"2"}, outputs={"x": "json", "y": "json"})
    other = replace(GOOD, files={"b.py": b"2", "a.py": b"1"}, outputs={"y": "json", "x": "json"})
    assert one.digest == other.digest


def test_content_moved_between_files_is_another_digest() -> None:
    one = replace(GOOD, files={"a.py": b"12", "b.py": b"3"})
    other = replace(GOOD, files={"a.py": b"1", "b.py": b"23"})
    assert one.digest != other.digest


def test_the_digest_is_what_it_was_when_jobs_were_first_signed() -> None:
    assert GOOD.digest.hex() == GOLDEN


@pytest.mark.parametrize("said", ["", "Raise", "ignore", None])
def test_what_happens_on_a_consent_change_is_one_of_two(said: Any) -> None:
    with pytest.raises(MalformedError) as caught:
        replace(GOOD, on_consent_change=said)
    assert caught.value.field == "onConsentChange"


def test_a_package_comes_back_from_its_json() -> None:
    for package in (GOOD, replace(GOOD, on_consent_change="drop")):
        assert JobPackage.parse(package.to_json()) == package
    assert "onConsentChange" not in GOOD.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"files": {}},
        {"files": {"../train.py": ""}},
        {"files": {"train.py": "!"}},
        {"files": {"train.py": 7}},
        {"files": {"train.py": None}},
        {"files": {"train.py": "\u00fc"}},
        {"files": []},
        {"entry": None},
        {"categories": "4"},
        {"outputs": []},
        {"outputs": {"out": []}},
        {"onConsentChange": "perhaps"},
        {"onConsentChange": None},
        {"onConsentChange": ["drop"]},
        {"more": 1},
    ],
)
def test_a_package_of_another_form_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        JobPackage.parse({**GOOD.to_json(), **wrong})


@pytest.mark.parametrize("body", [None, [], {}, "text"])
def test_what_is_no_package_is_malformed(body: object) -> None:
    with pytest.raises(MalformedError):
        JobPackage.parse(body)


# A folder


def test_a_folder_gives_its_python_files_alone(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "train.py").write_bytes(b"1")
    (tmp_path / "sub" / "help.py").write_bytes(b"2")
    (tmp_path / "patients.csv").write_bytes(b"3")
    package = read_folder(tmp_path, "train:main", 4, {"model": "json"})
    assert dict(package.files) == {"train.py": b"1", "sub/help.py": b"2"}


def test_a_folder_without_python_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedError):
        read_folder(tmp_path, "train:main", 4, {"model": "json"})
