# SPDX-License-Identifier: Apache-2.0
"""Signed messages as they are sent to a gateway."""

from __future__ import annotations

from typing import Any

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.domain.messages import Consent
from consentum.domain.parsing import hexed
from consentum.flow.client import terms
from consentum.flow.gateway import relay
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.wire import Notice
from tests.unit.client.world import DOMAIN, World


def grant_body(consent: Consent, signer: WalletKey) -> dict[str, Any]:
    return {"consent": typed.to_json(consent), "signature": hexed(terms.sign(DOMAIN, consent, signer).signature)}


def notice_body(message: Any, signer: WalletKey) -> dict[str, Any]:
    return Notice(message, terms.sign(DOMAIN, message, signer).signature).to_json()


def revocation(who: WalletKey, commitment: bytes = b"\1" * 32, signer: WalletKey | None = None) -> dict[str, Any]:
    return notice_body(terms.revoke(DOMAIN, who, who.address, commitment).message, signer or who)


def granted(gateway: Gateway, world: World, who: WalletKey | None = None) -> Consent:
    consent = world.consent(who or world.alice)
    relay.grant(gateway, grant_body(consent, who or world.alice))
    return consent
