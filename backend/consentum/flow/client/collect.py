# SPDX-License-Identifier: Apache-2.0
"""Collect, the job's side of a release: ask t servers, one more after 50 ms, verify receipts, combine, check.

A key that is not the one its commitment names shows an inconsistent share: other subsets are tried, and the server
whose share does not fit is named.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from eth_utils.crypto import keccak

from consentum.crypto import envelope, merkle, sealing, sharing, typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.cid import CID_LENGTH, Cid
from consentum.domain.messages import Job, Release
from consentum.domain.parsing import hexed
from consentum.errors import ConsentumError, CorruptError, Reason, RefusedError
from consentum.flow.client.receipts import Expected, Receipt, verify
from consentum.flow.wire import Answer, ReleaseRequest
from consentum.ports.chain import Committee
from consentum.ports.peers import KeyServerPeer

HEDGE_SECONDS = 0.05
SHARE_BYTES = 32
ROW_BYTES = SHARE_BYTES + 32 + CID_LENGTH


@dataclass(frozen=True, slots=True)
class Member:
    """A key server as the job knows it: index in the committee, checkpoint key from the chain, and a way to it."""

    index: int
    checkpoint_key: bytes
    peer: KeyServerPeer


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """What does not change from page to page of one job."""

    domain: Domain
    job: Job
    job_signature: bytes
    committee_id: bytes
    committee: Committee
    members: Sequence[Member]
    runner: Signer
    response_key: sealing.SealingKey


@dataclass(frozen=True, slots=True)
class Key:
    """A record's key, rebuilt and checked, and the CID t servers agree on."""

    record: bytes
    cid: Cid
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Collected:
    """The keys of one page, the receipts they were released under, and what went wrong, by server."""

    keys: tuple[Key, ...]
    receipts: tuple[Receipt, ...]
    answers: tuple[Answer, ...]
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Part:
    """One server's verified answer: position to (share, commitment, CID bytes)."""

    receipt: Receipt
    answer: Answer
    rows: Mapping[int, tuple[bytes, bytes, bytes]]


def collect(collector: Collector, ids: Sequence[bytes], deadline: int) -> Collected:
    """One page. RefusedError(TOO_FEW_SHARES) if fewer than t servers answered validly; its message says why, by server.
    A record that fewer than t servers released, or whose shares fit no key, is not in the result."""
    return collect_again(collector, sign_release(collector, ids, deadline))


def collect_again(collector: Collector, request: ReleaseRequest) -> Collected:
    """The same release once more: decided anew by every server, the same leaves, nothing counted twice. A record whose
    consent has ended meanwhile is not in the result. Errors as `collect`."""
    ids, threshold = request.ids, collector.committee.threshold
    parts, failures = _ask(collector, request, threshold)
    if len(parts) < threshold:
        raise RefusedError(Reason.TOO_FEW_SHARES, _too_few(threshold, parts, failures))
    if _in_dispute(threshold, parts):
        parts, failures = _ask(collector, request, len(collector.members))
    keys, liars, broken = _combine(threshold, ids, parts)
    if broken and len(parts) < len(collector.members):
        # The same release again is the same leaves: asking everybody costs nothing and finds who sent a bad share.
        parts, failures = _ask(collector, request, len(collector.members))
        keys, liars, broken = _combine(threshold, ids, parts)
    failures.update({str(index): Reason.SHARE_INCONSISTENT.name for index in liars})
    failures.update({hexed(ids[position]): Reason.SHARE_INCONSISTENT.name for position in broken})
    return Collected(keys, tuple(p.receipt for p in parts), tuple(p.answer for p in parts), failures)


def _in_dispute(threshold: int, parts: Sequence[_Part]) -> bool:
    """Whether a record was released by some, but by fewer than t: one server's no must not decide alone."""
    released: dict[int, int] = {}
    for part in parts:
        for position in part.rows:
            released[position] = released.get(position, 0) + 1
    return any(count < threshold for count in released.values())


def _too_few(threshold: int, parts: Sequence[_Part], failures: Mapping[str, str]) -> str:
    why = "; ".join(f"server {index}: {reason}" for index, reason in sorted(failures.items()))
    return f"{len(parts)} of {threshold} servers answered; {why}"


def sign_release(collector: Collector, ids: Sequence[bytes], deadline: int) -> ReleaseRequest:
    """A new release of these records, in this order, signed by the runner."""
    public = collector.response_key.public
    release = Release(
        job=typed.struct_hash(collector.job),
        committee=collector.committee_id,
        recordsRoot=merkle.root_of(ids),
        count=len(ids),
        responseKeyHash=keccak(public),
        deadline=deadline,
        nonce=secrets.token_bytes(32),
    )
    signature = collector.runner.sign(typed.digest(collector.domain, release))
    nothing = (None,) * len(ids)
    return ReleaseRequest(collector.job, collector.job_signature, release, signature, public, tuple(ids), nothing)


def _ask(collector: Collector, request: ReleaseRequest, want: int) -> tuple[list[_Part], dict[str, str]]:
    """Asks `want` servers at once; one more whenever 50 ms pass without enough, or one fails."""
    body, waiting = request.to_json(), list(collector.members)
    parts: list[_Part] = []
    failures: dict[str, str] = {}
    pool = ThreadPoolExecutor(max_workers=len(waiting))
    pending: dict[Future[_Part], Member] = {}

    def ask_one() -> None:
        if waiting:
            member = waiting.pop(0)
            pending[pool.submit(_one, collector, member, request, body)] = member

    for _ in range(want):
        ask_one()
    while pending and len(parts) < want:
        done, _ = wait(pending, timeout=HEDGE_SECONDS, return_when=FIRST_COMPLETED)
        if not done:
            ask_one()
        for future in done:
            member = pending.pop(future)
            try:
                parts.append(future.result())
            except ConsentumError as error:
                failures[str(member.index)] = f"{error.code}: {error}"
                ask_one()
    pool.shutdown(wait=False)
    return parts, failures


def _one(collector: Collector, member: Member, request: ReleaseRequest, body: dict[str, object]) -> _Part:
    """One server's answer: receipt verified before the message is opened."""
    answer = Answer.parse(member.peer.release(body))
    digest = typed.digest(collector.domain, request.release)
    expected = Expected(member.peer.address, member.index, member.checkpoint_key, digest, len(request.ids))
    receipt = verify(expected, answer.receipt, answer.signature, answer.sealed)
    info = sealing.answer_info(digest, typed.address_bytes(member.peer.address), member.index)
    plain = collector.response_key.open(answer.sealed, info)
    if len(plain) != ROW_BYTES * len(receipt.allowed):
        raise CorruptError("an answer is not one row per released record", field="sealed")
    rows = {}
    for place, position in enumerate(receipt.allowed):
        row = plain[place * ROW_BYTES : (place + 1) * ROW_BYTES]
        rows[position] = (row[:SHARE_BYTES], row[SHARE_BYTES : SHARE_BYTES + 32], row[SHARE_BYTES + 32 :])
    return _Part(receipt, answer, rows)


def _combine(
    threshold: int, ids: Sequence[bytes], parts: Sequence[_Part]
) -> tuple[tuple[Key, ...], set[int], set[int]]:
    """Whole columns at once for the records that the same t servers released; one by one where that does not fit.
    Also: servers whose share was shown to be inconsistent, and positions whose shares give no key at all."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for position in range(len(ids)):
        holders = [n for n, part in enumerate(parts) if position in part.rows]
        if len(holders) >= threshold:
            groups.setdefault(tuple(holders[:threshold]), []).append(position)
    keys: dict[int, Key] = {}
    liars: set[int] = set()
    broken: set[int] = set()
    for group, positions in groups.items():
        chosen = [parts[n] for n in group]
        column = _combine_column(chosen, positions)
        for place, position in enumerate(positions):
            key = column[place * SHARE_BYTES : (place + 1) * SHARE_BYTES]
            if not _fits(key, chosen, position):
                other = _other_subset(threshold, position, parts)
                if other is None:
                    broken.add(position)
                    continue
                good, key = other
            else:
                good = chosen
            # Also where the first t fit: who answers first must not decide whether a bad share is noticed.
            liars |= _inconsistent(key, position, good, parts)
            keys[position] = Key(ids[position], Cid.from_bytes(good[0].rows[position][2]), key)
    return tuple(keys[position] for position in sorted(keys)), liars, broken


def _fits(key: bytes, subset: Sequence[_Part], position: int) -> bool:
    """Do these servers agree on commitment and CID, and does the key open the commitment?"""
    words = {part.rows[position][1:] for part in subset}
    return len(words) == 1 and envelope.key_commitment(key) == next(iter(words))[0]


def _inconsistent(key: bytes, position: int, good: Sequence[_Part], parts: Sequence[_Part]) -> set[int]:
    """The servers whose share gives another key than `key` together with the good ones."""
    found = set()
    for part in parts:
        if position in part.rows and part not in good:
            mixed = [*good[1:], part]
            if _combine_column(mixed, [position]) != key or not _fits(key, mixed, position):
                found.add(part.receipt.index)
    return found


def _combine_column(parts: Sequence[_Part], positions: Sequence[int]) -> bytes:
    return sharing.combine({p.receipt.index: b"".join(p.rows[n][0] for n in positions) for p in parts})


def _other_subset(threshold: int, position: int, parts: Sequence[_Part]) -> tuple[Sequence[_Part], bytes] | None:
    """t servers that agree and the key their shares give; None if no t of them do."""
    holders = [part for part in parts if position in part.rows]
    for subset in itertools.combinations(holders, threshold):
        key = _combine_column(subset, [position])
        if _fits(key, subset, position):
            return subset, key
    return None
