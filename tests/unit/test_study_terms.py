# SPDX-License-Identifier: Apache-2.0
"""The terms file of `consentum study`: words become the bits that are signed, and a wrong word is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from consentum.cli import study
from consentum.domain.terms import Access, Category, Purpose, expand
from consentum.errors import MalformedError

GOOD = {"purposes": ["health-research"], "categories": ["pathology", "IMAGING"], "access": "compute"}


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "terms.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_words_become_bits_and_purposes_include_what_is_under_them(tmp_path: Path) -> None:
    terms = study._terms(written(tmp_path, GOOD))
    assert terms.purposes == int(expand(Purpose.HEALTH_RESEARCH))
    assert terms.categories == int(Category.PATHOLOGY | Category.IMAGING)
    assert (terms.access, terms.conditions, terms.diseases, terms.protocol) == (int(Access.COMPUTE), 0, (), bytes(32))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"purposes": ["everything"]}, "purposes"),
        ({"purposes": "health-research"}, "purposes"),
        ({"categories": [7]}, "categories"),
        ({"access": "all"}, "access"),
        ({"conditions": ["none"]}, "conditions"),
        ({"protocol": "0x00"}, "protocol"),
        ({"diseases": ["C50"]}, "diseases"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_word_of_ours_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with pytest.raises(MalformedError) as caught:
        study._terms(written(tmp_path, {**GOOD, **change}))
    assert caught.value.field == field


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_a_file_that_is_no_object_is_malformed(tmp_path: Path, text: str) -> None:
    with pytest.raises(MalformedError):
        study._terms(written(tmp_path, text))
