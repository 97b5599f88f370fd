# SPDX-License-Identifier: Apache-2.0
"""What a set of replicas writes down: which records should exist, where copies were last seen, what must still go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, runtime_checkable

from consentum.domain.cid import Cid
from consentum.errors import CorruptError
from consentum.ports.content import ContentStore


class CopyState(IntEnum):
    """How a record stands: being written and not acknowledged; acknowledged; going, with removals still owed."""

    WRITING = 1
    KEPT = 2
    LEAVING = 3


@dataclass(frozen=True, slots=True)
class Replica:
    """One store of a set. `name` tells it from the others, for ever: another name is another store. retired: nothing is
    written to it any more, and what it holds counts as no copy; it is read from, and removed from."""

    name: str
    store: ContentStore
    retired: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """An acknowledged record, and the names of the nodes that should hold it: each was seen to, once."""

    root: Cid
    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Round:
    """Where the scrubber is: the CID it has come to (empty between two passes); when the pass began, and when the last
    one that was finished ended, in Unix seconds, 0 for never."""

    cursor: bytes = b""
    began: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Tally:
    """Acknowledged records; copies of them that are missing, at a node that does not answer, or damaged; removals still
    owed."""

    records: int
    missing: int
    owed: int


@runtime_checkable
class Pins(Protocol):
    """A store that can say whether it protects a record, besides having it."""

    def pinned(self, root: Cid) -> bool:
        """Whether nothing but `remove` makes the record go."""
        ...


class LostError(CorruptError):
    """No node has a good copy of some block of a record."""


class CopyLedger(Protocol):
    """Durable on return, and shared by every process of a gateway. RefusedError (STORE_UNAVAILABLE) if it fails."""

    def hold(self, roots: Iterable[Cid], *, alone: bool, seconds: float) -> AbstractContextManager[None]:
        """Keeps whoever removes these records (alone) apart from whoever writes them (many at once), in whichever
        process; a holder that dies lets go. UnavailableError if it is not free within `seconds`."""
        ...

    def begin(self, roots: Sequence[Cid]) -> None:
        """They will be written: from now on found by `writing`, unless kept already. What is owed of them is void."""
        ...

    def keep(self, roots: Sequence[Cid], nodes: Sequence[str]) -> None:
        """They are acknowledged: `nodes` hold them."""
        ...

    def leave(self, roots: Sequence[Cid], names: Sequence[str]) -> None:
        """They should no longer exist, and each of `names` owes their removal."""
        ...

    def paid(self, root: Cid, name: str) -> None:
        """`name` has it no longer."""
        ...

    def seen(self, root: Cid, node: str, whole: bool | None) -> None:
        """How a kept record was just found at `node`: whole, not, or (None) not to be seen, as the node is silent: then
        it does not count as a copy until it is seen again, and stays expected there."""
        ...

    def state(self, root: Cid) -> CopyState | None:
        """None: it was never written, or is gone."""
        ...

    def find(self, root: Cid) -> Kept | None:
        """The record if it is acknowledged."""
        ...

    def after(self, cursor: bytes, limit: int) -> list[Kept]:
        """The next acknowledged records behind `cursor` in the order of their CIDs."""
        ...

    def writing(self) -> list[Cid]:
        """Records that were begun and neither acknowledged nor taken back."""
        ...

    def owed(self, name: str, limit: int) -> list[Cid]:
        """Records whose removal `name` owes."""
        ...

    def tally(self, nodes: Sequence[str], wanted: int) -> Tally:
        """How everything stands, where `wanted` of `nodes` should hold each record."""
        ...

    def round(self) -> Round:
        """Where the scrubber is."""
        ...

    def set_round(self, where: Round) -> None:
        """Where the scrubber goes on after a restart."""
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...


class ReplicaSet(Protocol):
    """What the scrubber needs of a set of replicas."""

    @property
    def nodes(self) -> Sequence[Replica]: ...

    @property
    def copies(self) -> int:
        """How many nodes should hold each record."""
        ...

    @property
    def ledger(self) -> CopyLedger: ...

    def candidates(self, root: Cid) -> Sequence[Replica]:
        """The nodes in the order in which they are asked to hold `root`."""
        ...

    def heal(self, root: Cid, node: Replica) -> None:
        """Writes the record to `node` again, from verified blocks alone. LostError if no node has them all, any other
        error if it cannot be done now."""
        ...

    def take_back(self, root: Cid) -> None:
        """Removes what was written of a record that was never acknowledged, unless somebody writes it just now."""
        ...
