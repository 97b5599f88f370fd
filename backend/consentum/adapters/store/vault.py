# SPDX-License-Identifier: Apache-2.0
"""Shares at rest: each under a key of its own (AES-256-GCM), each key wrapped under the master key (RFC 3394)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from sqlalchemy import BindParameter, Connection, bindparam, delete, insert, select

from consentum.adapters.store import tables
from consentum.domain.cid import Cid
from consentum.domain.records import Record
from consentum.errors import ConflictError, CorruptError, NotFoundError
from consentum.ports.server_store import Tombstone, VaultRow

# A wrapping key seals exactly one share, so the nonce may be fixed.
_NONCE = bytes(12)


def insert_rows(connection: Connection, master: bytes, records_root: bytes, rows: Sequence[VaultRow]) -> None:
    """Writes records, sealed shares and wrapped keys."""
    sealed, wrapped = [], []
    for row in rows:
        record, key = row.record, secrets.token_bytes(32)
        identity = record.id
        wrapped.append({"record": identity, "wrapped": aes_key_wrap(master, key)})
        sealed.append(
            {
                "record": identity,
                "committee": record.committee,
                "records_root": records_root,
                "custodian": record.custodian,
                "subject": record.subject,
                "categories": record.categories,
                "cid": record.cid.raw,
                "key_commitment": record.key_commitment,
                "salt": record.salt,
                "share": AESGCM(key).encrypt(_NONCE, row.share, identity),
            }
        )
    connection.execute(tables.wrapping.insert(), wrapped)
    connection.execute(tables.vault.insert(), sealed)


def find_records(connection: Connection, ids: Sequence[bytes], committee: bytes) -> dict[bytes, Record]:
    """What the vault knows of the ids, under one committee."""
    wanted: BindParameter[bytes] = bindparam("ids", expanding=True)
    query = select(tables.vault).where(tables.vault.c.record.in_(wanted), tables.vault.c.committee == committee)
    return {
        row.record: Record(
            row.custodian,
            row.subject,
            row.categories,
            Cid.from_bytes(row.cid),
            row.key_commitment,
            row.committee,
            row.salt,
        )
        for row in connection.execute(query, {"ids": list(ids)})
    }


def open_shares(connection: Connection, master: bytes, ids: Sequence[bytes]) -> list[bytes]:
    """The shares of the ids, in order. CorruptError if one was altered or its key erased."""
    wanted: BindParameter[bytes] = bindparam("ids", expanding=True)
    query = (
        select(tables.vault.c.record, tables.vault.c.share, tables.wrapping.c.wrapped)
        .join(tables.wrapping, tables.vault.c.record == tables.wrapping.c.record)
        .where(tables.vault.c.record.in_(wanted))
    )
    found = {row.record: row for row in connection.execute(query, {"ids": list(ids)})}
    try:
        return [
            AESGCM(aes_key_unwrap(master, found[identity].wrapped)).decrypt(_NONCE, found[identity].share, identity)
            for identity in ids
        ]
    except (KeyError, InvalidTag, InvalidUnwrap):
        raise CorruptError("a share in the vault does not open") from None


def retracted(connection: Connection, ids: Sequence[bytes]) -> set[bytes]:
    """Which of the ids were retracted here."""
    wanted: BindParameter[bytes] = bindparam("ids", expanding=True)
    query = select(tables.tombstones.c.record).where(tables.tombstones.c.record.in_(wanted))
    return {row.record for row in connection.execute(query, {"ids": list(ids)})}


def bury(connection: Connection, made: Tombstone) -> Tombstone:
    """Deletes a record's row, share and wrapped key (secure_delete overwrites them), and keeps the tombstone."""
    t, v = tables.tombstones, tables.vault
    known = connection.execute(select(t).where(t.c.record == made.record)).first()
    if known is not None and known.custodian == made.custodian:
        if known.successor != made.successor:
            raise ConflictError("retracted already, in favour of another record", field="successor")
        return Tombstone(**{name: getattr(known, name) for name in Tombstone.__slots__})
    mine = (v.c.record == made.record, v.c.custodian == made.custodian)
    if connection.execute(select(v.c.record).where(*mine)).first() is None:
        raise NotFoundError("no such record", field="record")
    other = (v.c.record == made.successor, v.c.custodian == made.custodian)
    if any(made.successor) and connection.execute(select(v.c.record).where(*other)).first() is None:
        raise NotFoundError("no such record", field="successor")
    connection.execute(delete(tables.wrapping).where(tables.wrapping.c.record == made.record))
    connection.execute(delete(v).where(*mine))
    connection.execute(insert(t), {name: getattr(made, name) for name in Tombstone.__slots__})
    return made
