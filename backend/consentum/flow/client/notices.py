# SPDX-License-Identifier: Apache-2.0
"""Ending consent: a signed notice goes to the gateway, for the chain, and to every key server directly, where it counts
at once. No word of the gateway's is needed: a server counts when its own receipt was verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from consentum.crypto import typed
from consentum.crypto.typed import Domain
from consentum.domain.journal import NOTICE_CONTEXT
from consentum.domain.parsing import as_bytes, as_object, hexed
from consentum.errors import ConsentumError, CorruptError, UnavailableError
from consentum.flow.client.receipts import verify_signature
from consentum.flow.wire import Notice
from consentum.ports.chain import Block, Ledger
from consentum.ports.peers import KeyServerPeer

HOLDS, UNJUDGED, UNVERIFIED = "holds it", "holds it, unjudged", "answered, not verified"


@dataclass(frozen=True, slots=True)
class Told:
    """gateway: the state it gave, or the code of its failure; servers: what became of it at each, by address."""

    gateway: str
    servers: Mapping[str, str]

    @property
    def holding(self) -> int:
        """How many servers surely hold it."""
        return sum(state in (HOLDS, UNJUDGED) for state in self.servers.values())


def tell(
    ledger: Ledger, domain: Domain, notice: Notice, gateway: Callable[[Any], Any], peers: Sequence[KeyServerPeer]
) -> Told:
    """Sends a notice everywhere. If nobody took it, the gateway's refusal is raised, or UnavailableError."""
    body, latest = notice.to_json(), _latest(ledger)
    digest = typed.digest(domain, notice.message)

    def at_gateway() -> ConsentumError | str:
        try:
            return str(gateway(body).get("state", ""))
        except ConsentumError as error:
            return error

    def one(peer: KeyServerPeer) -> tuple[str, str]:
        try:
            return peer.address, _receipt(ledger, latest, peer.address, digest, peer.notice(body))
        except ConsentumError as error:
            return peer.address, error.code

    with ThreadPoolExecutor(max_workers=1 + len(peers)) as pool:  # all at once: none waits for one that hangs
        answer = pool.submit(at_gateway)
        servers = dict(pool.map(one, peers))
        state = answer.result()
    if isinstance(state, str):
        return Told(state, servers)
    if not {HOLDS, UNJUDGED, UNVERIFIED} & set(servers.values()):
        raise state if state.code != "UNAVAILABLE" else UnavailableError("neither gateway nor key servers took it")
    return Told(state.code, servers)


def _latest(ledger: Ledger) -> Block | None:
    try:
        return ledger.view().latest
    except ConsentumError:
        return None


def _receipt(ledger: Ledger, latest: Block | None, server: str, digest: bytes, answer: Any) -> str:
    """What a server's signed receipt says. CorruptError for one that is not its own or is about another notice."""
    body = as_object(answer, "receipt", "receipt", "signature")
    receipt = body["receipt"]
    if latest is None:
        return UNVERIFIED
    key = ledger.server_keys(latest, server).checkpoint_key
    if not isinstance(receipt, Mapping):
        raise CorruptError("a receipt is not an object", field="receipt")
    verify_signature(key, NOTICE_CONTEXT, receipt, as_bytes(body["signature"], "signature", 64))
    if (receipt.get("server"), receipt.get("notice")) != (server.lower(), hexed(digest)):
        raise CorruptError("a receipt is about another notice", field="receipt")
    return HOLDS if receipt.get("judged") is True else UNJUDGED
