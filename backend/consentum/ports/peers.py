# SPDX-License-Identifier: Apache-2.0
"""What the flows need from other processes of Consentum. UnavailableError when one does not answer in time; what a peer
refuses comes back as the same error it raised there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

from consentum.domain.cid import Cid


class KeyServerPeer(Protocol):
    """One key server, directly or through the gateway. Bodies and answers are JSON objects of flow.wire."""

    @property
    def address(self) -> str: ...

    def about(self) -> Mapping[str, Any]:
        """/v1/server: address and sealing key."""
        ...

    def deposit(self, request: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def retract(self, retraction: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def notice(self, notice: Mapping[str, Any]) -> Mapping[str, Any]: ...


class NoticePeer(Protocol):
    """Another key server, as far as notices are passed on. Not trusted: a notice proves itself."""

    @property
    def endpoint(self) -> str: ...

    def notice(self, notice: Mapping[str, Any]) -> Mapping[str, Any]: ...

    def notices(self, after: int) -> Mapping[str, Any]:
        """A page of what it holds, as it answers: {notices: [{number, kind, message, signature}]}."""
        ...


class Depository(Protocol):
    """Where a custodian puts sealed records, and a runner gets them. What is larger than domain.records.LARGE_BYTES
    goes by file, in constant memory; the rest by many at once."""

    def put_all(self, contents: Sequence[bytes]) -> list[Cid]:
        """Stores and pins each content as one file; CIDs in order, computed here before anything is sent."""
        ...

    def put_file(self, cid: Cid, source: BinaryIO, advance: Callable[[int], None]) -> None:
        """Stores and pins the one content that `source` holds, known by its CID; goes on where an earlier try was
        interrupted. advance is told of every byte. CorruptError if the content is another's."""
        ...

    def get_all(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """The contents, every block verified. CorruptError names what is not what its CID says."""
        ...

    def open(self, cid: Cid) -> BinaryIO:
        """One content to read and seek in, every block fetched when it is needed, and verified; to be closed."""
        ...
