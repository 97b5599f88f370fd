# SPDX-License-Identifier: Apache-2.0
"""Boards, studies and consents on either chain, through the same signed calls."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.signing import Signer, WalletKey
from consentum.domain.messages import Consent, Message
from consentum.domain.registry_messages import (
    AcceptForm,
    Accredit,
    AddDelegate,
    Approve,
    Close,
    Propose,
    SetMember,
    Terms,
)
from consentum.ports.transactions import Call
from tests.conformance.conftest import Chain

YEAR = 365 * 86_400


@dataclass(slots=True)
class Society:
    """A board of one, a lead, and whoever they let in. Nonces are counted here, as a client would read them."""

    chain: Chain
    judge: WalletKey = field(default_factory=WalletKey)
    lead: WalletKey = field(default_factory=WalletKey)
    board: bytes = b""
    _board_nonce: int = 0
    _lead_nonces: dict[bytes, int] = field(default_factory=dict)
    _nonces: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        salt, members = secrets.token_bytes(32), [self.judge.address]
        self.send("StudyRegistry", "createBoard", members, 1, salt)
        self.board = keccak(encode(("address[]", "uint8", "bytes32"), (members, 1, salt)))

    @property
    def now(self) -> int:
        return self.chain.ledger.view().latest.timestamp

    def send(self, contract: str, function: str, *args: Any) -> None:
        self.chain.sender.send([Call(contract, function, args)])

    def study(self, terms: Terms, *forms: bytes, approved: bool = True) -> bytes:
        made = Propose(self.lead.address, self.board, terms, forms, secrets.token_bytes(32))
        fields = (terms.purposes, terms.conditions, terms.categories, terms.access, list(terms.diseases), bytes(32))
        signature = self.lead.sign(typed.digest(self.chain.at.study_domain, made))
        self.send("StudyRegistry", "propose", made.lead, self.board, fields, list(forms), made.salt, signature)
        study = typed.struct_hash(made)
        if approved:
            self.vote("approve", Approve, study, 1, self.now + YEAR)
        return study

    def vote(self, function: str, kind: type[Message], *values: Any) -> None:
        message = kind(*values, self._board_nonce)
        self._board_nonce += 1
        digest = typed.digest(self.chain.at.study_domain, message)
        self.send("StudyRegistry", function, *values, [(self.judge.address, self.judge.sign(digest))])

    def close(self, study: bytes) -> None:
        self.vote("close", Close, study)

    def accredit(self, runner: str, until: int | None = None) -> None:
        self.vote("accredit", Accredit, self.board, runner, self.now + YEAR if until is None else until)

    def accept_form(self, form: bytes) -> None:
        self.vote("acceptForm", AcceptForm, self.board, form, True)

    def member(self, study: bytes, who: str) -> None:
        nonce = self._lead_nonces.get(study, 0)
        self._lead_nonces[study] = nonce + 1
        digest = typed.digest(self.chain.at.study_domain, SetMember(study, who, True, nonce))
        self.send("StudyRegistry", "setMember", study, who, True, self.lead.sign(digest))

    def delegate(self, identity: Signer, role: bytes, who: str, validity: int = YEAR) -> None:
        kind, nonce = role.ljust(32, b"\0"), self._nonces.get(identity.address, 0)
        self._nonces[identity.address] = nonce + 1
        message = AddDelegate(identity.address, kind, who, validity, nonce)
        signature = identity.sign(typed.digest(self.chain.at.did_domain, message))
        self.send("DidRegistry", "addDelegate", identity.address, kind, who, validity, signature)

    def sign(self, who: Signer, message: Message) -> bytes:
        return who.sign(typed.digest(self.chain.at.user_domain, message))

    def grant(self, *signed: tuple[Consent, Signer]) -> None:
        items = [(c.subject, typed.struct_hash(c), self.sign(who, c)) for c, who in signed]
        self.batch("grantBatch", items)

    def batch(self, function: str, items: Sequence[tuple[str, bytes, bytes]]) -> None:
        starts = range(0, len(items), 40)
        self.chain.sender.send([Call("ConsentRegistry", function, (items[at : at + 40],)) for at in starts])
