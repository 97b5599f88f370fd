# SPDX-License-Identifier: Apache-2.0
"""Who used a subject's records: every key server's entries about her, each proved against the root on chain.

A server cannot change or remove an anchored entry unseen; it could leave one out of its answer. Every release needs t
servers, so an entry that one hides is found at the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from consentum.crypto import merkle
from consentum.domain.journal import Entry
from consentum.domain.parsing import as_bytes, as_integer, as_list, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError
from consentum.ports.chain import Anchor, Ledger

MAX_ENTRIES = 1_000_000
PROVED, WAITING = "proved", "not anchored yet"


class Journal(Protocol):
    """One server's journal, as its subject reads it."""

    def entries(self, subject: str) -> Mapping[str, Any]: ...

    def inclusion(self, index: int, size: int) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Use:
    """One decision at one server. proof: the path to the anchored root of `size` leaves; empty while not anchored."""

    index: int
    entry: Entry
    state: str
    size: int = 0
    proof: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, Any]:
        import dataclasses  # noqa: PLC0415 - asdict of the entry alone

        return {
            "index": self.index,
            "entry": dataclasses.asdict(self.entry),
            "state": self.state,
            "size": self.size,
            "proof": [hexed(node) for node in self.proof],
        }


@dataclass(frozen=True, slots=True)
class ServerUses:
    """What one server says; failure is the code of what went wrong, and "" if nothing did."""

    server: str
    uses: tuple[Use, ...] = ()
    root: bytes = field(default=b"")
    failure: str = ""


def uses_of(ledger: Ledger, subject: str, journals: Mapping[str, Callable[[], Journal]]) -> list[ServerUses]:
    """Every server's entries about a subject, in the servers' order. A server that does not answer, or whose entry is
    not in the tree it anchored (CORRUPT), is in the list with its failure and none of its entries."""
    latest = ledger.view().latest
    found = []
    for server, open_journal in journals.items():
        try:
            anchor = ledger.anchor_of(latest, server)
            uses = _uses(open_journal(), server, subject.lower(), anchor)
            found.append(ServerUses(server, uses, anchor.root))
        except ConsentumError as error:
            found.append(ServerUses(server, failure=error.code))
    return found


def _uses(journal: Journal, server: str, subject: str, anchor: Anchor) -> tuple[Use, ...]:
    answer = as_object(journal.entries(subject), "answer", "entries")
    if answer["entries"] == []:
        return ()
    rows = as_list(answer["entries"], "entries", _row, MAX_ENTRIES)
    if any(entry.subject != subject or entry.server != server.lower() for _, entry in rows):
        raise CorruptError("an entry is about somebody else", field="entries")
    return tuple(_prove(journal, index, entry, anchor) for index, entry in rows)


def _row(data: object) -> tuple[int, Entry]:
    body = as_object(data, "entries", "index", "entry")
    if not isinstance(body["entry"], Mapping):
        raise MalformedError("an entry is not an object", field="entries")
    try:
        entry = Entry(**body["entry"])
    except TypeError:
        raise MalformedError("an entry is not of the right form", field="entries") from None
    return as_integer(body["index"], "index", 1 << 62), entry


def _prove(journal: Journal, index: int, entry: Entry, anchor: Anchor) -> Use:
    if index >= anchor.size:
        return Use(index, entry, WAITING)
    answer = as_object(journal.inclusion(index, anchor.size), "answer", "index", "size", "proof")
    nodes = answer["proof"]
    proof = () if nodes == [] else as_list(nodes, "proof", lambda node: as_bytes(node, "proof", 32), 64)
    merkle.verify_inclusion(merkle.leaf_hash(entry.to_bytes()), index, anchor.size, proof, anchor.root)
    return Use(index, entry, PROVED, anchor.size, proof)
