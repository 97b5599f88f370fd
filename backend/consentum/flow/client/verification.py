# SPDX-License-Identifier: Apache-2.0
"""A manifest, checked against the chain by whoever reads it: who signed the job and the manifest, who was allowed to.

The runner signs keccak256("consentum/manifest/1\\n" ‖ domain separator ‖ canonical JSON without `signature`), so a
manifest can be printed, saved and mailed, and is still the runner's word.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import merkle, sealing, typed
from consentum.crypto.sealing import SealingKey
from consentum.crypto.typed import Domain
from consentum.domain.journal import canonical
from consentum.domain.messages import Job
from consentum.domain.parsing import as_bytes, as_object, as_signature, hexed
from consentum.errors import ConsentumError, CorruptError, MalformedError
from consentum.ports.chain import Block, Claim, Ledger, Roles

MANIFEST_CONTEXT = b"consentum/manifest/1\n"
KEYS = (
    *("v", "at", "job", "jobSignature", "code", "of", "released", "dropped", "refused"),
    *("cohortRoot", "blocks", "receiptsRoot", "outputsHash", "signature"),
)
MAX_BLOCKS = 100_000
_BLOCK = re.compile(r"(\d{1,18}):0x[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of a manifest: its name, whether it holds, and what was found, in words."""

    check: str
    ok: bool
    detail: str


def manifest_digest(domain: Domain, manifest: Mapping[str, Any]) -> bytes:
    """What the runner signs."""
    said = {key: value for key, value in manifest.items() if key != "signature"}
    return keccak(MANIFEST_CONTEXT + domain.separator + canonical(said))


def receipts_root(receipts: Sequence[Mapping[str, Any]]) -> bytes:
    """Merkle root over the canonical JSON of every {receipt, signature}, in order."""
    return merkle.root_of([canonical(receipt) for receipt in receipts])


def verify_manifest(ledger: Ledger, domain: Domain, manifest: object, now: int) -> list[Finding]:
    """Every check with its outcome; the manifest holds if all are ok. now: UTC seconds. UnavailableError if the node
    does not answer: that says nothing about the manifest."""
    try:
        body = as_object(manifest, "manifest", *KEYS)
        job = typed.from_json(Job, body["job"])
        signatures = as_signature(body["jobSignature"], "jobSignature"), as_signature(body["signature"], "signature")
        numbers = _numbers(body)
        digest = manifest_digest(domain, body)
    except MalformedError as error:
        return [Finding("form", False, f"{error} ({error.field})")]
    except (TypeError, ValueError):
        return [Finding("form", False, "it is no JSON")]
    block = ledger.view().latest
    claims = [
        Claim(job.requester, Roles.CONTROLLER, typed.digest(domain, job), signatures[0]),
        Claim(job.runner, Roles.CONTROLLER, digest, signatures[1]),
    ]
    asked, ran = ledger.signed_by(block, claims)
    return [
        Finding("form", True, "it has every part"),
        Finding("requester", asked, f"the job is {_not(asked)}signed by {job.requester}"),
        Finding("runner", ran, f"the manifest is {_not(ran)}signed by the job's runner {job.runner}"),
        _code(job, body),
        *_standing(ledger, block, job),
        _blocks(numbers, block),
        _time(body["at"], job, now),
    ]


def open_outputs(manifest: Mapping[str, Any], sealed: bytes, key: SealingKey) -> bytes:
    """The outputs' JSON. CorruptError unless they are those the manifest names, sealed to this key for this job: the
    gateway could seal other outputs to the same key, but not sign for them. Verify the manifest first."""
    if manifest.get("outputsHash") != hexed(hashlib.sha256(sealed).digest()):
        raise CorruptError("the outputs are not those the manifest names", field="outputsHash")
    job = typed.from_json(Job, manifest["job"])
    return key.open(sealed, sealing.outputs_info(typed.struct_hash(job), typed.address_bytes(job.runner)))


def _numbers(body: Mapping[str, Any]) -> list[int]:
    blocks = body["blocks"]
    if body["v"] != 1 or type(body["at"]) is not int:
        raise MalformedError("another version of manifest", field="v")
    if not isinstance(blocks, list) or len(blocks) > MAX_BLOCKS:
        raise MalformedError("blocks are a list", field="blocks")
    found = [_BLOCK.fullmatch(block) if isinstance(block, str) else None for block in blocks]
    if None in found:
        raise MalformedError("a block is number:hash", field="blocks")
    for name in ("cohortRoot", "receiptsRoot", "code"):
        as_bytes(body[name], name, 32)
    if body["outputsHash"] is not None:
        as_bytes(body["outputsHash"], "outputsHash", 32)
    return [int(match[1]) for match in found if match is not None]


def _not(holds: bool) -> str:
    return "" if holds else "not "


def _code(job: Job, body: Mapping[str, Any]) -> Finding:
    same = body["code"] == hexed(job.code)
    return Finding("code", same, f"the code is {_not(same)}the signed one")


def _standing(ledger: Ledger, block: Block, job: Job) -> list[Finding]:
    try:
        board, accredited = ledger.board_and_runner(block, job.study, job.runner)
        member = ledger.is_member(block, job.study, job.requester)
    except ConsentumError as error:
        return [Finding("study", False, f"the study cannot be read: {error.code}")]
    return [
        Finding("accredited", accredited, f"the runner is {_not(accredited)}accredited by board {hexed(board)} now"),
        Finding("member", member, f"the requester is {_not(member)}a member of the study now"),
    ]


def _blocks(numbers: Sequence[int], block: Block) -> Finding:
    past = all(number <= block.number for number in numbers)
    said = f"{min(numbers)} to {max(numbers)}" if numbers else "none"
    return Finding("blocks", past, f"decided at blocks {said}; the chain is at {block.number}")


def _time(at: int, job: Job, now: int) -> Finding:
    fine = at <= min(now, job.deadline)
    return Finding(
        "time", fine, "made before now and the job's deadline" if fine else "made later than it can have been"
    )
