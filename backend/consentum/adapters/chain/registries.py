# SPDX-License-Identifier: Apache-2.0
"""The Registries port over JSON-RPC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.rpc import Rpc
from consentum.crypto.typed import Domain
from consentum.domain.registry_messages import Terms
from consentum.errors import UnavailableError
from consentum.ports.registries import STATUSES, BoardFacts, IdentityFacts, StudyFacts


class ChainRegistries:
    """Reads at the latest block; several reads of one answer go in one batch."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self._rpc, self._at = rpc, deployment

    @property
    def did_domain(self) -> Domain:
        return self._at.did_domain

    @property
    def study_domain(self) -> Domain:
        return self._at.study_domain

    def identity(self, identity: str) -> IdentityFacts:
        names = ("identityOwner", "nonce", "recoveryThreshold", "pendingOwner")
        [owner], [nonce], [threshold], pending = self._read("DidRegistry", *((name, identity) for name in names))
        new_owner, since, by_recovery = pending
        if int(new_owner, 16) == 0:
            return IdentityFacts(str(owner).lower(), nonce, threshold)
        return IdentityFacts(str(owner).lower(), nonce, threshold, str(new_owner).lower(), since, by_recovery)

    def board(self, board: bytes) -> BoardFacts:
        [(members, quorum, nonce)] = self._read("StudyRegistry", ("boardOf", board))
        return BoardFacts(tuple(str(member).lower() for member in members), quorum, nonce)

    def study(self, study: bytes) -> StudyFacts:
        [found], [nonce] = self._read("StudyRegistry", ("study", study), ("leadNonce", study))
        lead, status, until, proposed, board, version, _ = found
        if not 0 <= status < len(STATUSES):
            raise UnavailableError("the node names a status that does not exist")
        return StudyFacts(str(lead).lower(), bytes(board), STATUSES[status], version, proposed, until, nonce)

    def terms(self, study: bytes, version: int) -> Terms:
        [[found]] = self._read("StudyRegistry", ("termsOf", study, version))
        purposes, conditions, categories, access, diseases, protocol = found
        return Terms(purposes, conditions, categories, access, tuple(map(bytes, diseases)), bytes(protocol))

    def forms_approved(self, study: bytes, forms: Sequence[bytes]) -> list[bool]:
        calls = [("isFormApproved", study, form, False) for form in forms]
        return [bool(found[0]) for found in self._read("StudyRegistry", *calls)]

    def members(self, study: bytes, among: Sequence[str]) -> list[bool]:
        return [bool(found[0]) for found in self._read("StudyRegistry", *(("isMember", study, who) for who in among))]

    def _read(self, contract: str, *calls: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        where = self._at.address_of(contract)
        wanted = [{"to": where, "data": codec.encode_call(contract, name, *args)} for name, *args in calls]
        results = self._rpc.batch([("eth_call", [call, "latest"]) for call in wanted])
        return [codec.decode_result(contract, call[0], result) for call, result in zip(calls, results, strict=True)]
