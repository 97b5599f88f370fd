# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

from consentum.crypto.sealing import SealingKey
from consentum.domain.journal import Entry
from tests.vectors.make_bytes import ENTRY, FILE, SEED, build

FROZEN: dict[str, str] = json.loads(FILE.read_text())


def test_every_frozen_byte_string_is_still_the_same() -> None:
    assert build() == {name: value for name, value in FROZEN.items() if name != "sealed message"}


def test_a_message_sealed_by_an_earlier_version_still_opens() -> None:
    assert SealingKey(SEED).open(bytes.fromhex(FROZEN["sealed message"]), b"context") == b"share"


def test_a_journal_entry_survives_its_bytes() -> None:
    assert Entry.from_bytes(bytes.fromhex(FROZEN["journal entry"])) == ENTRY
