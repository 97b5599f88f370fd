# SPDX-License-Identifier: Apache-2.0
"""Data dictionaries: one suite for the fake and the gateway's sealed file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consentum.adapters.store.dictionaries import DictionaryBook
from consentum.adapters.store.sealed import SealedFile
from consentum.domain.dictionary import Column, DataDictionary
from consentum.domain.terms import Category
from consentum.errors import ConflictError
from consentum.ports.dictionaries import Dictionaries, Published
from tests.fakes.dictionaries import MemoryDictionaries

WARD, CLINIC = "0x" + "c3" * 20, "0x" + "d4" * 20
PATHOLOGY, NOTES = Category.PATHOLOGY, Category.NOTES


@pytest.fixture(params=["fake", "file"])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dictionaries]:
    if request.param == "fake":
        yield MemoryDictionaries()
        return
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    yield DictionaryBook(file)
    file.close()


def published(custodian: str = WARD, category: Category = PATHOLOGY, version: int = 1, title: str = "t") -> Published:
    columns = (
        Column(name="radius", type="number", unit="px", minimum=6.5, maximum=30, mean=14, deviation=3.5),
        Column(name="seen", type="date", minimum="2001-02-03"),
        Column(name="kind", type="category", values=("a", "b")),
    )
    dictionary = DataDictionary(title=title, version=version, content_type="application/json", columns=columns)
    return Published(custodian, category, dictionary)


def test_what_was_published_is_found_by_its_category_as_it_was(book: Dictionaries) -> None:
    book.put(published())
    assert book.of(int(PATHOLOGY | NOTES)) == [published()]
    assert book.of(int(NOTES)) == []


def test_custodians_and_categories_stand_side_by_side_in_order(book: Dictionaries) -> None:
    expected = [published(who, category) for category in (PATHOLOGY, NOTES) for who in (WARD, CLINIC)]
    for one in reversed(expected):
        book.put(one)
    assert book.of(int(PATHOLOGY | NOTES)) == expected


def test_the_same_again_changes_nothing(book: Dictionaries) -> None:
    book.put(published())
    book.put(published())
    assert book.of(int(PATHOLOGY)) == [published()]


def test_a_newer_version_replaces_an_older(book: Dictionaries) -> None:
    book.put(published())
    book.put(published(version=3, title="better"))
    assert book.of(int(PATHOLOGY)) == [published(version=3, title="better")]


def test_a_published_version_never_changes(book: Dictionaries) -> None:
    book.put(published())
    with pytest.raises(ConflictError):
        book.put(published(title="other"))
    assert book.of(int(PATHOLOGY)) == [published()]


def test_an_older_version_does_not_come_back(book: Dictionaries) -> None:
    book.put(published(version=2))
    with pytest.raises(ConflictError):
        book.put(published(version=1))
    assert book.of(int(PATHOLOGY)) == [published(version=2)]


def test_a_file_opened_again_has_what_was_published(tmp_path: Path) -> None:
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    DictionaryBook(file).put(published())
    file.close()
    file = SealedFile(tmp_path / "gateway.db", bytes(32))
    assert DictionaryBook(file).of(int(PATHOLOGY)) == [published()]
    file.close()


def test_the_highest_category_is_kept_and_found(book: Dictionaries) -> None:
    high = replace(published(), category=Category(1 << 62))
    book.put(high)
    assert book.of(1 << 62) == [high]
