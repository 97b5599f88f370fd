# SPDX-License-Identifier: Apache-2.0
"""One transaction, signed: a legacy one with the chain's id (EIP-155); every chain takes it, and it has one price."""

from __future__ import annotations

from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from consentum.crypto.signing import WalletKey
from consentum.crypto.typed import address_bytes
from consentum.domain.parsing import hexed


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """price and value in wei, price per unit of gas."""

    chain_id: int
    nonce: int
    price: int
    gas: int
    to: str
    value: int = 0
    data: bytes = b""

    def signed_by(self, key: WalletKey) -> tuple[str, str]:
        """What a node takes, and the hash it will know it by; both hex. MalformedError if `to` is no address."""
        from eth_account import Account  # noqa: PLC0415 - loads BLS pairings, half a second; many processes send nothing

        fields = {
            "to": to_checksum_address(address_bytes(self.to)),
            "data": self.data,
            "nonce": self.nonce,
            "gas": self.gas,
            "gasPrice": self.price,
            "chainId": self.chain_id,
            "value": self.value,
        }
        raw = bytes(Account.from_key(key.secret).sign_transaction(fields).raw_transaction)
        return hexed(raw), hexed(keccak(raw))
