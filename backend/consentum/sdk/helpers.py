# SPDX-License-Identifier: Apache-2.0
"""Who may act for an identity: delegates, guardians, recovery. A change is signed here and relayed by the gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import typed
from consentum.domain.messages import Message
from consentum.domain.parsing import as_integer, as_list, as_object, as_signature, hexed
from consentum.domain.registry_messages import AddDelegate, CancelOwner, ProposeOwner, RevokeDelegate, SetRecovery
from consentum.errors import ConflictError, MalformedError, SettingsError
from consentum.flow.client import terms
from consentum.ports.registries import IdentityFacts
from consentum.settings import write_json
from consentum.wiring.client import Connection

DAY_SECONDS = 86_400
MAX_VALID_DAYS = 3_650
MAX_VOTES = 32
MAX_FILE_BYTES = 1 << 20
ROLES = ("consent", "guardian", "recovery", "deposit", "assertion")


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity's way to change itself: who signs, and what the registry holds."""

    connection: Connection

    def facts(self, identity: str) -> IdentityFacts:
        return self.connection.registries.identity(identity)

    def nonce(self, identity: str) -> int:
        """Of the identity's next signed change."""
        return self.facts(identity).nonce

    def send(self, message: Message) -> dict[str, Any]:
        """Signs one change and hands it in; {id, state}. SignatureRefused if this key may not."""
        signed = terms.sign(self.connection.deployment.did_domain, message, self.connection.key)
        body = {"kind": type(message).__name__, "message": typed.to_json(message), "signature": hexed(signed.signature)}
        return dict(_gateway(self.connection).post("/v1/identities", body))


def _gateway(connection: Connection) -> HttpClient:
    return HttpClient(connection.settings.gateway, timeout=60)


def add_delegate(who: Identity, role: str, delegate: str, days: int) -> dict[str, Any]:
    """Names a delegate for some days. A recovery delegate counts three days after it is on chain."""
    if not 1 <= days <= MAX_VALID_DAYS:
        raise MalformedError(f"a delegate is named for 1 to {MAX_VALID_DAYS} days", field="days")
    identity = who.connection.identity
    nonce = who.nonce(identity)
    return who.send(AddDelegate(identity, _kind(role), _address(delegate), days * DAY_SECONDS, nonce))


def remove_delegate(who: Identity, role: str, delegate: str) -> dict[str, Any]:
    """Ends a delegate: at once, but a guardian or recovery delegate after three days."""
    identity = who.connection.identity
    return who.send(RevokeDelegate(identity, _kind(role), _address(delegate), who.nonce(identity)))


def set_recovery(who: Identity, threshold: int) -> dict[str, Any]:
    """How many recovery delegates must sign together; 0 for no recovery. It counts after three days."""
    if not 0 <= threshold <= MAX_VOTES:
        raise MalformedError(f"the threshold is 0 to {MAX_VOTES}", field="threshold")
    identity = who.connection.identity
    return who.send(SetRecovery(identity, threshold, who.nonce(identity)))


def cancel(who: Identity) -> dict[str, Any]:
    """The controller stops a pending owner change; refused while frozen."""
    identity = who.connection.identity
    return who.send(CancelOwner(identity, who.nonce(identity)))


def finalize(who: Identity, identity: str) -> dict[str, Any]:
    """Completes a pending owner change once its delay is over; anybody may."""
    return dict(_gateway(who.connection).post("/v1/identities/finalizations", {"identity": _address(identity)}))


@dataclass(frozen=True, slots=True)
class Petition:
    """A recovery on its way: what is proposed, and who has signed it so far. It travels as a file between delegates."""

    proposal: ProposeOwner
    votes: tuple[tuple[str, bytes], ...]

    @classmethod
    def load(cls, path: Path) -> Petition:
        """MalformedError if the file is not one."""
        try:
            data = json.loads(path.read_bytes()[:MAX_FILE_BYTES])
        except (OSError, ValueError):
            raise MalformedError("not a recovery file", field="file") from None
        body = as_object(data, "file", "proposal", "votes")
        votes = as_list(body["votes"], "votes", _vote, MAX_VOTES)
        return cls(typed.from_json(ProposeOwner, body["proposal"]), votes)

    def save(self, path: Path) -> None:
        votes = [{"member": member, "signature": hexed(signature)} for member, signature in self.votes]
        write_json(path, {"proposal": typed.to_json(self.proposal), "votes": votes})


def _vote(row: object) -> tuple[str, bytes]:
    body = as_object(row, "votes", "member", "signature")
    return hexed(typed.address_bytes(body["member"])), as_signature(body["signature"], "signature")


def propose(who: Identity, identity: str, new_owner: str) -> Petition:
    """A recovery delegate's proposal that `new_owner` becomes the controller of somebody's identity."""
    subject = _address(identity)
    return _signed(who, ProposeOwner(subject, _address(new_owner), who.nonce(subject)), ())


def approve(who: Identity, petition: Petition) -> Petition:
    """One more vote. ConflictError if the identity has changed since: then propose anew."""
    proposal = petition.proposal
    as_integer(proposal.nonce, "nonce", 1 << 256)
    if who.nonce(proposal.identity) != proposal.nonce:
        raise ConflictError("the identity has changed since; propose anew", field="nonce")
    return _signed(who, proposal, petition.votes)


def _signed(who: Identity, proposal: ProposeOwner, votes: tuple[tuple[str, bytes], ...]) -> Petition:
    member = who.connection.key.address.lower()
    signature = terms.sign(who.connection.deployment.did_domain, proposal, who.connection.key).signature
    others = {name: one for name, one in votes if name != member}
    # The contract takes them ascending by address, so that nobody counts twice.
    return Petition(proposal, tuple(sorted({**others, member: signature}.items())))


def enough(who: Identity, petition: Petition) -> bool:
    """Whether as many have signed as the identity's threshold. SettingsError if it has no recovery at all."""
    threshold = who.facts(petition.proposal.identity).recovery_threshold
    if threshold == 0:
        raise SettingsError("this identity has no recovery", field="threshold")
    return len(petition.votes) >= threshold


def hand_in(who: Identity, petition: Petition) -> dict[str, Any]:
    """Gives the votes to the gateway; {id, state}."""
    body = {
        "identity": petition.proposal.identity,
        "newOwner": petition.proposal.newOwner,
        "votes": [{"member": member, "signature": hexed(signature)} for member, signature in petition.votes],
    }
    return dict(_gateway(who.connection).post("/v1/identities/recoveries", body))


def status(who: Identity, identity: str) -> Mapping[str, Any]:
    """What the registry holds: owner, threshold, and an owner change that is pending."""
    found = who.facts(_address(identity))
    return {
        "identity": identity.lower(),
        "owner": found.owner,
        "threshold": found.recovery_threshold,
        "pending": found.pending_owner,
        "finalFrom": found.pending_from,
        "byRecovery": found.by_recovery,
    }


def _kind(role: str) -> bytes:
    if role not in ROLES:
        raise MalformedError("the roles are " + ", ".join(ROLES), field="role")
    return role.encode().ljust(32, b"\0")


def _address(text: str) -> str:
    return hexed(typed.address_bytes(text))
