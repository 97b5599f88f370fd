# SPDX-License-Identifier: Apache-2.0
"""One transaction, signed. Legacy with the chain's id (EIP-155): every chain takes it, and it has one price to raise.

Not eth_account's: that loads BLS pairings, half a second in each process that starts.
"""

from __future__ import annotations

from dataclasses import dataclass

import rlp
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
        """What a node takes, and the hash it will know it by; both hex."""
        fields = [self.nonce, self.price, self.gas, address_bytes(self.to), self.value, self.data]
        signature = key.sign(keccak(rlp.encode([*fields, self.chain_id, 0, 0])))
        r, s = int.from_bytes(signature[1:33], "big"), int.from_bytes(signature[33:], "big")
        odd, s = s >> 255, s & ~(1 << 255)  # EIP-2098 keeps the parity in the bit that a low s never needs
        raw = rlp.encode([*fields, self.chain_id * 2 + 35 + odd, r, s])
        return hexed(raw), hexed(keccak(raw))
