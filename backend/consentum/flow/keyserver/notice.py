# SPDX-License-Identifier: Apache-2.0
"""Notices: a signed revocation counts the moment a server holds it, whatever the relayer or the chain do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from consentum.crypto import typed
from consentum.domain.journal import NOTICE_CONTEXT
from consentum.domain.messages import Freeze, Revoke, RevokeAll
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError, Reason, RefusedError, SignatureRefused, UnavailableError
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.wire import Notice
from consentum.ports.chain import Claim, Roles, View
from consentum.ports.server_store import NoticeRow

MAX_CUTOFF_AHEAD_SECONDS = 3_600
MAX_FREEZE_AHEAD_SECONDS = 30 * 86_400
# Nobody can be asked who signed them, so somebody could fill the disk with them.
MAX_UNJUDGED = 1_000


def accept(server: KeyServer, notice: Notice) -> dict[str, Any]:
    """Keeps a notice for ever and answers with a signed receipt, whatever state this server is in: keeping one is
    harmless, refusing one is not.

    Valid if its signer is entitled at the finalized or at the latest block. If no node can say so now, it is kept and
    blocks until one can. SignatureRefused: nobody entitled signed it. MalformedError: further ahead than allowed.
    """
    if (field := _too_far(server, notice)) is not None:
        raise MalformedError("a cutoff is at most an hour ahead, a freeze 30 days", field=field)
    judged = _judge(server, notice)
    if server.store.add_notice(_row(notice, judged), server.now()):
        _tell(server)
    receipt = {"v": 1, "server": server.address.lower(), "notice": hexed(_digest(server, notice)), "judged": judged}
    return {"receipt": receipt, "signature": hexed(server.sign(NOTICE_CONTEXT, receipt))}


def take(server: KeyServer, notices: Sequence[Notice]) -> int:
    """Keeps those of a peer's notices that somebody entitled signed, the chain asked once for all; how many were new.
    UnavailableError, RefusedError: the chain cannot be asked; ask the peer again."""
    fit = [notice for notice in notices if not _too_far(server, notice)]
    entitled = _entitled(server, fit, server.fresh_view()) if fit else []
    rows = [_row(notice, True) for notice, valid in zip(fit, entitled, strict=True) if valid]
    new = sum(server.store.add_notice(row, server.now()) for row in rows)
    if new:
        _tell(server)
    return new


def _tell(server: KeyServer) -> None:
    """Wakes those who pass notices on: only for what was new, so that it ends."""
    for listener in server.listeners:
        listener.set()


def _judge(server: KeyServer, notice: Notice) -> bool:
    """Whether it is known to be signed by somebody entitled; False while no node can say."""
    try:
        [judged] = _entitled(server, [notice], server.fresh_view())
    except (RefusedError, UnavailableError):
        if len(server.store.unjudged()) >= MAX_UNJUDGED:
            raise RefusedError(Reason.LIMIT, "too many notices wait to be judged") from None
        return False
    if not judged:
        raise SignatureRefused(field="signature")
    return True


def is_known(server: KeyServer, notice: Notice) -> bool:
    """Whether this very notice, with this signature, is held and judged: then nobody need be asked about it again."""
    held = server.store.notices([notice.message.subject]).get(notice.message.subject.lower(), [])
    return _row(notice, True) in held


def read(row: NoticeRow) -> Notice:
    """A kept notice as it came."""
    return Notice.parse({"kind": row.kind, "message": json.loads(row.message), "signature": hexed(row.signature)})


def judge_pending(server: KeyServer, view: View) -> None:
    """Judges what was kept while no node answered; what nobody entitled signed is dropped."""
    rows = server.store.unjudged()
    notices = [read(row) for row in rows]
    for row, notice, entitled in zip(rows, notices, _entitled(server, notices, view), strict=True):
        if entitled:
            server.store.add_notice(_row(notice, True))
        else:
            server.store.drop_unjudged(row)


def _too_far(server: KeyServer, notice: Notice) -> str | None:
    """The field that is further ahead than allowed."""
    message = notice.message
    if isinstance(message, RevokeAll) and message.cutoff > server.now() + MAX_CUTOFF_AHEAD_SECONDS:
        return "cutoff"
    if isinstance(message, Freeze) and message.until > server.now() + MAX_FREEZE_AHEAD_SECONDS:
        return "until"
    return None


def _entitled(server: KeyServer, notices: Sequence[Notice], view: View) -> list[bool]:
    """Of each notice, whether its signer is entitled at latest or at finalized."""
    if not notices:
        return []
    claims = [_claim(server, notice) for notice in notices]
    at_latest, at_finalized = (server.ledger.signed_by(block, claims) for block in (view.latest, view.finalized))
    return [late or early for late, early in zip(at_latest, at_finalized, strict=True)]


def _claim(server: KeyServer, notice: Notice) -> Claim:
    roles = Roles.GUARDIAN if isinstance(notice.message, Freeze) else Roles.CONSENT | Roles.GUARDIAN
    return Claim(notice.message.subject, roles, _digest(server, notice), notice.signature)


def _digest(server: KeyServer, notice: Notice) -> bytes:
    return typed.digest(server.domain, notice.message)


def _row(notice: Notice, judged: bool) -> NoticeRow:
    message = notice.message
    commitment = message.commitment if isinstance(message, Revoke) else bytes(32)
    until = message.cutoff if isinstance(message, RevokeAll) else message.until if isinstance(message, Freeze) else 0
    text = json.dumps(typed.to_json(message), sort_keys=True)
    return NoticeRow(notice.kind, message.subject.lower(), commitment, until, text, notice.signature, judged)
