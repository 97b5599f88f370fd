# SPDX-License-Identifier: Apache-2.0
"""Peers without a network: key servers that run the real flows and may be down, slow or lying; a depository."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from consentum.adapters.ipfs import unixfs
from consentum.crypto import sealing, typed
from consentum.domain.cid import Cid
from consentum.domain.journal import RECEIPT_CONTEXT
from consentum.domain.parsing import as_bytes, hexed
from consentum.errors import CorruptError, NotFoundError, UnavailableError
from consentum.flow.keyserver import deposit, notice, release, retract, spread
from consentum.flow.keyserver.server import KeyServer
from consentum.flow.wire import DepositRequest, Notice, ReleaseRequest, Retraction

PATIENCE_SECONDS = 5.0


class _OtherShares:
    """A server's store that gives other shares than it was given."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def shares(self, ids: Sequence[bytes]) -> list[bytes]:
        return [bytes([share[0] ^ 1]) + share[1:] for share in self._store.shares(ids)]


@dataclass(slots=True)
class FakeKeyServer:
    """`ports.peers.KeyServerPeer`. fault: None, "down", "slow" (answers once `go` is set), or a name of LIES.
    openings: what a gateway would attach, by record id. asked: the calls that arrived, in order."""

    server: KeyServer
    fault: str | None = None
    openings: Mapping[bytes, Any] = field(default_factory=dict)
    go: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.server.address.lower()

    def about(self) -> Mapping[str, Any]:
        self._arrive("about")
        server, (epoch, public) = self.server, self.server.sealing_key()
        return {
            "address": self.address,
            "chainId": server.domain.chain_id,
            "consentRegistry": server.domain.contract,
            "checkpointKey": hexed(server.checkpoint_key.public_key().public_bytes_raw()),
            "epoch": epoch,
            "sealingKey": hexed(public),
        }

    def deposit(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._arrive("deposit")
        return _wired(deposit.accept(self.server, DepositRequest.parse(_wired(request))))

    def notice(self, notice_: Mapping[str, Any]) -> Mapping[str, Any]:
        self._arrive("notice")
        return _wired(notice.accept(self.server, Notice.parse(_wired(notice_))))

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}"

    def notices(self, after: int) -> Mapping[str, Any]:
        self._arrive("notices")
        return _wired(spread.page(self.server, after))

    def retract(self, retraction: Mapping[str, Any]) -> Mapping[str, Any]:
        self._arrive("retract")
        return _wired(retract.retract(self.server, Retraction.parse(_wired(retraction))))

    def release(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        self._arrive("release")
        body = _wired(request)
        if self.openings:
            hints = [self.openings.get(as_bytes(one, "record", 32)) for one in body["records"]]
            body["openings"] = [None if hint is None else typed.to_json(hint) for hint in hints]
        server = self.server
        if self.fault == "wrong share":
            server = replace(server, store=_OtherShares(server.store))
        answer = _wired(release.release(server, ReleaseRequest.parse(body)).to_json())
        lie = LIES.get(self.fault or "")
        return lie(self.server, answer) if lie else answer

    def _arrive(self, call: str) -> None:
        self.asked.append(call)
        if self.fault == "down":
            raise UnavailableError(f"{self.address} does not answer")
        if self.fault == "slow":
            self.go.wait(PATIENCE_SECONDS)


def _wired(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of it after a wire."""
    made: dict[str, Any] = json.loads(json.dumps(value, allow_nan=False))
    return made


Lie = Callable[[KeyServer, dict[str, Any]], dict[str, Any]]


def signed(by: KeyServer, answer: Mapping[str, Any], /, **changes: Any) -> dict[str, Any]:
    """The answer with another receipt, which the server signs as its own; a change to None takes a field away."""
    receipt = {key: value for key, value in {**answer["receipt"], **changes}.items() if value is not None}
    return {**answer, "receipt": receipt, "signature": hexed(by.sign(RECEIPT_CONTEXT, receipt))}


def _wrong_signature(_: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "signature": hexed(bytes(64))}


def _edited_receipt(_: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "receipt": {**answer["receipt"], "decidedAt": 1}}


def _another_context(server: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "signature": hexed(server.sign(b"consentum/notice-receipt/1\n", answer["receipt"]))}


def _missing_leaves(server: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    *others, (first, many) = answer["receipt"]["leaves"]
    return signed(server, answer, leaves=[*others, *([[first, many - 1]] if many > 1 else [])])


def _same_leaf_twice(server: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    count = answer["receipt"]["count"]
    return signed(server, answer, leaves=[[answer["receipt"]["leaves"][0][0], 1]] * max(count, 2))


def _contradicting_bitmap(server: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    zeros = bytes(len(as_bytes(answer["receipt"]["bitmap"], "bitmap")))
    return signed(server, answer, bitmap=hexed(zeros))


def _other_index(server: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    return signed(server, answer, index=answer["receipt"]["index"] % 255 + 1)


def _other_key(_: KeyServer, answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "sealed": hexed(sealing.seal(b"x", sealing.SealingKey().public, b""))}


LIES: dict[str, Lie] = {
    "wrong receipt signature": _wrong_signature,
    "edited receipt": _edited_receipt,
    "receipt signed as something else": _another_context,
    "receipt of another release": lambda server, answer: signed(server, answer, release=hexed(bytes(32))),
    "receipt of another server": lambda server, answer: signed(server, answer, server="0x" + "99" * 20),
    "receipt of another count": lambda server, answer: signed(server, answer, count=answer["receipt"]["count"] + 1),
    "answer to another server's index": _other_index,
    "missing leaves": _missing_leaves,
    "the same leaf twice": _same_leaf_twice,
    "leaves beyond the journal": lambda server, answer: signed(server, answer, size=0),
    "no leaves": lambda server, answer: signed(server, answer, leaves=None),
    "bitmap that contradicts counts": _contradicting_bitmap,
    "bitmap of another length": lambda server, answer: signed(server, answer, bitmap="0x" + "00" * 400),
    "counts of an unknown reason": lambda server, answer: signed(server, answer, counts={"KINDNESS": 1}),
    "sealed to another key": _other_key,
    "nothing sealed": lambda _, answer: {**answer, "sealed": "0x"},
    "no receipt": lambda _, answer: {key: value for key, value in answer.items() if key != "receipt"},
    "an unknown field": lambda _, answer: {**answer, "more": 1},
}


class MemoryDepository:
    """`ports.peers.Depository`. Tests may damage `contents` at will."""

    def __init__(self) -> None:
        self.contents: dict[Cid, bytes] = {}

    def put_all(self, contents: Sequence[bytes]) -> list[Cid]:
        cids = [unixfs.cid_of(io.BytesIO(content)) for content in contents]
        self.contents.update(zip(cids, contents, strict=True))
        return cids

    def put_file(self, cid: Cid, source: BinaryIO, advance: Callable[[int], None]) -> None:
        content = source.read()
        if unixfs.cid_of(io.BytesIO(content)) != cid:
            raise CorruptError("the content is not what its CID says", field="cid")
        self.contents[cid] = content
        advance(len(content))

    def open(self, cid: Cid) -> BinaryIO:
        return io.BytesIO(self.get_all([cid])[cid])

    def get_all(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        for cid in cids:
            if cid not in self.contents:
                raise NotFoundError(f"{cid} is not here")
            if unixfs.cid_of(io.BytesIO(self.contents[cid])) != cid:
                raise CorruptError(f"{cid} is not what its name says")
        return {cid: self.contents[cid] for cid in cids}
