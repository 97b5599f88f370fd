# SPDX-License-Identifier: Apache-2.0
"""The Ledger port over JSON-RPC, every read pinned to a block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from consentum.adapters.chain import codec
from consentum.adapters.chain.deployment import Deployment
from consentum.adapters.chain.rpc import Rpc
from consentum.domain.messages import Job
from consentum.domain.profiles import ChainProfile
from consentum.errors import NotFoundError, Reason, RefusedError, UnavailableError
from consentum.ports.chain import (
    Anchor,
    Block,
    Claim,
    Committee,
    Item,
    Question,
    ServerKeys,
    Standing,
    View,
)

CHUNK = 1_000


class ChainLedger:
    """Reads the contracts of one deployment. Thread-safe."""

    def __init__(self, rpc: Rpc, deployment: Deployment, profile: ChainProfile) -> None:
        self._rpc, self._at, self._profile = rpc, deployment, profile

    @property
    def chain_id(self) -> int:
        return self._at.chain_id

    @property
    def policy(self) -> str:
        return self._at.release_policy

    def view(self) -> View:
        chain, finalized, latest = self._rpc.batch(
            [
                ("eth_chainId", []),
                ("eth_getBlockByNumber", [self._profile.finalized_tag, False]),
                ("eth_getBlockByNumber", ["latest", False]),
            ]
        )
        if _number(chain) != self._at.chain_id:
            raise RefusedError(Reason.OTHER_CHAIN)
        view = View(_block(finalized), _block(latest))
        if view.finalized.number > view.latest.number:
            raise UnavailableError("the node's finalized block is ahead of its latest")
        return view

    def check(self, block: Block, question: Question, items: Sequence[Item]) -> list[int]:
        return self._reasons(block, items, lambda part: codec.pack_check(question, part))

    def review(self, block: Block, job: Job, items: Sequence[Item]) -> list[int]:
        return self._reasons(block, items, lambda part: codec.pack_review(job, part))

    def _reasons(self, block: Block, items: Sequence[Item], pack: Any) -> list[int]:
        reasons: list[int] = []
        for start in range(0, len(items), CHUNK):
            part = items[start : start + CHUNK]
            [result] = self._calls(block, [(self._at.release_policy, pack(part))])
            reasons += codec.unpack_reasons(result, len(part))
        return reasons

    def signed_by(self, block: Block, claims: Sequence[Claim]) -> list[bool]:
        results = self._calls(block, [(self._at.did_registry, codec.pack_claim(claim)) for claim in claims])
        return [_flag(result) for result in results]

    def may_act(self, block: Block, identity: str, roles: int, actor: str) -> bool:
        return bool(self._read(block, "DidRegistry", "mayAct", identity, roles, actor)[0])

    def standings(self, block: Block, of: Sequence[tuple[str, bytes]]) -> list[Standing]:
        calls = [
            (self._at.consent_registry, codec.encode_call("ConsentRegistry", "standing", subject, commitment))
            for subject, commitment in of
        ]
        results = self._calls(block, calls)
        return [Standing(*codec.decode_result("ConsentRegistry", "standing", result)[0]) for result in results]

    def committee(self, block: Block, committee: bytes) -> Committee:
        threshold, members = self._read(block, "KeyServerRegistry", "committeeOf", committee)
        if threshold == 0:
            raise NotFoundError("no such committee", field="committee")
        return Committee(threshold, tuple(members))

    def server_keys(self, block: Block, server: str) -> ServerKeys:
        [(checkpoint_key, epoch, endpoint)] = self._read(block, "KeyServerRegistry", "serverOf", server)
        [key_hash] = self._read(block, "KeyServerRegistry", "sealingKeyHash", server, epoch)
        return ServerKeys(checkpoint_key, epoch, endpoint, key_hash)

    def anchor_of(self, block: Block, log: str) -> Anchor:
        [(root, size, _)] = self._read(block, "AuditAnchor", "anchorOf", log)
        return Anchor(root, size)

    def is_member(self, block: Block, study: bytes, who: str) -> bool:
        return bool(self._read(block, "StudyRegistry", "isMember", study, who)[0])

    def board_and_runner(self, block: Block, study: bytes, runner: str) -> tuple[bytes, bool]:
        [found] = self._read(block, "StudyRegistry", "study", study)
        board = bytes(found[4])
        return board, bool(self._read(block, "StudyRegistry", "isAccredited", board, runner)[0])

    def board_members(self, block: Block, board: bytes) -> tuple[str, ...]:
        members, _, _ = self._read(block, "StudyRegistry", "boardOf", board)
        return tuple(members)

    def _read(self, block: Block, contract: str, name: str, *args: Any) -> tuple[Any, ...]:
        data = codec.encode_call(contract, name, *args)
        [result] = self._calls(block, [(self._at.address_of(contract), data)])
        return codec.decode_result(contract, name, result)

    def _calls(self, block: Block, calls: Sequence[tuple[str, str]]) -> list[Any]:
        if self._profile.pin_by_hash:
            pin: Any = {"blockHash": "0x" + block.hash.hex(), "requireCanonical": True}
        else:
            pin = hex(block.number)
        results = self._rpc.batch(
            [("eth_call", [{"to": to, "data": data, "gas": "0x5f5e100"}, pin]) for to, data in calls]
        )
        # By number the block may have been replaced meanwhile: the hash must still be the one decided on.
        by_number = not self._profile.pin_by_hash
        if by_number and _block(self._rpc.call("eth_getBlockByNumber", pin, False)).hash != block.hash:
            raise UnavailableError("the block was replaced while it was read")
        return results


def _flag(value: object) -> bool:
    raw = codec.raw_bytes(value)
    if raw not in (bytes(32), (1).to_bytes(32, "big")):
        raise UnavailableError("the node's answer is neither true nor false")
    return raw != bytes(32)


def _number(value: object) -> int:
    try:
        return int(str(value), 16)
    except ValueError:
        raise UnavailableError("the node's answer is not a number") from None


def _block(value: object) -> Block:
    if not isinstance(value, dict):
        raise UnavailableError("the node does not have the block")
    hashed = codec.raw_bytes(value.get("hash"))
    if len(hashed) != 32:
        raise UnavailableError("the node's block has no hash")
    return Block(_number(value.get("number")), hashed, _number(value.get("timestamp")))
