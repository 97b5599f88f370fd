# SPDX-License-Identifier: Apache-2.0
"""Messages for DidRegistry and StudyRegistry on their way to the chain: how each becomes a call, and when it is due.

Those about one identity, study or board go one after the other, in the order of their nonces; different ones side by
side. Each can be spent once, so what the contract refuses is refused: signed again, it is another message.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import typed
from consentum.domain.messages import Message
from consentum.domain.parsing import hexed
from consentum.domain.registry_messages import Terms
from consentum.errors import RevertedError
from consentum.flow.gateway.gateway import Gateway
from consentum.ports.gateway_store import Relayed
from consentum.ports.transactions import Call

log = logging.getLogger("consentum.gateway")
AT_ONCE = 8
IDENTITY_KINDS = ("AddDelegate", "RevokeDelegate", "SetRecovery", "ProposeOwner", "CancelOwner")
LEAD_KINDS = ("SetMember", "Withdraw")
_FUNCTIONS = {
    **{kind: kind[0].lower() + kind[1:] for kind in (*IDENTITY_KINDS, *LEAD_KINDS, "Propose", "Amend")},
    **{kind: kind[0].lower() + kind[1:] for kind in ("Approve", "Reject", "Suspend", "Close", "Accredit")},
    **{kind: kind[0].lower() + kind[1:] for kind in ("AcceptForm", "ChangeBoard")},
}


def of_message(message: Message, about: str, signature: bytes, **more: Any) -> Relayed:
    """A message as it is queued. more: what else the call takes (votes)."""
    kind = type(message).__name__
    value = json.dumps({"message": typed.to_json(message), **more}, sort_keys=True)
    return Relayed(identity_of(kind, about, hexed(typed.struct_hash(message))), kind, about, value, signature, "queued")


def of_call(kind: str, about: str, value: dict[str, Any]) -> Relayed:
    """What needs no message of its own: RecoverOwner, FinalizeOwner, CreateBoard."""
    text = json.dumps(value, sort_keys=True)
    return Relayed(identity_of(kind, about, text), kind, about, text, b"", "queued")


def identity_of(kind: str, about: str, value: str) -> bytes:
    return keccak(f"{kind}\n{about}\n{value}".encode())


def relay(gateway: Gateway, messages: Sequence[Relayed]) -> None:
    """Sends what is due: per identity, study and board one after the other."""
    lanes: dict[str, list[Relayed]] = {}
    for message in messages:
        lanes.setdefault(message.subject, []).append(message)
    if not lanes:
        return
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        list(pool.map(partial(_lane, gateway), lanes.values()))


def _lane(gateway: Gateway, messages: Sequence[Relayed]) -> None:
    for message in sorted(messages, key=_nonce):
        if not _due(gateway, message):
            continue
        try:
            gateway.sender.send([call_of(message)])
        except RevertedError as error:
            log.warning("the contract refuses a %s: %s", message.kind, error)
            gateway.store.failed(message.id, 1)
        else:
            gateway.store.mark([message.id], "mined")


def _nonce(message: Relayed) -> int:
    """Messages without one (proposals, amendments) come first, in the order of the queue."""
    plain = json.loads(message.value).get("message", {})
    return int(plain.get("nonce", plain.get("version", -1)))


def _due(gateway: Gateway, message: Relayed) -> bool:
    """Whether its nonce is the next. One that is spent is over: by this very message, if it came from us before a
    crash, or by another."""
    if message.kind in IDENTITY_KINDS:
        nonce = gateway.registries.identity(message.subject).nonce
    elif message.kind in LEAD_KINDS:
        nonce = gateway.registries.study(bytes.fromhex(message.subject[2:])).lead_nonce
    else:
        return True
    if nonce > _nonce(message):
        gateway.store.mark([message.id], "mined" if gateway.sender.was_sent(call_of(message)) else "refused")
    return nonce == _nonce(message)


def call_of(message: Relayed) -> Call:
    """The contract's function and arguments."""
    value = json.loads(message.value)
    if message.kind == "RecoverOwner":
        return Call("DidRegistry", "recoverOwner", (value["identity"], value["newOwner"], _votes(value["votes"])))
    if message.kind == "FinalizeOwner":
        return Call("DidRegistry", "finalizeOwner", (value["identity"],))
    if message.kind == "CreateBoard":
        return Call("StudyRegistry", "createBoard", (value["members"], value["quorum"], _raw(value["salt"])))
    made = typed.from_json(typed.MESSAGES[message.kind], value["message"])
    contract = typed.contract_of(message.kind)
    last: Any = _votes(value["votes"]) if "votes" in value else message.signature
    return Call(contract, _FUNCTIONS[message.kind], (*_arguments(made), last))


def _arguments(message: Message) -> list[Any]:
    """The message's fields in order, but for those that the contract knows itself."""
    left_out = {"nonce"} | ({"version"} if type(message).__name__ == "Amend" else set())
    fields = [field for field, _ in typed.fields_of(type(message).__name__) if field not in left_out]
    return [_abi(getattr(message, field)) for field in fields]


def _abi(value: Any) -> Any:
    if isinstance(value, Terms):
        return tuple(_abi(getattr(value, field)) for field, _ in typed.fields_of("Terms"))
    return list(value) if isinstance(value, tuple) else value


def _votes(votes: Sequence[dict[str, str]]) -> list[tuple[str, bytes]]:
    """Ascending by address, as the contracts want them."""
    return sorted((vote["member"].lower(), _raw(vote["signature"])) for vote in votes)


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])
