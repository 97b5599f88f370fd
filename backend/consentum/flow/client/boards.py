# SPDX-License-Identifier: Apache-2.0
"""What a study's lead and a board's members sign. domain is StudyRegistry's; nothing here is sent."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import Signer
from consentum.crypto.typed import Domain
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import (
    AcceptForm,
    Accredit,
    Amend,
    Approve,
    ChangeBoard,
    Close,
    Propose,
    Reject,
    SetMember,
    Suspend,
    Terms,
    Withdraw,
)
from consentum.flow.client.terms import Signed, sign

Vote = Approve | Reject | Suspend | Close | Accredit | AcceptForm | ChangeBoard


def text_hash(text: str) -> bytes:
    """What a form or a reason is named by."""
    return keccak(text.encode())


def ascending(members: Sequence[str]) -> tuple[str, ...]:
    """A board's members as the contract wants them: lower-case, ascending, each once."""
    return tuple(sorted({member.lower() for member in members}))


def board_id(members: Sequence[str], quorum: int, salt: bytes) -> bytes:
    """What StudyRegistry names a board by; members ascend."""
    return keccak(encode(("address[]", "uint8", "bytes32"), (list(members), quorum, salt)))


def new_board(members: Sequence[str], quorum: int) -> tuple[bytes, dict[str, Any]]:
    """A board's id, and the body that asks a gateway to create it."""
    listed, salt = ascending(members), secrets.token_bytes(32)
    return board_id(listed, quorum, salt), {"members": list(listed), "quorum": quorum, "salt": hexed(salt)}


def propose(domain: Domain, lead: Signer, board: bytes, terms: Terms, forms: Sequence[str]) -> Signed:
    """A study; its id is the hash of the signed message. forms: the consent forms' texts."""
    hashes = tuple(text_hash(form) for form in forms)
    return sign(domain, Propose(lead.address.lower(), board, terms, hashes, secrets.token_bytes(32)), lead)


def propose_body(signed: Signed, words: Mapping[str, str], forms: Sequence[str]) -> dict[str, Any]:
    """For POST /v1/studies. words: name, title, summary."""
    plain = {"propose": typed.to_json(signed.message), "signature": hexed(signed.signature)}
    return {**plain, **{key: words[key] for key in ("name", "title", "summary")}, "forms": list(forms)}


def amend(domain: Domain, lead: Signer, study: tuple[bytes, int], terms: Terms, forms: Sequence[str]) -> Signed:
    """The next version of a study. study: its id and the version this becomes."""
    return sign(domain, Amend(*study, terms, tuple(text_hash(form) for form in forms)), lead)


def set_member(domain: Domain, lead: Signer, study: tuple[bytes, int], member: str, allowed: bool) -> Signed:
    """Lets somebody request under a study, or no longer. study: its id and the lead's next nonce."""
    return sign(domain, SetMember(study[0], member.lower(), allowed, study[1]), lead)


def withdraw(domain: Domain, lead: Signer, study: tuple[bytes, int]) -> Signed:
    """Closes a study for ever. study: its id and the lead's next nonce."""
    return sign(domain, Withdraw(*study), lead)


def vote(domain: Domain, member: Signer, message: Vote) -> dict[str, Any]:
    """A member's vote for POST /v1/motions. message carries the board's next nonce."""
    signed = sign(domain, message, member)
    return {"kind": type(message).__name__, **lead_body(signed)}


def lead_body(signed: Signed) -> dict[str, Any]:
    """{message, signature}, as gateways take what leads sign."""
    return {"message": typed.to_json(signed.message), "signature": hexed(signed.signature)}


def widens(prior: Terms, following: Terms) -> bool:
    """Whether consents given to `prior` do not reach to `following`, as StudyRegistry decides it: then patients must
    consent anew."""
    return bool(
        following.purposes & ~prior.purposes
        or following.categories & ~prior.categories
        or prior.conditions & ~following.conditions
        or following.access > prior.access
        or set(following.diseases) - set(prior.diseases)
    )
