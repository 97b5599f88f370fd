# SPDX-License-Identifier: Apache-2.0
"""A custodian's data dictionary, from a file of its own to the gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consentum.domain.dictionary import DataDictionary
from consentum.domain.terms import words_of
from consentum.errors import MalformedError
from consentum.sdk import names
from consentum.wiring.client import Connection

MAX_FILE_BYTES = 4 * 1024 * 1024


def read(path: Path) -> DataDictionary:
    """MalformedError if the file is none, naming the field."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MalformedError("too large to be a data dictionary", field="file")
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        raise MalformedError("the file is not JSON", field="file") from None
    return DataDictionary.parse(data)


def publish(connection: Connection, dictionary: DataDictionary, category: str) -> Mapping[str, Any]:
    """Publishes it for the custodian this home acts for: {custodian, category, version}. NotFoundError if the gateway
    does not work for it or this key may not deposit; ConflictError if the version is there with other content."""
    bit = names.categories(category)
    if len(words_of(bit)) != 1:
        raise MalformedError("a dictionary is of one category", field="category")
    place = f"/v1/dictionaries/{connection.identity}/{words_of(bit)[0]}"
    answer: Mapping[str, Any] = connection.patient().put(place, dictionary.to_json())
    return answer
