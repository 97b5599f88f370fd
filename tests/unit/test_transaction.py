# SPDX-License-Identifier: Apache-2.0
"""A signed transaction is byte for byte what eth_account makes of the same fields."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from consentum.adapters.chain.transaction import Transaction
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.errors import MalformedError

TO = WalletKey(b"\x07" * 32).address
AMOUNTS = st.integers(min_value=0, max_value=2**96)


@given(
    secret=st.integers(min_value=1, max_value=2**255).map(lambda number: number.to_bytes(32, "big")),
    chain_id=st.sampled_from([1, 10, 1337, 31337, 2**40]),
    nonce=st.integers(min_value=0, max_value=2**32),
    amounts=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
    data=st.binary(max_size=120),
)
def test_it_is_the_one_eth_account_makes(
    secret: bytes, chain_id: int, nonce: int, amounts: tuple[int, int, int], data: bytes
) -> None:
    price, gas, value = amounts
    theirs = Account.from_key(secret).sign_transaction(
        {
            "to": TO,
            "data": data,
            "nonce": nonce,
            "gas": gas,
            "gasPrice": price,
            "chainId": chain_id,
            "value": value,
        }
    )
    made = Transaction(chain_id=chain_id, nonce=nonce, price=price, gas=gas, to=TO, value=value, data=data)
    raw, hashed = made.signed_by(WalletKey(secret))
    assert raw == hexed(bytes(theirs.raw_transaction))
    assert hashed == hexed(bytes(theirs.hash))


@given(chain_id=st.integers(min_value=1, max_value=2**40), nonce=st.integers(min_value=0, max_value=2**32))
def test_its_signer_is_who_signed(chain_id: int, nonce: int) -> None:
    key = WalletKey()
    raw, _ = Transaction(chain_id=chain_id, nonce=nonce, price=1, gas=21_000, to=TO).signed_by(key)
    assert Account.recover_transaction(raw) == key.address


@pytest.mark.parametrize("to", ["", "0x", TO[:-1], TO + "00", TO[2:]])
def test_it_is_never_sent_to_what_is_no_address(to: str) -> None:
    with pytest.raises(MalformedError):
        Transaction(chain_id=1, nonce=0, price=1, gas=21_000, to=to).signed_by(WalletKey())
