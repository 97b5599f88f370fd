# SPDX-License-Identifier: Apache-2.0
"""Boards: members send votes as they sign them; at quorum the decision goes to the chain.

The first vote makes the motion. All votes are over one message with the board's nonce, so of two motions made at once
the one that reaches its quorum first is carried out, and the other is stale. Nothing here counts but on chain.
"""

from __future__ import annotations

from typing import Any

from consentum.crypto import typed
from consentum.domain.messages import Message
from consentum.domain.parsing import as_bytes, as_integer, as_list, as_object, as_signature, hexed
from consentum.errors import ConflictError, MalformedError, NotFoundError, NotSponsoredError, SignatureRefused
from consentum.flow.client.boards import board_id
from consentum.flow.gateway import registering
from consentum.flow.gateway.gateway import Gateway
from consentum.flow.gateway.sponsoring import pays_for
from consentum.ports.chain import Claim, Roles
from consentum.ports.gateway_store import Relayed
from consentum.ports.registries import BoardFacts
from consentum.ports.studies import Motion

STUDY_KINDS = ("Approve", "Reject", "Suspend", "Close")
BOARD_KINDS = ("Accredit", "AcceptForm", "ChangeBoard")
MAX_MEMBERS = 100


def create(gateway: Gateway, data: object, who: str) -> dict[str, Any]:
    """{members, quorum, salt}: queues a new board; {board, id, state}. NotSponsoredError unless the board is in the
    settings, or the gateway pays for whoever asks."""
    body = as_object(data, "request", "members", "quorum", "salt")
    members = as_list(body["members"], "members", lambda a: hexed(typed.address_bytes(a)), MAX_MEMBERS)
    quorum, salt = as_integer(body["quorum"], "quorum", 256), as_bytes(body["salt"], "salt", 32)
    if list(members) != sorted(set(members)):
        raise MalformedError("members are ascending and different", field="members")
    if not 1 <= quorum <= len(members):
        raise MalformedError("quorum is 1 to the number of members", field="quorum")
    board = board_id(members, quorum, salt)
    if board not in gateway.sponsorship.boards and not pays_for(gateway, who):
        raise NotSponsoredError("the gateway pays neither for this board nor for whoever asks")
    value = {"members": list(members), "quorum": quorum, "salt": hexed(salt)}
    queued = gateway.store.enqueue(registering.of_call("CreateBoard", hexed(board), value))
    return {"board": hexed(board), "id": hexed(queued.id), "state": queued.state}


def vote(gateway: Gateway, data: object) -> dict[str, Any]:
    """{kind, message, signature}: one member's vote; the first makes the motion, the one that completes the quorum
    sends it. SignatureRefused if no member signed; ConflictError for another nonce than the board's next, or a member
    who recused herself."""
    body = as_object(data, "request", "kind", "message", "signature")
    if body["kind"] not in (*STUDY_KINDS, *BOARD_KINDS):
        raise MalformedError(f"kind is one of {', '.join((*STUDY_KINDS, *BOARD_KINDS))}", field="kind")
    message: Any = typed.from_json(typed.MESSAGES[body["kind"]], body["message"])
    signature = as_signature(body["signature"], "signature")
    board = message.board if body["kind"] in BOARD_KINDS else gateway.registries.study(message.study).board
    facts = gateway.registries.board(board)
    member = _signer(gateway, facts, message, signature)
    if board not in gateway.sponsorship.boards:
        raise NotSponsoredError("the gateway does not pay for this board")
    identity = typed.struct_hash(message)
    if message.nonce != facts.nonce:
        known = _motion(gateway, identity)
        if known is None or message.nonce > facts.nonce:
            raise ConflictError(f"the board's next nonce is {facts.nonce}", field="nonce")
        return _shown(gateway, known, facts)
    made = Motion(identity, body["kind"], board, typed.to_json(message))
    motion = gateway.studies.vote(made, member, signature)
    _send_at_quorum(gateway, motion, facts)
    return _shown(gateway, motion, facts)


def recuse(gateway: Gateway, motion: str, data: object, who: str) -> dict[str, Any]:
    """{motion}: a member takes herself out of one decision. NotFoundError for anybody but a member of its board."""
    body = as_object(data, "request", "motion")
    if body["motion"] != motion:
        raise MalformedError("the body names another motion than the path", field="motion")
    found = gateway.studies.motion(as_bytes(motion, "motion", 32))
    facts = gateway.registries.board(found.board)
    if who not in facts.members:
        raise NotFoundError("no such motion", field="motion")
    if _sent(gateway, found) is not None:
        raise ConflictError("the motion is decided", field="motion")
    return _shown(gateway, gateway.studies.recuse(found.id, who), facts)


def motions(gateway: Gateway, board: str, who: str) -> dict[str, Any]:
    """A board's motions, oldest first, to its members. NotFoundError for anybody else."""
    identity = as_bytes(board, "board", 32)
    facts = gateway.registries.board(identity)
    if who not in facts.members:
        raise NotFoundError("no such board", field="board")
    found = [_shown(gateway, motion, facts) for motion in gateway.studies.motions(identity)]
    return {"motions": found, "nonce": facts.nonce, "members": list(facts.members), "quorum": facts.quorum}


def _signer(gateway: Gateway, facts: BoardFacts, message: Message, signature: bytes) -> str:
    """The member who signed. SignatureRefused if none did: an unknown board has no members."""
    digest = typed.digest(gateway.registries.study_domain, message)
    claims = [Claim(member, Roles.CONTROLLER, digest, signature) for member in facts.members]
    signed = gateway.ledger.signed_by(gateway.ledger.view().latest, claims) if claims else []
    for member, good in zip(facts.members, signed, strict=True):
        if good:
            return member
    raise SignatureRefused("not signed by a member of the board", field="signature")


def _send_at_quorum(gateway: Gateway, motion: Motion, facts: BoardFacts) -> None:
    """The contract takes all votes or none, so one that is its member's no longer (her key was changed) is left out;
    what it refused once is sent again with the next vote."""
    sent = _sent(gateway, motion)
    votes = {member: vote for member, vote in motion.votes.items() if member in facts.members}
    if len(votes) < facts.quorum or (sent is not None and sent.state != "refused"):
        return
    message = typed.from_json(typed.MESSAGES[motion.kind], motion.message)
    digest = typed.digest(gateway.registries.study_domain, message)
    claims = [Claim(member, Roles.CONTROLLER, digest, bytes.fromhex(votes[member][2:])) for member in sorted(votes)]
    signed = gateway.ledger.signed_by(gateway.ledger.view().latest, claims)
    good = [claim.identity.lower() for claim, valid in zip(claims, signed, strict=True) if valid]
    if len(good) < facts.quorum:
        return
    listed = [{"member": member, "signature": votes[member]} for member in good]
    gateway.store.enqueue(registering.of_message(message, hexed(motion.board), b"", votes=listed))


def _sent(gateway: Gateway, motion: Motion) -> Relayed | None:
    try:
        return gateway.store.relayed(registering.identity_of(motion.kind, hexed(motion.board), hexed(motion.id)))
    except NotFoundError:
        return None


def _motion(gateway: Gateway, identity: bytes) -> Motion | None:
    try:
        return gateway.studies.motion(identity)
    except NotFoundError:
        return None


def _shown(gateway: Gateway, motion: Motion, facts: BoardFacts) -> dict[str, Any]:
    sent = _sent(gateway, motion)
    state = sent.state if sent is not None else "open" if motion.message["nonce"] == facts.nonce else "stale"
    return {
        "motion": hexed(motion.id),
        "kind": motion.kind,
        "message": dict(motion.message),
        "votes": sorted(member for member in motion.votes if member in facts.members),
        "recused": list(motion.recused),
        "quorum": facts.quorum,
        "state": state,
    }
