# SPDX-License-Identifier: Apache-2.0
"""A chain in memory: `ports.chain.Ledger` whose blocks, clock and failures a test sets. Reads see the block they name.

Writes (FakeSender) go into `pending` and count from the next `mine`; `finalize` makes the newest block final.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

from eth_utils.crypto import keccak

from consentum.adapters.chain.deployment import Deployment
from consentum.domain.messages import Job
from consentum.errors import NotFoundError, Reason, RefusedError, UnavailableError
from consentum.ports.chain import Anchor, Block, Claim, Committee, Item, Question, ServerKeys, Standing, View
from tests.fakes.policy import Policy
from tests.fakes.state import State

NOW = 1_800_000_000


def fake_deployment(chain_id: int = 31337) -> Deployment:
    """Contracts at addresses that only differ."""
    return Deployment(chain_id, *("0x" + f"{n:02x}" * 20 for n in range(0xC1, 0xC7)), "none")


class FakeLedger:
    """down: the node does not answer. other_chain: it is another chain's. head and final: which blocks `view` shows."""

    def __init__(self, deployment: Deployment | None = None, now: int = NOW) -> None:
        self.at = deployment or fake_deployment()
        self.pending = State()
        self.down = self.other_chain = False
        self.reads = 0
        self.blocks: list[Block] = []
        self._states: dict[bytes, State] = {}
        self.head = self.final = 0
        self.mine(now)

    # What a test does to it

    def mine(self, timestamp: int | None = None) -> Block:
        """A new latest block that holds what is pending, one second later than the last unless told."""
        number = len(self.blocks)
        time = self.blocks[-1].timestamp + 1 if timestamp is None else timestamp
        block = Block(number, keccak(f"{self.at.chain_id} {number}".encode()), time)
        self.blocks.append(block)
        self._states[block.hash] = copy.deepcopy(self.pending)
        self.head = number
        return block

    def finalize(self) -> None:
        self.final = self.head

    def settle(self) -> None:
        """Mines what is pending, finally."""
        self.mine()
        self.finalize()

    @property
    def now(self) -> int:
        """The newest block's time."""
        return self.blocks[-1].timestamp

    # The port

    @property
    def chain_id(self) -> int:
        return self.at.chain_id

    @property
    def policy(self) -> str:
        return self.at.release_policy

    def view(self) -> View:
        self._asked()
        return View(self.blocks[self.final], self.blocks[self.head])

    def check(self, block: Block, question: Question, items: Sequence[Item]) -> list[int]:
        return self._policy(block).check(question, items)

    def review(self, block: Block, job: Job, items: Sequence[Item]) -> list[int]:
        return self._policy(block).review(job, items)

    def signed_by(self, block: Block, claims: Sequence[Claim]) -> list[bool]:
        policy = self._policy(block)
        return [policy.signed_by(c.identity, c.roles, c.digest, c.signature) for c in claims]

    def may_act(self, block: Block, identity: str, roles: int, actor: str) -> bool:
        return self._state(block).may_act(identity, roles, actor, block.timestamp)

    def standings(self, block: Block, of: Sequence[tuple[str, bytes]]) -> list[Standing]:
        state = self._state(block)
        return [state.standing(subject, commitment) for subject, commitment in of]

    def committee(self, block: Block, committee: bytes) -> Committee:
        found = self._state(block).committees.get(committee)
        if found is None:
            raise NotFoundError("no such committee", field="committee")
        return found

    def server_keys(self, block: Block, server: str) -> ServerKeys:
        return self._state(block).servers.get(server.lower(), ServerKeys(bytes(32), 0, "", bytes(32)))

    def anchor_of(self, block: Block, log: str) -> Anchor:
        return self._state(block).anchors.get(log.lower(), Anchor(bytes(32), 0))

    def is_member(self, block: Block, study: bytes, who: str) -> bool:
        return self._state(block).is_member(study, who)

    def board_and_runner(self, block: Block, study: bytes, runner: str) -> tuple[bytes, bool]:
        state = self._state(block)
        board = state.studies[study].board if study in state.studies else bytes(32)
        return board, state.is_accredited(board, runner, block.timestamp)

    def board_members(self, block: Block, board: bytes) -> tuple[str, ...]:
        return self._state(block).boards.get(board, ())

    # Inside

    def _asked(self) -> None:
        self.reads += 1
        if self.down:
            raise UnavailableError("the node does not answer (ConnectionRefusedError)")
        if self.other_chain:
            raise RefusedError(Reason.OTHER_CHAIN)

    def _state(self, block: Block) -> State:
        self._asked()
        if block.hash not in self._states:
            raise UnavailableError("the node does not have the block")
        return self._states[block.hash]

    def _policy(self, block: Block) -> Policy:
        return Policy(self.at.release_policy, self.at.user_domain, self._state(block), block.timestamp)
