# SPDX-License-Identifier: Apache-2.0
"""A key server puts a notice on chain itself, with its own account, when nobody did in time.

Only notices about subjects of its own vault or enrolments: strangers must not empty its account. Served in turn by
subject, and of what supersedes only the furthest: one subject's flood delays only her own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from consentum.crypto import typed
from consentum.domain.parsing import hexed
from consentum.errors import RevertedError
from consentum.flow import batches
from consentum.flow.keyserver.server import KeyServer
from consentum.ports.chain import Block
from consentum.ports.server_store import Arrival
from consentum.ports.transactions import Sender

log = logging.getLogger("consentum.keyserver")
MAX_AT_ONCE = 500
BATCH = 100


@dataclass(frozen=True, slots=True)
class _Message:
    number: int
    kind: str
    subject: str
    value: str
    signature: bytes


def delay_of(server: KeyServer, seconds: float) -> float:
    """How long this server leaves a notice to others: `seconds`, and up to as much again by its address, so that the
    members of a committee do not all pay for the same one."""
    return seconds * (1 + typed.address_bytes(server.address)[-1] / 256)


def put_on_chain(server: KeyServer, sender: Sender, seconds: float) -> int:
    """Sends what has waited long enough and the latest block does not hold; how many. What the finalized block holds is
    settled; so is what the contract has refused a few times (an ERC-1271 wallet may change its mind).

    UnavailableError, RefusedError: the node is not to be asked, or there is nothing to pay with; nothing is lost.
    """
    until = int(server.clock() - delay_of(server, seconds))
    waiting = server.store.unsettled(until, MAX_AT_ONCE)
    if not waiting:
        return 0
    view = server.fresh_view()
    done = _holds(server, view.finalized, waiting)
    server.store.settle([arrival.number for arrival, held in zip(waiting, done, strict=True) if held])
    left = [arrival for arrival, held in zip(waiting, done, strict=True) if not held]
    there = _holds(server, view.latest, left)
    missing = [_message(arrival) for arrival, held in zip(left, there, strict=True) if not held]
    for kind in ("Freeze", "RevokeAll", "Revoke"):
        for part in batches.parts([message for message in missing if message.kind == kind], BATCH):
            _send(server, sender, part)
    return len(missing)


def _send(server: KeyServer, sender: Sender, part: Sequence[_Message]) -> None:
    """Counts what was sent or refused: what never takes must end. What could not be sent (no node, no gas) is not."""
    try:
        sender.send([batches.call(part)])
    except RevertedError:
        log.warning("the contract refuses a notice of kind %s", part[0].kind)
    server.store.tried([message.number for message in part], batches.MAX_ATTEMPTS)


def _holds(server: KeyServer, block: Block, arrivals: Sequence[Arrival]) -> list[bool]:
    """Whether the registry says as much as each notice at that block."""
    pairs = [(arrival.notice.subject, arrival.notice.commitment) for arrival in arrivals]
    standings = server.ledger.standings(block, pairs) if pairs else []
    notices = [arrival.notice for arrival in arrivals]
    return [
        batches.covers(s, notice.kind, notice.until, block.timestamp)
        for s, notice in zip(standings, notices, strict=True)
    ]


def _message(arrival: Arrival) -> _Message:
    notice = arrival.notice
    value = hexed(notice.commitment) if notice.kind == "Revoke" else str(notice.until)
    return _Message(arrival.number, notice.kind, notice.subject, value, notice.signature)
