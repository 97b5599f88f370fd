# SPDX-License-Identifier: Apache-2.0
"""A transaction is signed by its key, says what its fields say, and is never sent to what is no address."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from consentum.adapters.chain.transaction import Transaction
from consentum.crypto.signing import WalletKey
from consentum.errors import MalformedError

TO = WalletKey(b"\x07" * 32).address


@given(chain_id=st.integers(min_value=1, max_value=2**40), nonce=st.integers(min_value=0, max_value=2**32))
def test_its_signer_is_who_signed(chain_id: int, nonce: int) -> None:
    key = WalletKey()
    raw, _ = Transaction(chain_id=chain_id, nonce=nonce, price=1, gas=21_000, to=TO).signed_by(key)
    assert Account.recover_transaction(raw) == key.address


def test_the_hash_is_the_one_of_the_specification() -> None:
    """The example of EIP-155."""
    key = WalletKey(b"\x46" * 32)
    raw, hashed = Transaction(
        chain_id=1, nonce=9, price=20 * 10**9, gas=21_000, to="0x" + "35" * 20, value=10**18
    ).signed_by(key)
    assert raw == (
        "0xf86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a0"
        "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a0"
        "67cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )
    assert hashed == "0x33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"


@pytest.mark.parametrize("to", ["", "0x", TO[:-1], TO + "00", TO[2:]])
def test_it_is_never_sent_to_what_is_no_address(to: str) -> None:
    with pytest.raises(MalformedError):
        Transaction(chain_id=1, nonce=0, price=1, gas=21_000, to=to).signed_by(WalletKey())
