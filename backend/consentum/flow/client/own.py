# SPDX-License-Identifier: Apache-2.0
"""A subject's own record: she asks, she receives, no study and no consent needed; nobody else opens it on the way."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from consentum.crypto import typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.messages import Job
from consentum.domain.terms import Access
from consentum.errors import NotFoundError, Reason, RefusedError
from consentum.flow.client.collect import Collected, Collector, Member, collect
from consentum.flow.client.opening import Opened
from consentum.ports.chain import Ledger
from consentum.ports.peers import Depository, KeyServerPeer

JOB_SECONDS = 600
PAGE_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The subject's controller or delegate, and her ways to servers and store."""

    ledger: Ledger
    domain: Domain
    signer: Signer
    peers: Sequence[KeyServerPeer]
    depository: Depository


def opened(reader: Reader, record: bytes, committee_id: bytes) -> Opened:
    """One record, opened here; to be closed. RefusedError names why the servers did not release it; NotFoundError if
    they know no such record of hers, CorruptError if what is stored is not what was deposited."""
    view = reader.ledger.view()
    committee = reader.ledger.committee(view.latest, committee_id)
    by_address = {peer.address.lower(): peer for peer in reader.peers}
    members = [
        Member(index, reader.ledger.server_keys(view.latest, member).checkpoint_key, by_address[member.lower()])
        for index, member in enumerate(committee.members, start=1)
        if member.lower() in by_address
    ]
    if len(members) < committee.threshold:
        raise RefusedError(Reason.TOO_FEW_SHARES, f"{len(members)} of {committee.threshold} key servers are known")
    job = _job(reader.signer, view.latest.timestamp)
    collector = Collector(
        domain=reader.domain,
        job=job,
        job_signature=reader.signer.sign(typed.digest(reader.domain, job)),
        committee_id=committee_id,
        committee=committee,
        members=members,
        runner=reader.signer,
        response_key=SealingKey(),
    )
    got = collect(collector, [record], view.latest.timestamp + PAGE_SECONDS)
    if not got.keys:
        raise _why(got)
    [key] = got.keys
    return Opened(key.key, reader.depository.open(key.cid))


def _job(signer: Signer, now: int) -> Job:
    who = signer.address.lower()
    return Job(
        requester=who,
        runner=who,
        study=bytes(32),
        code=bytes(32),
        purpose=0,
        access=int(Access.DOWNLOAD),
        epsilonMilli=0,
        deadline=now + JOB_SECONDS,
        salt=secrets.token_bytes(32),
    )


def _why(got: Collected) -> Exception:
    """The reason most servers gave."""
    reasons = [Reason[name] for receipt in got.receipts for name in receipt.counts if name != Reason.ALLOWED.name]
    reason = max(reasons, key=reasons.count) if reasons else Reason.SHARE_INCONSISTENT
    if reason is Reason.NO_CONSENT:
        return NotFoundError("the key servers know no such record of yours", field="record")
    return RefusedError(reason, "the key servers do not release it now")
