# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of data dictionaries: per custodian and category the newest published version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from consentum.crypto.typed import address_bytes
from consentum.domain.dictionary import DataDictionary
from consentum.domain.parsing import as_integer, as_object
from consentum.domain.terms import Category


@dataclass(frozen=True, slots=True)
class Published:
    """A dictionary with who published it (lower-case address) and for which one category."""

    custodian: str
    category: Category
    dictionary: DataDictionary

    @classmethod
    def parse(cls, data: object) -> Published:
        """MalformedError naming the field."""
        body = as_object(data, "published", "custodian", "category", "dictionary")
        custodian = "0x" + address_bytes(body["custodian"]).hex()
        category = Category(as_integer(body["category"], "category", 1 << 63))
        return cls(custodian, category, DataDictionary.parse(body["dictionary"]))

    def to_json(self) -> Mapping[str, Any]:
        """What `parse` takes."""
        told = {"custodian": self.custodian, "category": int(self.category)}
        return {**told, "dictionary": self.dictionary.to_json()}


class Dictionaries(Protocol):
    """Durable on return."""

    def put(self, published: Published) -> None:
        """Replaces an older version; the same again changes nothing. ConflictError if that version is there with other
        content, or a newer one is: a sample that names a version can be drawn again only if it never changes."""
        ...

    def of(self, categories: int) -> list[Published]:
        """All that were published for any category of the mask, by category, then custodian."""
        ...
