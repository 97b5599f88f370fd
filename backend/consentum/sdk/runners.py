# SPDX-License-Identifier: Apache-2.0
"""Which runner a job goes to: the accredited one that was seen last. The gateway says who was seen, the chain whom the
study's board accredits."""

from __future__ import annotations

from typing import Any

from consentum.adapters.peers.session import Session
from consentum.crypto.typed import address_bytes
from consentum.errors import MalformedError
from consentum.ports.chain import Ledger
from consentum.sdk.failures import NoRunnerError

MAX_ASKED = 32


def pick(ledger: Ledger, session: Session, study: bytes, wanted: str | None = None) -> str:
    """A lower-case address; a wanted one is taken as it is, for the policy to judge. NoRunnerError if there is none."""
    block = ledger.view().latest
    if wanted is not None:
        return "0x" + address_bytes(wanted).hex()
    rows = sorted(session.get("/v1/runners").get("runners", []), key=_seen, reverse=True)
    for row in rows[:MAX_ASKED]:
        address = "0x" + address_bytes(row.get("address")).hex()
        if ledger.board_and_runner(block, study, address)[1]:
            return address
    raise NoRunnerError("no runner that the study's board accredits was seen lately; ask its operator, or wait")


def _seen(row: Any) -> float:
    seen = row.get("seen") if isinstance(row, dict) else None
    if type(seen) not in (int, float):
        raise MalformedError("a runner is an address and when it was seen", field="runners")
    return float(seen)  # type: ignore[arg-type]
