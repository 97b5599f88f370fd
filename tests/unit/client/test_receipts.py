# SPDX-License-Identifier: Apache-2.0
"""A receipt is believed if its server signed it, about this release, and it does not contradict itself."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consentum.domain.journal import RECEIPT_CONTEXT, bitmap, canonical, counts
from consentum.domain.parsing import hexed
from consentum.errors import CorruptError, Reason
from consentum.flow.client.receipts import Expected, total, verify, verify_signature

KEY = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
SERVER = "0x" + "5e" * 20
DIGEST = b"\7" * 32
SEALED = b"a sealed message"
REASONS = [0, Reason.NO_CONSENT, 0, 0, Reason.REVOKED, 0, 0, 0, 0, Reason.NO_CONSENT]
EXPECTED = Expected("0x" + "5E" * 20, 2, KEY.public_key().public_bytes_raw(), DIGEST, len(REASONS))
GOOD: dict[str, Any] = {
    "v": 1,
    "server": SERVER,
    "index": 2,
    "release": hexed(DIGEST),
    "count": len(REASONS),
    "bitmap": hexed(bitmap(REASONS)),
    "counts": counts(REASONS),
    "leaves": [[40, 4], [50, 6]],
    "size": 56,
    "root": hexed(bytes(32)),
    "finalized": "10:0x00",
    "latest": "12:0x00",
    "decidedAt": 1,
    "sealed": hexed(hashlib.sha256(SEALED).digest()),
}


def signed(receipt: dict[str, Any], key: Ed25519PrivateKey = KEY, context: bytes = RECEIPT_CONTEXT) -> bytes:
    return key.sign(context + canonical(receipt))


def without(field: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != field}


def test_an_honest_receipt_says_what_was_released_and_where_it_is_journalled() -> None:
    found = verify(EXPECTED, GOOD, signed(GOOD), SEALED)
    assert found.allowed == (0, 2, 3, 5, 6, 7, 8)
    assert found.leaves == (40, 41, 42, 43, 50, 51, 52, 53, 54, 55)
    assert (found.server, found.index, found.size) == (SERVER, 2, 56)
    assert found.counts == {"ALLOWED": 7, "NO_CONSENT": 2, "REVOKED": 1}
    assert (found.finalized, found.latest) == ("10:0x00", "12:0x00")


def refused(receipt: dict[str, Any], signature: bytes | None = None, expected: Expected = EXPECTED) -> None:
    with pytest.raises(CorruptError) as caught:
        verify(expected, receipt, signed(receipt) if signature is None else signature, SEALED)
    assert caught.value.field == "receipt"


def test_a_sealed_message_that_the_receipt_does_not_name_is_refused() -> None:
    with pytest.raises(CorruptError) as caught:
        verify(EXPECTED, GOOD, signed(GOOD), b"another message")
    assert caught.value.field == "sealed"


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(64),
        signed(GOOD)[:63],
        signed(GOOD) + b"\0",
        signed(GOOD, Ed25519PrivateKey.from_private_bytes(b"\2" * 32)),
        signed(GOOD, context=b"consentum/deposit-receipt/1\n"),
        signed(GOOD, context=b""),
        signed({**GOOD, "decidedAt": 2}),
    ],
)
def test_a_receipt_its_server_did_not_sign_is_refused(signature: bytes) -> None:
    refused(GOOD, signature)


def test_a_checkpoint_key_that_is_none_refuses_everything() -> None:
    for key in (b"", bytes(31), bytes(32)):
        refused(GOOD, expected=Expected(SERVER, 2, key, DIGEST, len(REASONS)))


@pytest.mark.parametrize(
    "change",
    [
        {"server": "0x" + "66" * 20},
        {"index": 1},
        {"index": "2"},
        {"release": hexed(bytes(32))},
        {"release": DIGEST.hex()},
        {"count": 9},
        {"count": 11},
    ],
)
def test_a_receipt_about_something_else_is_refused(change: dict[str, Any]) -> None:
    refused({**GOOD, **change})


@pytest.mark.parametrize("field", ["server", "index", "release", "count", "bitmap", "counts", "leaves", "size"])
def test_a_receipt_without_one_of_its_parts_is_refused(field: str) -> None:
    refused(without(field))


@pytest.mark.parametrize(
    "leaves",
    [
        [],
        [[40, 9]],
        [[40, 11]],
        [[40, 5], [44, 5]],
        [[40, 10], [40, 10]],
        [[47, 10]],
        [[-1, 10]],
        [[40, 4], [50, 0]],
        [40, 10],
        [[40]],
        [[40, 4, 6]],
        [["40", 10]],
        [[40, "10"]],
        [[40, 1.5]],
        None,
        "40",
        7,
    ],
)
def test_a_receipt_without_one_leaf_of_the_journal_per_record_is_refused(leaves: Any) -> None:
    refused({**GOOD, "leaves": leaves})


@pytest.mark.parametrize("size", [0, 55, -1, "many", None, [], float("nan")])
def test_a_journal_too_short_for_its_leaves_is_refused(size: Any) -> None:
    refused({**GOOD, "size": size})


@pytest.mark.parametrize(
    "bits",
    [
        hexed(bitmap([0] * 10)),
        hexed(bitmap([1] * 10)),
        hexed(bitmap(REASONS)[:1]),
        hexed(bitmap(REASONS) + b"\0"),
        hexed(bytes([bitmap(REASONS)[0], bitmap(REASONS)[1] | 1])),
        "",
        "0xzz",
        None,
        7,
    ],
)
def test_a_bitmap_that_does_not_fit_is_refused(bits: Any) -> None:
    refused({**GOOD, "bitmap": bits})


@pytest.mark.parametrize(
    "table",
    [
        {"ALLOWED": 7},
        {"ALLOWED": 8, "NO_CONSENT": 2},
        {"ALLOWED": 7, "NO_CONSENT": 2, "REVOKED": 2},
        {"NO_CONSENT": 10},
        {"allowed": 7, "NO_CONSENT": 3},
        {"ALLOWED": "seven", "NO_CONSENT": 3},
        {},
        [],
        None,
    ],
)
def test_counts_that_contradict_the_bitmap_or_the_page_are_refused(table: Any) -> None:
    refused({**GOOD, "counts": table})


def test_negative_counts_cannot_make_the_sum_right() -> None:
    refused({**GOOD, "bitmap": hexed(bitmap([0] * 10)), "counts": {"ALLOWED": 10, "NO_CONSENT": 2, "REVOKED": -1}})


def test_counts_below_zero_are_refused() -> None:
    refused({**GOOD, "counts": {"ALLOWED": 7, "NO_CONSENT": 5, "REVOKED": -2}})


def test_the_counts_of_pages_are_added_up() -> None:
    assert total([{"ALLOWED": 2, "REVOKED": 1}, {}, {"ALLOWED": 3}]) == {"ALLOWED": 5, "REVOKED": 1}
    assert total([]) == {}


def test_another_kind_of_receipt_is_verified_under_its_own_context() -> None:
    context = b"consentum/deposit-receipt/1\n"
    verify_signature(EXPECTED.checkpoint_key, context, GOOD, signed(GOOD, context=context))
    with pytest.raises(CorruptError):
        verify_signature(EXPECTED.checkpoint_key, RECEIPT_CONTEXT, GOOD, signed(GOOD, context=context))
