# SPDX-License-Identifier: Apache-2.0
"""What a custodian keeps at home: who its patients are, whom it invited, and what became of each file.

The map from hospital numbers to subjects is only there. Everything is durable on return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from consentum.domain.invites import Invite
from consentum.ports.enrolments import SignedEnrol


@dataclass(frozen=True, slots=True)
class Invited:
    """An invite and the number it was made for. state: open, used, or replaced by a newer one."""

    number: str = field(repr=False)
    invite: Invite
    state: str


@dataclass(frozen=True, slots=True)
class Patient:
    """A number and the subject behind it. enrolment.recognised: the gateway has been told."""

    number: str = field(repr=False)
    enrolment: SignedEnrol

    @property
    def subject(self) -> str:
        return self.enrolment.enrol.subject.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A file on its way. digest: SHA-256 of its content; state: signed (in a batch that is not acknowledged yet),
    deposited, refused, retracted or superseded; reason: the code of a refusal."""

    path: str
    digest: bytes
    number: str = field(repr=False)
    categories: int
    record: bytes
    state: str = "signed"
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SignedBatch:
    """A signed deposit as it is sent, until every server has acknowledged it: sent again it is the same bytes."""

    root: bytes
    body: Mapping[str, Any] = field(repr=False)
    files: tuple[Filed, ...] = ()


class CustodyBook(Protocol):
    """The custodian's own database."""

    def add_invite(self, number: str, invite: Invite) -> None:
        """Replaces an open invite for that number. ConflictError(number) if the number has a subject already."""
        ...

    def invites(self) -> list[Invited]:
        """All, the oldest first."""
        ...

    def link(self, code: bytes, enrolment: SignedEnrol) -> None:
        """Uses an open invite: number and subject belong together from now on. Nothing changes, and ConflictError
        names the field, if the number has another subject (number), the subject another number (subject), or the
        invite is not open (invite)."""
        ...

    def recognised(self, subject: str) -> None:
        """The gateway has been told."""
        ...

    def patients(self) -> list[Patient]: ...

    def add_batch(self, batch: SignedBatch) -> None:
        """ConflictError if one of its files is on its way or deposited already: then nothing is kept."""
        ...

    def open_batches(self) -> list[SignedBatch]:
        """Those not settled, the oldest first."""
        ...

    def settle(self, root: bytes, reason: str = "") -> None:
        """Acknowledged by all, or refused for good with a reason; either way its shares are forgotten."""
        ...

    def files(self) -> list[Filed]:
        """All, the oldest first."""
        ...

    def end(self, record: bytes, state: str) -> None:
        """A deposited record was retracted or superseded. NotFoundError if there is none."""
        ...


def taken(files: Sequence[Filed]) -> dict[tuple[bytes, str, int], Filed]:
    """By content, number and categories: what is on its way or deposited, and so not deposited a second time."""
    return {(f.digest, f.number, f.categories): f for f in files if f.state in ("signed", "deposited")}
