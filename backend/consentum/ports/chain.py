# SPDX-License-Identifier: Apache-2.0
"""What the flows need from the chain: two pinned blocks, one decision, who signed, and a way to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consentum.domain.messages import Consent, Job


class Roles:
    """What a delegate may do, as the bits of Roles.sol."""

    CONTROLLER = 0
    CONSENT = 1
    GUARDIAN = 2
    RECOVERY = 4
    DEPOSIT = 8
    ASSERTION = 16


@dataclass(frozen=True, slots=True)
class Block:
    """One block; timestamp in UTC seconds."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class View:
    """The two blocks a decision is pinned to, resolved once, and how the chain may lag."""

    finalized: Block
    latest: Block


@dataclass(frozen=True, slots=True)
class Claim:
    """That a signature over a digest is by an identity, or by its delegate for one of the roles."""

    identity: str
    roles: int
    digest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """One record as the policy sees it: an opening, with the subject the server knows, and the record's categories."""

    consent: Consent
    categories: int


@dataclass(frozen=True, slots=True)
class Question:
    """What `check` is asked, but for the items."""

    job: Job
    job_signature: bytes
    release_digest: bytes
    release_signature: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """What the registry holds of one (subject, commitment); zero times mean never."""

    granted_at: int
    revoked_at: int
    cutoff: int
    frozen_until: int


@dataclass(frozen=True, slots=True)
class Committee:
    """Threshold and members; a member's index is its place, from 1."""

    threshold: int
    members: tuple[str, ...]

    def index_of(self, address: str) -> int | None:
        lowered = [m.lower() for m in self.members]
        return lowered.index(address.lower()) + 1 if address.lower() in lowered else None


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a key server wrote about itself on chain."""

    checkpoint_key: bytes
    epoch: int
    endpoint: str
    sealing_key_hash: bytes


@dataclass(frozen=True, slots=True)
class Anchor:
    """The newest anchored root of a log; size 0 means none."""

    root: bytes
    size: int


class Ledger(Protocol):
    """Reads, all pinned to a block. UnavailableError when the node fails, RefusedError(OTHER_CHAIN) on a wrong one."""

    @property
    def chain_id(self) -> int: ...

    @property
    def policy(self) -> str: ...

    def view(self) -> View:
        """The newest finalized and latest blocks; the chain id is checked every time."""
        ...

    def check(self, block: Block, question: Question, items: Sequence[Item]) -> list[int]:
        """ReleasePolicy.check at that block: one reason per item."""
        ...

    def review(self, block: Block, job: Job, items: Sequence[Item]) -> list[int]:
        """ReleasePolicy.review at that block: the decision without signatures, for cohorts."""
        ...

    def signed_by(self, block: Block, claims: Sequence[Claim]) -> list[bool]:
        """DidRegistry.isSignedBy for each claim."""
        ...

    def may_act(self, block: Block, identity: str, roles: int, actor: str) -> bool:
        """DidRegistry.mayAct."""
        ...

    def standings(self, block: Block, of: Sequence[tuple[str, bytes]]) -> list[Standing]:
        """ConsentRegistry.standing for each (subject, commitment)."""
        ...

    def committee(self, block: Block, committee: bytes) -> Committee:
        """NotFoundError if it was never created."""
        ...

    def server_keys(self, block: Block, server: str) -> ServerKeys: ...

    def anchor_of(self, block: Block, log: str) -> Anchor: ...

    def is_member(self, block: Block, study: bytes, who: str) -> bool: ...

    def board_and_runner(self, block: Block, study: bytes, runner: str) -> tuple[bytes, bool]:
        """The study's board, and whether that board accredits the runner."""
        ...

    def board_members(self, block: Block, board: bytes) -> tuple[str, ...]:
        """Addresses as the chain has them; empty if there is no such board."""
        ...
