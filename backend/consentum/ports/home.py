# SPDX-License-Identifier: Apache-2.0
"""What a patient keeps at home: what she signed, until and after it arrived, and where the key servers are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Kept:
    """Something signed. kind: enrolment or consent; id: 32 bytes; arrived: the gateway has answered for it."""

    kind: str
    id: bytes
    body: Mapping[str, Any] = field(repr=False)
    arrived: bool = False


class HomeBook(Protocol):
    """Durable on return."""

    def keep(self, kept: Kept) -> Kept:
        """Keeps it; what is there under its kind and id stays and is returned."""
        ...

    def find(self, kind: str, identity: bytes) -> Kept | None: ...

    def arrived(self, kind: str, identity: bytes) -> None: ...

    def drop(self, kind: str, identity: bytes) -> None:
        """Forgets what was refused; what has arrived stays."""
        ...

    def all(self, kind: str) -> list[Kept]:
        """The oldest first."""
        ...

    def remember(self, servers: Mapping[str, str]) -> None:
        """Key servers' endpoints by address, beside those that are known already."""
        ...

    def servers(self) -> dict[str, str]: ...
