# SPDX-License-Identifier: Apache-2.0
"""For whom the gateway pays, and whom it lets upload: the operator's settings and the custodians' word."""

from __future__ import annotations

from consentum.errors import NotSponsoredError
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.chain import Roles


def pays_for(gateway: Gateway, who: str) -> bool:
    """Subjects whom a custodian recognised, the custodians themselves, and whom the operator named."""
    known = gateway.sponsorship
    lowered = who.lower()
    return lowered in known.custodians or lowered in known.sponsored or gateway.enrolments.recognised(lowered)


def require_sponsored(gateway: Gateway, who: str) -> None:
    """NotSponsoredError for anybody the gateway does not pay for."""
    if not pays_for(gateway, who):
        raise NotSponsoredError("no custodian of this gateway recognised this person yet")


def deposits_for_someone(gateway: Gateway, who: str) -> bool:
    """Whether `who` may deposit for one of the custodians in the settings."""
    if who.lower() in gateway.sponsorship.custodians:
        return True
    block = gateway.ledger.view().latest
    return any(gateway.ledger.may_act(block, c, Roles.DEPOSIT, who) for c in sorted(gateway.sponsorship.custodians))


def below_reserve(gateway: Gateway) -> bool:
    """Whether what is left is for revocations alone."""
    reserve = gateway.sponsorship.reserve_wei
    return reserve > 0 and gateway.sender.balance() < reserve
