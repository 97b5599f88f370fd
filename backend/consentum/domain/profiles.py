# SPDX-License-Identifier: Apache-2.0
"""Finality and freshness limits, one profile per kind of chain (promise P2)."""

from __future__ import annotations

from dataclasses import dataclass

from consentum.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """Ages and skews in seconds.

    max_head_age: how old the latest block may be; two slots more than 30 on slow chains. max_finalized_age: how far
    finality may fall behind before a grant is no longer judged. max_skew: how far the chain's clock may be ahead of
    ours. pin_by_hash: eth_call takes a block hash (EIP-1898); else by number, and the hash is read again.
    """

    name: str
    max_head_age: int = 30
    max_finalized_age: int = 120
    max_skew: int = 15
    finalized_tag: str = "finalized"
    pin_by_hash: bool = True


PROFILES = {
    profile.name: profile
    for profile in (
        ChainProfile("anvil"),
        ChainProfile("ganache", finalized_tag="latest", pin_by_hash=False),
        ChainProfile("ethereum", max_head_age=54, max_finalized_age=30 * 60),
        ChainProfile("l2", max_head_age=30, max_finalized_age=60 * 60),
    )
}
_BY_CHAIN = {31337: "anvil", 1337: "ganache", 1: "ethereum", 11155111: "ethereum"}


def profile_for(chain_id: int, name: str | None = None) -> ChainProfile:
    """The named profile, else the chain's own. SettingsError for a chain that nobody has thought about."""
    chosen = name or _BY_CHAIN.get(chain_id, "")
    if chosen not in PROFILES:
        raise SettingsError(f"name a profile for chain {chain_id}: {', '.join(PROFILES)}", field="profile")
    return PROFILES[chosen]
