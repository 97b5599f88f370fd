# SPDX-License-Identifier: Apache-2.0
"""A funded account on a FakeLedger: the contracts' functions that tests need, with the signatures of consents verified.

Votes and leads' signatures are believed: who may decide about studies is the Solidity tests' matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.crypto.typed import Domain
from consentum.domain.messages import Freeze, Message, Revoke, RevokeAll
from consentum.domain.registry_messages import Propose, Terms
from consentum.errors import RevertedError, UnavailableError
from consentum.ports.chain import Anchor, Committee, Roles, ServerKeys
from consentum.ports.transactions import Call
from tests.fakes.ledger import FakeLedger
from tests.fakes.state import State, Study, signer_of

_BOTH = Roles.CONSENT | Roles.GUARDIAN


class FakeSender:
    """`ports.transactions.Sender`. Every call is mined at once in a block of its own; `sent` keeps them."""

    def __init__(self, ledger: FakeLedger, address: str = "0x" + "5e" * 20, wei: int = 10**18) -> None:
        self.ledger, self.address, self.wei = ledger, address, wei
        self.sent: list[Call] = []

    def balance(self) -> int:
        return self.wei

    def was_sent(self, call: Call) -> bool:
        return call in self.sent

    def tend(self) -> None:
        """Nothing is ever stuck here."""

    def send(self, calls: Sequence[Call], timeout: float = 30.0) -> list[str]:
        hashes = []
        for call in calls:
            if self.ledger.down:
                raise UnavailableError("the node does not answer")
            handler: Callable[..., None] = getattr(self, f"_{call.function}")
            self.ledger.mine()  # so that what is granted has a later time than what was signed before
            handler(*call.args)
            self.ledger.mine(self.ledger.now)
            self.sent.append(call)
            hashes.append("0x" + hashlib.sha256(f"{len(self.sent)}{call}".encode()).hexdigest())
        return hashes

    # ConsentRegistry

    def _grantBatch(self, items: Sequence[tuple[str, bytes, bytes]]) -> None:  # noqa: N802 - the contract's name
        for subject, commitment, signature in items:
            digest = typed.digest_of_hash(self._domain, commitment)
            key = (subject.lower(), commitment)
            if key not in self._state.times and self._by(subject, Roles.CONSENT, digest, signature):
                self._state.times[key] = (self.ledger.now, 0)

    def _revokeBatch(self, items: Sequence[tuple[str, bytes, bytes]]) -> None:  # noqa: N802 - as above
        for subject, commitment, signature in items:
            key = (subject.lower(), commitment)
            granted, revoked = self._state.times.get(key, (0, 0))
            if not revoked and self._signed(Revoke(subject, commitment), _BOTH, signature):
                self._state.times[key] = (granted, self.ledger.now)

    def _grant(self, subject: str, commitment: bytes, signature: bytes) -> None:
        self._grantBatch([(subject, commitment, signature)])
        if (subject.lower(), commitment) not in self._state.times:
            raise RevertedError("the contract refuses: BadSignature")

    def _revoke(self, subject: str, commitment: bytes, signature: bytes) -> None:
        self._revokeBatch([(subject, commitment, signature)])
        if not self._state.standing(subject, commitment).revoked_at:
            raise RevertedError("the contract refuses: BadSignature")

    def _revokeAll(self, subject: str, cutoff: int, signature: bytes) -> None:  # noqa: N802 - as above
        before, frozen = self._state.persons.get(subject.lower(), (0, 0))
        if cutoff <= before:
            return
        if cutoff > self.ledger.now + 3_600:
            raise RevertedError("the contract refuses: TooFarAhead")
        self._must(self._signed(RevokeAll(subject, cutoff), _BOTH, signature))
        self._state.persons[subject.lower()] = (cutoff, frozen)

    def _freeze(self, subject: str, until: int, signature: bytes) -> None:
        cutoff, before = self._state.persons.get(subject.lower(), (0, 0))
        if until <= before:
            return
        if until > self.ledger.now + 30 * 86_400:
            raise RevertedError("the contract refuses: TooFarAhead")
        self._must(self._signed(Freeze(subject, until), Roles.GUARDIAN, signature))
        self._state.persons[subject.lower()] = (cutoff, until)

    # DidRegistry and StudyRegistry

    def _addDelegate(self, identity: str, kind: bytes, delegate: str, validity: int, _: bytes) -> None:  # noqa: N802
        self._state.delegates[identity.lower(), kind.rstrip(b"\0"), delegate.lower()] = self.ledger.now + validity

    def _createBoard(self, members: Sequence[str], quorum: int, salt: bytes) -> None:  # noqa: N802 - as above
        board = keccak(encode(("address[]", "uint8", "bytes32"), (list(members), quorum, salt)))
        self._state.boards.setdefault(board, tuple(members))

    def _propose(self, lead: str, board: bytes, terms: Any, forms: Sequence[bytes], salt: bytes, _: bytes) -> None:
        made = Terms(*terms[:4], tuple(terms[4]), terms[5])
        study = typed.struct_hash(Propose(lead, board, made, tuple(forms), salt))
        self._state.studies.setdefault(study, Study(lead.lower(), board, made, frozenset(forms)))

    def _approve(self, study: bytes, version: int, until: int, _: Any) -> None:
        self._state.studies[study].until = until

    def _close(self, study: bytes, _: Any) -> None:
        self._state.studies[study].until = -1

    def _setMember(self, study: bytes, member: str, allowed: bool, _: bytes) -> None:  # noqa: N802 - as above
        members = self._state.studies[study].members
        (members.add if allowed else members.discard)(member.lower())

    def _accredit(self, board: bytes, runner: str, until: int, _: Any) -> None:
        self._state.runners[board, runner.lower()] = until

    def _acceptForm(self, board: bytes, form: bytes, accepted: bool, _: Any) -> None:  # noqa: N802 - as above
        (self._state.board_forms.add if accepted else self._state.board_forms.discard)((board, form))

    # KeyServerRegistry and AuditAnchor

    def _createCommittee(self, threshold: int, members: Sequence[str]) -> None:  # noqa: N802 - as above
        identity = keccak(encode(("uint8", "address[]"), (threshold, members)))
        self._state.committees.setdefault(identity, Committee(threshold, tuple(members)))

    def _announce(self, checkpoint_key: bytes, endpoint: str) -> None:
        before = self._state.servers.get(self.address.lower(), ServerKeys(bytes(32), 0, "", bytes(32)))
        self._state.servers[self.address.lower()] = replace(before, checkpoint_key=checkpoint_key, endpoint=endpoint)

    def _rotate(self, public: bytes) -> None:
        before = self._state.servers[self.address.lower()]
        rotated = replace(before, epoch=before.epoch + 1, sealing_key_hash=keccak(public))
        self._state.servers[self.address.lower()] = rotated

    def _anchor(self, previous_root: bytes, previous_size: int, root: bytes, size: int) -> None:
        before = self._state.anchors.get(self.address.lower(), Anchor(bytes(32), 0))
        self._must((before.root, before.size) == (previous_root, previous_size) and size > before.size)
        self._state.anchors[self.address.lower()] = Anchor(root, size)

    # Inside

    @property
    def _state(self) -> State:
        return self.ledger.pending

    @property
    def _domain(self) -> Domain:
        return self.ledger.at.user_domain

    def _by(self, identity: str, roles: int, digest: bytes, signature: bytes) -> bool:
        return self._state.may_act(identity, roles, signer_of(digest, signature), self.ledger.now)

    def _signed(self, message: Message, roles: int, signature: bytes) -> bool:
        return self._by(str(getattr(message, "subject", "")), roles, typed.digest(self._domain, message), signature)

    def _must(self, holds: bool) -> None:
        if not holds:
            raise RevertedError("the contract refuses")
