# SPDX-License-Identifier: Apache-2.0
"""Anchoring: a grown journal's root goes on chain; a journal that is behind its anchor serves nothing."""

from __future__ import annotations

from consentum.crypto.checkpoint import Checkpoint, sign
from consentum.flow.keyserver.server import KeyServer
from consentum.ports.transactions import Call, Sender


def origin_of(address: str) -> str:
    """The checkpoint origin of a server's log."""
    return f"consentum.log/{address.lower()}"


def checkpoint(server: KeyServer) -> str:
    """The signed checkpoint (C2SP tlog-checkpoint) of the journal as it is."""
    size = server.store.journal_size()
    origin = origin_of(server.address)
    return sign(Checkpoint(origin, size, server.store.root(size)), origin, server.checkpoint_key)


def agrees_with_anchor(server: KeyServer) -> bool:
    """False if the chain knows more of this journal than the journal itself, or something else: a restored backup, a
    fork, or an edited database."""
    view = server.fresh_view()  # a stale node could hide the anchor
    anchored = server.ledger.anchor_of(view.latest, server.address)
    if anchored.size > server.store.journal_size():
        return False
    return anchored.size == 0 or server.store.root(anchored.size) == anchored.root


def anchor(server: KeyServer, sender: Sender) -> int:
    """Puts the journal's root on chain if it has grown; the anchored size."""
    view = server.ledger.view()
    before = server.ledger.anchor_of(view.latest, server.address)
    size = server.store.journal_size()
    if size <= before.size:
        return before.size
    sender.send([Call("AuditAnchor", "anchor", (before.root, before.size, server.store.root(size), size))])
    return size
