# SPDX-License-Identifier: Apache-2.0
"""Gas of whole transactions, ours and the peers' on the same Anvil. Gas is the same on every machine."""

from __future__ import annotations

import secrets

from consentum.crypto import typed
from consentum.crypto.signing import Signer, SoftPasskey, WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.messages import Freeze, Message, Revoke, RevokeAll
from consentum.domain.registry_messages import AddDelegate, ProposeOwner, RevokeDelegate
from scripts.benchmarks import peers
from scripts.benchmarks.chain import Chain, anvil
from scripts.benchmarks.measure import Run, Suite

BATCH = 100
DAY_SECONDS = 86_400
OWNER_WAIT_SECONDS = 4 * DAY_SECONDS  # OWNER_CHANGE_DELAY is three
# P256VERIFY (EIP-7951) is of Osaka; before, P-256 is verified in Solidity.
WITH_PRECOMPILE, WITHOUT_PRECOMPILE = "osaka", "prague"

_OURS = (
    *("grant", "revoke", "revoke_all", "freeze", "grant_batch_item", "revoke_batch_item"),
    *("passkey_grant", "passkey_revoke", "passkey_grant_no_precompile", "passkey_revoke_no_precompile"),
    *("did_add_delegate", "did_revoke_delegate", "did_propose_owner", "did_finalize_owner"),
)
KEYS = dict.fromkeys((*_OURS, *peers.KEYS), "gas") | {
    "ratio_eas_attest_to_grant": "ratio",
    "ratio_eas_revoke_to_revoke": "ratio",
    "ratio_eas_batch_attest_to_grant": "ratio",
    "ratio_erc1056_add_delegate_to_ours": "ratio",
}


def _signed(domain: Domain, key: Signer, message: Message) -> bytes:
    return key.sign(typed.digest(domain, message))


def _commitment(domain: Domain, key: Signer) -> tuple[bytes, bytes]:
    """A fresh commitment and the grant's signature: what the terms are makes no difference to the chain."""
    commitment = secrets.token_bytes(32)
    return commitment, key.sign(typed.digest_of_hash(domain, commitment))


def _grant_and_revoke(chain: Chain, key: Signer) -> tuple[int, int]:
    """One consent of somebody whom the chain has never seen: granted, then revoked."""
    domain = chain.deployment.user_domain
    commitment, signature = _commitment(domain, key)
    granting = chain.ours("ConsentRegistry", "grant", key.address, commitment, signature)
    signature = _signed(domain, key, Revoke(key.address, commitment))
    return granting, chain.ours("ConsentRegistry", "revoke", key.address, commitment, signature)


def _persons(chain: Chain) -> dict[str, float]:
    domain, key, other, now = chain.deployment.user_domain, WalletKey(), WalletKey(), chain.now()
    still = Freeze(other.address, now + DAY_SECONDS)
    cutoff, until = _signed(domain, key, RevokeAll(key.address, now)), _signed(domain, other, still)
    return {
        "revoke_all": chain.ours("ConsentRegistry", "revokeAll", key.address, now, cutoff),
        "freeze": chain.ours("ConsentRegistry", "freeze", other.address, still.until, until),
    }


def _batches(chain: Chain) -> dict[str, float]:
    """One hundred people, one consent each: the dearest batch."""
    domain, grants, revocations = chain.deployment.user_domain, [], []
    for key in (WalletKey() for _ in range(BATCH)):
        commitment, signature = _commitment(domain, key)
        grants.append((key.address, commitment, signature))
        revocations.append((key.address, commitment, _signed(domain, key, Revoke(key.address, commitment))))
    return {
        "grant_batch_item": chain.ours("ConsentRegistry", "grantBatch", grants) / BATCH,
        "revoke_batch_item": chain.ours("ConsentRegistry", "revokeBatch", revocations) / BATCH,
    }


def _identity(chain: Chain) -> dict[str, float]:
    """A fresh identity's first delegate, its end, and its new owner; ours is always signed, so anybody may pay."""
    name, friend, key = b"consent".ljust(32, b"\0"), WalletKey().address, WalletKey()
    domain, who = chain.deployment.did_domain, key.address
    added = _signed(domain, key, AddDelegate(who, name, friend, DAY_SECONDS, 0))
    revoked = _signed(domain, key, RevokeDelegate(who, name, friend, 1))
    proposed = _signed(domain, key, ProposeOwner(who, friend, 2))
    found: dict[str, float] = {
        "did_add_delegate": chain.ours("DidRegistry", "addDelegate", who, name, friend, DAY_SECONDS, added),
        "did_revoke_delegate": chain.ours("DidRegistry", "revokeDelegate", who, name, friend, revoked),
        "did_propose_owner": chain.ours("DidRegistry", "proposeOwner", who, friend, proposed),
    }
    chain.pass_seconds(OWNER_WAIT_SECONDS)
    return found | {"did_finalize_owner": chain.ours("DidRegistry", "finalizeOwner", who)}


def measure(run: Run) -> dict[str, float]:
    found: dict[str, float] = {}
    run.story.doing("our contracts")
    with anvil(run.folder, WITH_PRECOMPILE) as chain:
        found["grant"], found["revoke"] = _grant_and_revoke(chain, WalletKey())
        found["passkey_grant"], found["passkey_revoke"] = _grant_and_revoke(chain, SoftPasskey("localhost"))
        found |= _persons(chain) | _batches(chain)
        run.story.doing("EAS and ERC-1056 on the same chain")
        found |= peers.eas(chain, BATCH) | peers.erc1056(chain)
        found |= _identity(chain)  # last: it lets days pass
    run.story.doing("passkeys on a chain without the precompile")
    with anvil(run.folder, WITHOUT_PRECOMPILE) as chain:
        granting, revoking = _grant_and_revoke(chain, SoftPasskey("localhost"))
    found |= {"passkey_grant_no_precompile": granting, "passkey_revoke_no_precompile": revoking}
    return found | {
        "ratio_eas_attest_to_grant": found["eas_attest"] / found["grant"],
        "ratio_eas_revoke_to_revoke": found["eas_revoke"] / found["revoke"],
        "ratio_eas_batch_attest_to_grant": found["eas_attest_batch_item"] / found["grant_batch_item"],
        "ratio_erc1056_add_delegate_to_ours": found["erc1056_add_delegate_signed"] / found["did_add_delegate"],
    }


SUITE = Suite("gas", "Gas of whole transactions, ours beside EAS and ERC-1056", KEYS, measure)
