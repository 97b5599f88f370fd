# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import SignableMessage, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from consentum.crypto import signing, typed
from consentum.domain.messages import Consent, Revoke
from consentum.domain.registry_messages import Propose, Terms
from consentum.errors import POLICY_REASONS, MalformedError
from tests.vectors.make_messages import STATIC, build, sample

ROOT = Path(__file__).resolve().parents[3]
DOMAIN = typed.Domain(31337, "0x" + "33" * 20)
PROPOSAL = Propose(
    "0x" + "11" * 20, b"\1" * 32, Terms(1, 2, 3, 2, (b"\5" * 32,), b"\7" * 32), (b"\x08" * 32,), b"\x09" * 32
)


def test_every_class_has_the_fields_of_types_json_in_order() -> None:
    for name, cls in typed.MESSAGES.items():
        assert [f.name for f in fields(cls)] == [field for field, _ in typed.fields_of(name)]  # type: ignore[arg-type]


def test_the_golden_vectors_still_hold() -> None:
    frozen = json.loads((ROOT / "tests/vectors/messages.json").read_text())
    assert {k: frozen[k] for k in ("chainId", "consentRegistry", "messages")} == build()


def test_the_reasons_of_python_and_solidity_are_the_same() -> None:
    source = (ROOT / "contracts/src/interfaces/IReleasePolicy.sol").read_text()
    names = re.findall(r"[A-Z_]+", re.search(r"enum Reason \{(.*?)\}", source, re.S).group(1))  # type: ignore[union-attr]
    assert names == ["ALLOWED", *(r.name for r in POLICY_REASONS)]
    assert [int(r) for r in POLICY_REASONS] == list(range(1, len(names)))


@pytest.mark.parametrize("message", [*(sample(n) for n in STATIC), PROPOSAL], ids=lambda m: type(m).__name__)
def test_another_implementation_computes_the_same_hashes(message: object) -> None:
    other = encode_typed_data(full_message=typed.wallet_view(DOMAIN, message))  # type: ignore[arg-type]
    assert (other.header, other.body) == (DOMAIN.separator, typed.struct_hash(message))  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [*(sample(n) for n in STATIC), PROPOSAL], ids=lambda m: type(m).__name__)
def test_a_message_survives_json(message: object) -> None:
    plain = json.loads(json.dumps(typed.to_json(message)))  # type: ignore[arg-type]
    assert typed.from_json(type(message), plain) == message  # type: ignore[type-var]


@given(st.integers(0, 13), st.integers(1, 255))
def test_changing_any_field_changes_the_commitment(position: int, bump: int) -> None:
    consent = sample("Consent")
    name, kind = typed.fields_of("Consent")[position]
    old = getattr(consent, name)
    new = {"address": "0x" + f"{bump:02x}" * 20, "bytes32": bytes([bump]) * 32}.get(kind, bump)
    changed = Consent(**{**{f.name: getattr(consent, f.name) for f in fields(consent)}, name: new})  # type: ignore[arg-type]
    assert (typed.struct_hash(changed) == typed.struct_hash(consent)) == (new == old)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "0x12"),
        ("subject", "zz" * 20),
        ("subject", 5),
        ("commitment", "0x1234"),
        ("commitment", "12" * 32),
        ("commitment", None),
    ],
)
def test_an_ill_typed_field_is_refused_by_name(field: str, value: object) -> None:
    good = typed.to_json(Revoke("0x" + "11" * 20, b"\1" * 32))
    with pytest.raises(MalformedError) as refusal:
        typed.from_json(Revoke, {**good, field: value})
    assert refusal.value.field in (field, "address")


def test_an_unknown_field_is_refused() -> None:
    good = typed.to_json(Revoke("0x" + "11" * 20, b"\1" * 32))
    with pytest.raises(MalformedError, match="unknown") as refusal:
        typed.from_json(Revoke, {**good, "why": 1})
    assert refusal.value.field == "why"


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(MalformedError, match="missing"):
        typed.from_json(Revoke, {"subject": "0x" + "11" * 20})


@pytest.mark.parametrize("value", [-1, 1 << 48, True, 1.0, "5"])
def test_a_number_that_does_not_fit_is_refused(value: object) -> None:
    plain = {**typed.to_json(sample("RevokeAll")), "cutoff": value}
    with pytest.raises(MalformedError) as refusal:
        typed.from_json(typed.MESSAGES["RevokeAll"], plain)
    assert refusal.value.field == "cutoff"


def test_a_wallet_signature_recovers_to_its_address_elsewhere() -> None:
    key = signing.WalletKey(b"\x05" * 32)
    digest = typed.digest(DOMAIN, sample("Revoke"))
    packed = key.sign(digest)
    r, vs = packed[1:33], int.from_bytes(packed[33:], "big")
    vrs = (27 + (vs >> 255), int.from_bytes(r, "big"), vs & ((1 << 255) - 1))
    message = SignableMessage(b"\x01", DOMAIN.separator, typed.struct_hash(sample("Revoke")))
    assert Account.recover_message(message, vrs=vrs) == key.address


def test_a_passkey_of_another_page_is_another_identity() -> None:
    here, there = signing.SoftPasskey("localhost", secret=7), signing.SoftPasskey("example.org", secret=7)
    assert here.public == there.public
    assert here.address != there.address


def test_a_passkey_signature_has_low_s() -> None:
    key = signing.SoftPasskey("localhost")
    for n in range(20):
        assert int.from_bytes(key.sign(bytes([n]) * 32)[97:129], "big") <= signing.P256_ORDER // 2
