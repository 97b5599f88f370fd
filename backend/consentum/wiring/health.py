# SPDX-License-Identifier: Apache-2.0
"""How a local system is: asked of its processes and of the chain, never taken from what was written down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from consentum.adapters.chain.rpc import Rpc
from consentum.adapters.peers.http import HttpClient
from consentum.errors import ConsentumError
from consentum.wiring.founding import balance
from consentum.wiring.inventory import Inventory, Part

TIMEOUT_SECONDS = 15.0


def system_status(folder: Path) -> dict[str, Any]:
    """{ready, rpc, chainId, block, committee, board, processes: {name: {ready, why, pid, endpoint, address, balance
    (wei), journal (entries)}}}. NotRunningError if no system was ever started here."""
    known = Inventory.load(folder)
    rpc = Rpc(known.rpc, TIMEOUT_SECONDS) if known.rpc else None
    with ThreadPoolExecutor(max(len(known.parts), 1)) as pool:
        told = dict(zip(known.parts, pool.map(lambda part: _part(part, rpc), known.parts.values()), strict=True))
    block = _block(rpc)
    return {
        "ready": bool(told) and block is not None and all(part["ready"] for part in told.values()),
        "rpc": known.rpc,
        "chainId": known.chain_id,
        "block": block,
        "committee": known.committee,
        "board": known.board,
        "supervisor": known.supervisor.pid if known.supervisor and known.supervisor.alive else None,
        "processes": told,
    }


def unready(known: Inventory) -> list[str]:
    """The names of the processes that are not ready now."""
    rpc = Rpc(known.rpc, TIMEOUT_SECONDS) if known.rpc else None
    return [name for name, part in known.parts.items() if why_not(part, rpc)]


def _part(part: Part, rpc: Rpc | None) -> dict[str, Any]:
    why = why_not(part, rpc)
    alive = part.process is not None and part.process.alive
    told = {"ready": not why, "why": why, "pid": part.process.pid if part.process and alive else None}
    told |= {"endpoint": part.endpoint, "address": part.address or None, "balance": None, "journal": None}
    if part.address and rpc is not None:
        try:
            told["balance"] = balance(rpc, part.address)
        except ConsentumError:
            told["balance"] = None
    if part.noun == "keyserver" and alive:
        told["journal"] = _journal(part.endpoint)
    return told


def why_not(part: Part, rpc: Rpc | None) -> dict[str, str]:
    """Why a process would not do its work, by part of it; nothing if it would."""
    if part.process is None or not part.process.alive:
        return {"process": "NOT_RUNNING"}
    if part.noun == "anvil":
        return {} if _block(rpc) is not None else {"chain": "UNAVAILABLE"}
    try:
        answer = httpx.get(f"{part.endpoint}/ready", timeout=TIMEOUT_SECONDS, trust_env=False)
        if answer.status_code == 200:
            return {}
        return {str(where): str(reason) for where, reason in answer.json()["why"].items()}
    except (httpx.HTTPError, ValueError, KeyError, AttributeError):
        return {"http": "UNAVAILABLE"}


def _journal(endpoint: str) -> int | None:
    """The size that the server's checkpoint names: its second line."""
    client = HttpClient(endpoint, TIMEOUT_SECONDS)
    try:
        return int(client.text("/v1/journal/checkpoint").splitlines()[1])
    except (ConsentumError, IndexError, ValueError):
        return None
    finally:
        client.close()


def _block(rpc: Rpc | None) -> int | None:
    try:
        return int(str(rpc.call("eth_blockNumber")), 16) if rpc is not None else None
    except (ConsentumError, ValueError):
        return None
