# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that is asked for while releases are written down must be one that the journal really had."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.ports.server_store import Decision, ReleaseKey

RANDOM = random.Random(20261124)
PAGES, PAGE = 60, 200


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can, so that a gap of a microsecond is found in seconds, not in weeks."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def decision() -> Decision:
    digest, nonce, job = (RANDOM.randbytes(32) for _ in range(3))
    who = "0x" + RANDOM.randbytes(20).hex()
    words = ("salt", "release", "job", "record", "study", "finalized", "latest", "server", "requester", "runner")
    numbers = {"decided_at": 1, "purpose": 0, "access": 0, "epsilon_milli": 0, "reason": 12}
    entries = [
        Entry(**{word: RANDOM.randbytes(8).hex() for word in words}, subject=who, **numbers)  # type: ignore[arg-type]
        for _ in range(PAGE)
    ]
    return Decision(ReleaseKey(digest, who, nonce, who, job), entries, [], 1_000_000, frozenset({who}), 0)


def test_every_root_that_was_shown_is_a_root_the_journal_had(tmp_path: Path, eager_threads: None) -> None:
    """What anchor.checkpoint and anchor.anchor do: they sign, or put on chain, root(journal_size()). A wrong one is a
    fork of this server's own journal, and once anchored it serves nothing for ever."""
    store = KeyServerStore(tmp_path / "vault.db", bytes(32))
    shown: dict[int, set[bytes]] = {}
    over, raised = threading.Event(), []

    def ask() -> None:
        while not over.is_set():
            size = store.journal_size()
            try:
                shown.setdefault(size, set()).add(store.root(size))
            except Exception as error:  # noqa: BLE001 - whatever a half-grown tree makes of it
                raised.append(repr(error))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(PAGES):
            store.commit(decision())
    finally:
        over.set()
        for thread in threads:
            thread.join()
    tree = merkle.Tree()
    tree.extend([merkle.leaf_hash(store.entry(index).to_bytes()) for index in range(store.journal_size())])
    wrong = sorted(size for size, roots in shown.items() if roots != {tree.root(size)})
    store.close()
    assert not raised
    assert not wrong, f"{len(wrong)} of {len(shown)} roots were never the journal's"
