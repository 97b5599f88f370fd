# SPDX-License-Identifier: Apache-2.0
"""What the gateway needs of a pinning service: further copies of sealed records, held by somebody else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from consentum.domain.cid import Cid
from consentum.ports.copies import Kept


class PinStatus(StrEnum):
    """What a service says of a pin. It is its word: nothing here was verified."""

    QUEUED = "queued"
    PINNING = "pinning"
    PINNED = "pinned"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pin:
    """One request to pin a record, under the name the service gave it."""

    request: str
    root: Cid
    status: PinStatus


class PinningService(Protocol):
    """UnavailableError: it does not answer, is busy for longer than we wait, answers nonsense, or wants money.
    RefusedError never; SettingsError: it does not accept the token; MalformedError: it refuses the request."""

    @property
    def name(self) -> str: ...

    def pin(self, root: Cid, origins: Sequence[str]) -> Pin:
        """Asks it to fetch and keep the record. origins: multiaddresses of nodes that have it, at most 20."""
        ...

    def find(self, root: Cid) -> list[Pin]:
        """Every request of ours for the record, whatever its status."""
        ...

    def unpin(self, pin: Pin) -> None:
        """The request and its pin are gone, also if they were gone before."""
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...


class PinLedger(Protocol):
    """What is written down of pins; part of the CopyLedger, so that removals reach them too."""

    def to_pin(self, service: str, now: float, limit: int) -> list[Kept]:
        """Acknowledged records about which `service` should be asked by `now`, in Unix seconds."""
        ...

    def pinned(self, root: Cid, service: str, status: PinStatus, again: float) -> None:
        """What the service says of a kept record, and when to ask again."""
        ...

    def unpinned(self, services: Sequence[str]) -> int:
        """How many pins are missing: acknowledged records that one of `services` does not say it has pinned."""
        ...
