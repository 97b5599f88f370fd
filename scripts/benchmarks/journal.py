# SPDX-License-Identifier: Apache-2.0
"""A key server's journal: appending durably, proofs, and the audit that reads everything, at a given size."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial

from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.errors import Reason
from consentum.ports.server_store import Decision, ReleaseKey
from scripts.benchmarks.measure import Run, Suite, chunks, milliseconds, percentile, samples, seconds_of

PAGE = 1_000
NOW = 1_800_000_000
NO_CAP = 1 << 62

KEYS = {
    "entries": "entries",
    "append_1_p50_ms": "ms",
    "append_100_p50_ms": "ms",
    "append_1000_p50_ms": "ms",
    "append_1_p99_ms": "ms",
    "append_entries_per_second": "entries/s",
    "inclusion_proof_us": "µs",
    "inclusion_verify_us": "µs",
    "consistency_proof_us": "µs",
    "consistency_verify_us": "µs",
    "audit_us_per_entry": "µs",
    "bytes_per_entry": "bytes",
}


def _address() -> str:
    return "0x" + secrets.token_hex(20)


def _word() -> str:
    return "0x" + secrets.token_hex(32)


def _decision(count: int) -> Decision:
    """A page of `count` releases as a key server writes them: real lengths everywhere."""
    server, requester, runner, study, job, release = _address(), _address(), _address(), _word(), _word(), _word()
    finalized, latest = f"1234567:{_word()}", f"1234599:{_word()}"
    entries = [
        Entry(
            salt=_word(),
            decided_at=NOW,
            server=server,
            release=release,
            job=job,
            record=_word(),
            subject=_address(),
            study=study,
            requester=requester,
            runner=runner,
            purpose=1,
            access=2,
            epsilon_milli=0,
            reason=int(Reason.ALLOWED),
            finalized=finalized,
            latest=latest,
        )
        for _ in range(count)
    ]
    key = ReleaseKey(secrets.token_bytes(32), runner, secrets.token_bytes(32), requester, bytes.fromhex(job[2:]))
    return Decision(key, entries, [], NO_CAP, frozenset({entries[0].subject}), 0)


def _fill(run: Run, store: KeyServerStore) -> float:
    """Grows the journal to the size asked for; entries per second of the commits alone."""
    seconds = 0.0
    for part in chunks(run.entries, PAGE):
        run.story.doing(f"the journal grows: {store.journal_size():,} of {run.entries:,} entries")
        decision = _decision(part)
        seconds += seconds_of(partial(store.commit, decision))
    return run.entries / seconds


def _appends(run: Run, store: KeyServerStore) -> dict[str, float]:
    found: dict[str, float] = {}
    for size, full in ((1, 100), (100, 50), (1_000, 10)):
        decisions = [_decision(size) for _ in range(run.many(full, 2))]
        taken = samples(run, f"pages of {size:,}", [partial(store.commit, made) for made in decisions])
        found |= milliseconds(f"append_{size}", taken, 50)
        if size == 1:
            found |= milliseconds("append_1", taken, 99)
    return found


def _proofs(run: Run, store: KeyServerStore) -> dict[str, float]:
    """Making and verifying, at random places; each is verified, so a wrong proof cannot be a fast one."""
    size, many = store.journal_size(), run.many(300, 5)
    times: dict[str, list[float]] = {key: [] for key in KEYS if key.endswith("_us")}
    root = store.root()

    def timed(key: str, action: Callable[[], object]) -> None:
        times[key].append(seconds_of(action))

    for number in range(many):
        run.story.doing(f"proofs: {number} of {many}")
        index, old = secrets.randbelow(size), 1 + secrets.randbelow(size - 1)
        leaf, before = merkle.leaf_hash(store.entry(index).to_bytes()), store.root(old)
        path, way = store.inclusion(index, size), store.consistency(old, size)
        timed("inclusion_proof_us", partial(store.inclusion, index, size))
        timed("inclusion_verify_us", partial(merkle.verify_inclusion, leaf, index, size, path, root))
        timed("consistency_proof_us", partial(store.consistency, old, size))
        timed("consistency_verify_us", partial(merkle.verify_consistency, old, before, size, root, way))
    return {key: percentile(seconds, 0.5) * 1e6 for key, seconds in times.items()}


def measure(run: Run) -> dict[str, float]:
    path = run.folder / "journal.db"
    store = KeyServerStore(path, secrets.token_bytes(32))
    try:
        speed = _fill(run, store)
        found = _appends(run, store) | _proofs(run, store)
        size = store.journal_size()
        run.story.doing(f"the audit of {size:,} entries")
        audit = seconds_of(lambda: _audited(store))
    finally:
        store.close()
    on_disk = sum(file.stat().st_size for file in run.folder.glob("journal.db*"))
    found |= {"entries": size, "append_entries_per_second": speed}
    return found | {"audit_us_per_entry": audit / size * 1e6, "bytes_per_entry": on_disk / size}


def _audited(store: KeyServerStore) -> None:
    if store.audit():
        raise RuntimeError("the audit found entries that nobody altered")


SUITE = Suite("journal", "A key server's journal: appends, proofs, audit", KEYS, measure)
