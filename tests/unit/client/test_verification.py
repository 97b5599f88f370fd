# SPDX-License-Identifier: Apache-2.0
"""A manifest is its runner's word about its requester's job, or it is found out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto import typed
from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import Domain
from consentum.domain.parsing import hexed
from consentum.errors import UnavailableError
from consentum.flow.client.verification import KEYS, manifest_digest, receipts_root, verify_manifest
from tests.unit.client.world import DOMAIN, NOW, World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def manifest(world: World, signer: WalletKey | None = None, domain: Domain = DOMAIN, **changes: Any) -> dict[str, Any]:
    """Signed as it stands, so that only what a test changed is wrong with it."""
    job = world.job()
    said: dict[str, Any] = {
        "v": 1,
        "at": NOW,
        "job": typed.to_json(job),
        "jobSignature": hexed(world.researcher.sign(typed.digest(domain, job))),
        "code": hexed(job.code),
        "of": 20,
        "released": 10,
        "dropped": 0,
        "refused": {"REVOKED": "<5"},
        "cohortRoot": hexed(bytes(32)),
        "blocks": [f"99:{hexed(bytes(32))}", f"100:{hexed(bytes(32))}"],
        "receiptsRoot": hexed(receipts_root([])),
        "outputsHash": None,
        **changes,
    }
    return {**said, "signature": hexed((signer or world.runner).sign(manifest_digest(domain, said)))}


def wrong(world: World, made: object) -> list[str]:
    return [finding.check for finding in verify_manifest(world.ledger, DOMAIN, made, NOW) if not finding.ok]


def test_a_manifest_as_its_runner_made_it_holds(world: World) -> None:
    findings = verify_manifest(world.ledger, DOMAIN, manifest(world), NOW)
    assert [finding.check for finding in findings] == [
        *("form", "requester", "runner", "code", "accredited", "member", "blocks", "time"),
    ]
    assert all(finding.ok and finding.detail for finding in findings)


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("signature", "jobSignature", "v", "job")])
def test_whatever_is_changed_after_it_was_signed_is_noticed(world: World, key: str) -> None:
    made = manifest(world)
    other = {
        "at": NOW - 1,
        "refused": {},
        "blocks": [f"98:{hexed(bytes(32))}"],
        "outputsHash": hexed(bytes(32)),
    }.get(key, hexed(b"\1" * 32) if isinstance(made[key], str) else 15)
    assert "runner" in wrong(world, {**made, key: other})


def test_a_manifest_somebody_else_signed_is_not_its_runners(world: World) -> None:
    for signer in (world.researcher, world.hospital):
        assert wrong(world, manifest(world, signer)) == ["runner"]


def test_a_job_its_requester_did_not_sign_is_noticed(world: World) -> None:
    job = world.job()
    forged = hexed(world.runner.sign(typed.digest(DOMAIN, job)))
    assert wrong(world, manifest(world, job=typed.to_json(job), jobSignature=forged)) == ["requester"]


def test_other_code_than_the_signed_one_is_noticed(world: World) -> None:
    assert wrong(world, manifest(world, code=hexed(bytes(32)))) == ["code"]


def test_a_manifest_of_another_chain_is_no_manifest_here(world: World) -> None:
    assert wrong(world, manifest(world, domain=Domain(1, DOMAIN.contract))) == ["requester", "runner"]


def test_blocks_that_are_not_there_yet_are_noticed(world: World) -> None:
    assert wrong(world, manifest(world, blocks=[f"101:{hexed(bytes(32))}"])) == ["blocks"]


@pytest.mark.parametrize("at", [NOW + 1, NOW + 9_999])
def test_a_manifest_from_the_future_is_noticed(world: World, at: int) -> None:
    assert wrong(world, manifest(world, at=at)) == ["time"]


def test_who_was_never_allowed_is_noticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(world.ledger), "is_member", lambda *_: False)
    monkeypatch.setattr(type(world.ledger), "board_and_runner", lambda *_: (bytes(32), False))
    assert wrong(world, manifest(world)) == ["accredited", "member"]


MALFORMED: list[Mapping[str, Any]] = [
    {"v": 2},
    {"at": "now"},
    {"job": {}},
    {"blocks": "none"},
    {"blocks": ["99"]},
    {"blocks": [f"{'9' * 19}:{hexed(bytes(32))}"]},
    {"blocks": [7]},
    {"cohortRoot": "0x"},
    {"receiptsRoot": None},
    {"outputsHash": "0x00"},
    {"jobSignature": "0x"},
    {"more": 1},
]


@pytest.mark.parametrize("change", MALFORMED)
def test_what_is_no_manifest_is_one_finding(world: World, change: Mapping[str, Any]) -> None:
    assert wrong(world, {**manifest(world), **change}) == ["form"]


@pytest.mark.parametrize("made", [None, [], {}, "text", 7])
def test_neither_is_this(world: World, made: object) -> None:
    assert wrong(world, made) == ["form"]


def test_a_node_that_is_down_says_nothing_about_a_manifest(world: World) -> None:
    world.ledger.down = True
    with pytest.raises(UnavailableError):
        verify_manifest(world.ledger, DOMAIN, manifest(world), NOW)


def test_the_root_of_receipts_names_each_of_them_in_order() -> None:
    one, other = {"receipt": {"v": 1}, "signature": "0x00"}, {"receipt": {"v": 1}, "signature": "0x01"}
    roots = [receipts_root(receipts) for receipts in ([], [one], [other], [one, other], [other, one])]
    assert len(set(roots)) == len(roots)
