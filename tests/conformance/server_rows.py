# SPDX-License-Identifier: Apache-2.0
"""What the suites of key servers' stores put in: records, notices, decisions."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

from consentum.crypto import merkle
from consentum.domain.cid import RAW, Cid
from consentum.domain.journal import Entry
from consentum.domain.records import Record
from consentum.errors import (
    Reason,
)
from consentum.ports.server_store import Debit, Decision, NoticeRow, ReleaseKey, ServerStore, VaultRow

MASTER = bytes(range(32))
COMMITTEE = b"\x0c" * 32
ALICE, BOB = "0x" + "a1" * 20, "0x" + "b0" * 20
REQUESTER, RUNNER = "0x" + "4e" * 20, "0x" + "42" * 20
NOW, DAY = 1_800_000_000, 86_400
OK, NO = Reason.ALLOWED, Reason.NO_CONSENT


def row(subject: str = ALICE, committee: bytes = COMMITTEE) -> VaultRow:
    salt = secrets.token_bytes(32)
    record = Record("0x" + "c7" * 20, subject, 4, Cid.of(RAW, salt), b"\2" * 32, committee, salt)
    return VaultRow(record, secrets.token_bytes(32))


def deposited(store: ServerStore, *rows: VaultRow) -> bytes:
    root = merkle.root_of([r.record.id for r in rows])
    store.add_deposit(root, rows, {b"\1" * 32: (ALICE, "0x" + "c7" * 20)})
    return root


def notice(judged: bool = True, message: str = "{}", subject: str = ALICE, signature: bytes = b"\0s") -> NoticeRow:
    return NoticeRow("Revoke", subject, b"\7" * 32, 0, message, signature, judged)


def entry(reason: int, subject: str = ALICE, at: int = NOW) -> Entry:
    blocks = ("1:0x" + "11" * 32, "2:0x" + "22" * 32)
    names = ("salt", "decided_at", "server", "release", "job", "record", "subject", "study", "requester", "runner")
    texts = (secrets.token_hex(32), at, "0x01", "0x02", "0x03", "0x04", subject, "0x05", REQUESTER, RUNNER)
    numbers = {"purpose": 1, "access": 2, "epsilon_milli": 0, "reason": int(reason)}
    return Entry(**dict(zip(names, texts, strict=True)), **numbers, finalized=blocks[0], latest=blocks[1])  # type: ignore[arg-type]


def decision(
    reasons: Sequence[int], digest: bytes | None = None, nonce: bytes | None = None, at: int = NOW, cap: int = 1_000
) -> Decision:
    key = ReleaseKey(digest or secrets.token_bytes(32), RUNNER, nonce or secrets.token_bytes(32), REQUESTER, b"\3" * 32)
    return Decision(key, [entry(reason, at=at) for reason in reasons], [], cap, frozenset({ALICE}), 0)


def again(before: Decision, *reasons: int) -> Decision:
    return replace(before, entries=[entry(reason) for reason in reasons])


def debit(epsilon: int, limit: int = 1_000, job: bytes = b"\3" * 32) -> Debit:
    return Debit(job, b"\x0c" * 32, epsilon, limit)


def reasons(store: ServerStore, made: Decision) -> list[int]:
    """What became of each record; its leaf says the same, as to whether it was released."""
    committed = store.commit(made)
    written = [store.entry(leaf).reason == OK for leaf in committed.leaves]
    assert written == [reason == OK for reason in committed.reasons]
    return list(committed.reasons)
