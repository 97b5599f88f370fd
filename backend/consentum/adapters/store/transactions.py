# SPDX-License-Identifier: Apache-2.0
"""The TransactionLog port, in a sealed file."""

from __future__ import annotations

from dataclasses import asdict

from sqlalchemy import delete, insert, select

from consentum.adapters.store.engine import reading, transaction
from consentum.adapters.store.sealed import SealedFile, sealed_table
from consentum.ports.transactions import Sent

transactions = sealed_table("transactions")


class TransactionBook:
    """`ports.transactions.TransactionLog`; a row's id is its nonce. Read once, at the first use: an account has one
    sender, so nobody else writes here."""

    def __init__(self, file: SealedFile) -> None:
        self._file = file
        self._mirror: dict[int, Sent] | None = None

    def put(self, sent: Sent) -> None:
        identity = _identity(sent.nonce)
        row = {"id": identity, "box": self._file.seal(identity, asdict(sent))}
        with transaction(self._file.engine) as connection:
            connection.execute(insert(transactions).prefix_with("OR REPLACE"), row)
        self._read()[sent.nonce] = sent

    def remove(self, nonce: int) -> None:
        with transaction(self._file.engine) as connection:
            connection.execute(delete(transactions).where(transactions.c.id == _identity(nonce)))
        self._read().pop(nonce, None)

    def all(self) -> list[Sent]:
        known = self._read()
        return [known[nonce] for nonce in sorted(known)]

    def _read(self) -> dict[int, Sent]:
        if self._mirror is not None:
            return self._mirror
        with reading(self._file.engine) as connection:
            rows = connection.execute(select(transactions).order_by(transactions.c.id)).all()
        found = [self._file.open(row.id, row.box) for row in rows]
        sent = [Sent(**{**plain, "hashes": tuple(plain["hashes"])}) for plain in found]
        self._mirror = {one.nonce: one for one in sent}
        return self._mirror


def _identity(nonce: int) -> bytes:
    return nonce.to_bytes(32, "big")
