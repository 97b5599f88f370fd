# SPDX-License-Identifier: Apache-2.0
"""The journal inside a key server's store: proofs, threads, and what survives a restart or an edited row."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from consentum.adapters.store import tables
from consentum.adapters.store.engine import open_engine, transaction
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import merkle
from consentum.errors import ConsentumError, CorruptError, NotFoundError, Reason, RefusedError, ReplayedError
from consentum.ports.server_store import Decision, ServerStore
from tests.conformance.server_rows import (
    ALICE,
    BOB,
    COMMITTEE,
    MASTER,
    NO,
    OK,
    again,
    debit,
    decision,
    deposited,
    entry,
    notice,
    row,
)


def grown(store: ServerStore, leaves: int) -> None:
    for _ in range(leaves):
        store.commit(decision([OK]))


def test_every_entry_is_proven_under_every_later_size(store: ServerStore) -> None:
    grown(store, 9)
    for index in range(9):
        hashed = merkle.leaf_hash(store.entry(index).to_bytes())
        for size in range(index + 1, 10):
            merkle.verify_inclusion(hashed, index, size, store.inclusion(index, size), store.root(size))


def test_the_journal_only_grows(store: ServerStore) -> None:
    grown(store, 7)
    for old in range(8):
        proof = store.consistency(old, 7)
        merkle.verify_consistency(old, store.root(old), 7, store.root(), proof)


@pytest.mark.parametrize(("index", "size"), [(2, 2), (0, 3), (-1, 2), (0, 0), (10**30, 2)])
def test_no_proof_of_what_is_not_there(store: ServerStore, index: int, size: int) -> None:
    grown(store, 2)
    with pytest.raises(NotFoundError):
        store.inclusion(index, size)
    with pytest.raises(NotFoundError):
        store.consistency(index, -1)
    with pytest.raises(NotFoundError):
        store.consistency(0, 3)


@pytest.mark.parametrize("index", [-1, 2, 99])
def test_no_entry_beyond_the_end(store: ServerStore, index: int) -> None:
    grown(store, 2)
    with pytest.raises(NotFoundError):
        store.entry(index)


def test_entries_are_found_by_their_subject(store: ServerStore) -> None:
    made = decision([OK, OK, NO])
    store.commit(replace(made, entries=[entry(OK, BOB), entry(OK, ALICE), entry(NO, BOB)]))
    assert [index for index, _ in store.entries_of(BOB.upper().replace("X", "x"))] == [0, 2]
    assert store.entries_of("0x" + "77" * 20) == []


def test_an_untouched_journal_has_no_findings(store: ServerStore) -> None:
    grown(store, 3)
    assert store.audit() == []


def test_threads_with_one_nonce_and_other_pages_have_exactly_one_effect(store: ServerStore) -> None:
    """64 at once: one is written, 63 are told that the nonce is another's."""
    nonce, outcomes = b"\5" * 32, []
    start = threading.Barrier(64)

    def commit(made: Decision) -> None:
        start.wait()
        try:
            store.commit(made)
            outcomes.append("written")
        except ConsentumError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=commit, args=(decision([OK, NO], nonce=nonce),)) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["REPLAYED"] * 63 + ["written"]
    assert store.journal_size() == 2
    for index in range(2):
        hashed = merkle.leaf_hash(store.entry(index).to_bytes())
        merkle.verify_inclusion(hashed, index, 2, store.inclusion(index, 2), store.root())


def test_threads_with_other_pages_leave_one_sound_journal(store: ServerStore) -> None:
    threads = [threading.Thread(target=grown, args=(store, 4)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.journal_size() == 64
    assert store.root() == merkle.root_of([store.entry(n).to_bytes() for n in range(64)])


# The database alone


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "vault.db"


def test_everything_is_there_after_reopening(path: Path) -> None:
    first, mine, made = KeyServerStore(path, MASTER), row(), replace(decision([OK, NO], cap=1), debits=[debit(900)])
    root = deposited(first, mine)
    first.commit(made)
    first.add_notice(notice(judged=False))
    size, top = first.journal_size(), first.root()
    first.close()
    second = KeyServerStore(path, MASTER)
    assert second.has_deposit(root)
    assert second.vault([mine.record.id], COMMITTEE) == {mine.record.id: mine.record}
    assert second.shares([mine.record.id]) == [mine.share]
    assert second.unjudged() == [notice(judged=False)]
    assert (second.journal_size(), second.root()) == (size, top)
    assert second.commit(replace(decision([OK], cap=1), notices=1)).reasons == (Reason.LIMIT,)
    over = replace(decision([OK]), notices=1, debits=[debit(200, job=b"\4" * 32)])
    assert second.commit(over).reasons == (Reason.BUDGET,)
    with pytest.raises(ReplayedError):
        second.commit(replace(decision([NO], nonce=made.key.nonce), notices=1))
    assert second.commit(replace(again(made, OK, NO), notices=1)).leaves == (0, 1)


@pytest.mark.parametrize("column", ["entry", "leaf_hash"])
def test_an_audit_names_the_index_of_an_edited_row(path: Path, column: str) -> None:
    store = KeyServerStore(path, MASTER)
    grown(store, 5)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE journal SET {column} = zeroblob(32) WHERE position = 3")
    assert store.audit() == [3]


def test_a_commit_that_fails_at_its_last_step_leaves_nothing(path: Path) -> None:
    store = KeyServerStore(path, MASTER)
    grown(store, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON journal BEGIN SELECT RAISE(ABORT, 'full'); END")
    made = replace(decision([OK]), debits=[debit(1_000)])
    with pytest.raises(RefusedError) as caught:
        store.commit(made)
    assert caught.value.reason == Reason.STORE_UNAVAILABLE
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TRIGGER full")
        left = [
            connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("releases", "debits", "journal")
        ]
    assert left == [1, 0, 1]
    assert store.commit(made).leaves == (1,)
    assert store.root() == merkle.root_of([store.entry(n).to_bytes() for n in range(2)])


def test_a_deposit_that_fails_halfway_leaves_nothing(path: Path) -> None:
    store, mine = KeyServerStore(path, MASTER), row()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON enrolments BEGIN SELECT RAISE(ABORT, 'full'); END")
    with pytest.raises(RefusedError, match="IntegrityError"):
        deposited(store, mine)
    with sqlite3.connect(path) as connection:
        counts = [connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("vault", "wrapping")]
    assert counts == [0, 0]


def test_shares_open_only_with_their_master_key(path: Path) -> None:
    store, mine = KeyServerStore(path, MASTER), row()
    deposited(store, mine)
    store.close()
    with pytest.raises(CorruptError):
        KeyServerStore(path, bytes(32)).shares([mine.record.id])


def test_no_share_is_in_the_file_and_none_opens_without_its_wrapping_row(path: Path) -> None:
    store, mine = KeyServerStore(path, MASTER), row()
    deposited(store, mine)
    files = [file.read_bytes() for file in path.parent.iterdir()]
    assert not any(mine.share in raw for raw in files)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM wrapping")
    with pytest.raises(CorruptError):
        store.shares([mine.record.id])


def test_two_records_shares_cannot_be_swapped(path: Path) -> None:
    store, rows = KeyServerStore(path, MASTER), [row(), row()]
    deposited(store, *rows)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE vault SET share = (SELECT share FROM vault WHERE record = ?)", (rows[0].record.id,))
    with pytest.raises(CorruptError):
        store.shares([rows[1].record.id])


def test_a_transaction_holds_the_lock_from_its_beginning(path: Path) -> None:
    """What it reads first cannot change before it writes."""
    engine = open_engine(path, tables.metadata)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    with transaction(engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    store = KeyServerStore(path, MASTER)
    grown(store, 1)
    assert [file.stat().st_mode & 0o077 for file in path.parent.iterdir()] == [0] * len(list(path.parent.iterdir()))
