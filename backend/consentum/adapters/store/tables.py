# SPDX-License-Identifier: Apache-2.0
"""The key server's tables. `share` is sealed under a key of its own per record, which `wrapping` holds, wrapped under
the key file's master key: erasing a record's wrapping row erases its share wherever a copy of the vault is."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
)

metadata = MetaData()

vault = Table(
    "vault",
    metadata,
    Column("record", LargeBinary(32), primary_key=True),
    Column("committee", LargeBinary(32), nullable=False),
    Column("records_root", LargeBinary(32), nullable=False, index=True),
    Column("custodian", String(42), nullable=False),
    Column("subject", String(42), nullable=False, index=True),
    Column("categories", BigInteger, nullable=False),
    Column("cid", LargeBinary(36), nullable=False),
    Column("key_commitment", LargeBinary(32), nullable=False),
    Column("salt", LargeBinary(32), nullable=False),
    Column("share", LargeBinary, nullable=False),
)

wrapping = Table(
    "wrapping",
    metadata,
    Column("record", LargeBinary(32), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

pulse = Table("pulse", metadata, Column("id", Integer, primary_key=True), Column("beats", BigInteger, nullable=False))

deposits = Table("deposits", metadata, Column("records_root", LargeBinary(32), primary_key=True))

enrolments = Table(
    "enrolments",
    metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("subject", String(42), nullable=False, index=True),
    Column("custodian", String(42), nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("id", LargeBinary(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("subject", String(42), nullable=False, index=True),
    Column("commitment", LargeBinary(32), nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("message", String, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("judged", Boolean, nullable=False),
)

# In the order of their coming. AUTOINCREMENT: a number is never given twice, or a peer that has read so far would miss
# what took the place of a dropped one.
arrivals = Table(
    "arrivals",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("notice", LargeBinary(32), nullable=False, unique=True),
    Column("at", BigInteger, nullable=False),
    Column("settled", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("arrivals_waiting", "settled", "at"),
    sqlite_autoincrement=True,
)

passed = Table("passed", metadata, Column("peer", String, primary_key=True), Column("number", Integer, nullable=False))

tombstones = Table(
    "tombstones",
    metadata,
    Column("record", LargeBinary(32), primary_key=True),
    Column("custodian", String(42), nullable=False),
    Column("successor", LargeBinary(32), nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("runner", String(42), nullable=False),
    Column("nonce", LargeBinary(32), nullable=False),
    Column("requester", String(42), nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("granted", Integer, nullable=False),
    UniqueConstraint("runner", "nonce"),
    Index("releases_velocity", "requester", "decided_at"),
)

release_items = Table(
    "release_items",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("leaf", BigInteger, nullable=False),
    Column("allowed", Boolean, nullable=False),
)

debits = Table(
    "debits",
    metadata,
    Column("commitment", LargeBinary(32), primary_key=True),
    Column("job", LargeBinary(32), primary_key=True),
    Column("epsilon_milli", BigInteger, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("leaf_hash", LargeBinary(32), nullable=False),
    Column("subject", String(42), nullable=False, index=True),
    Column("entry", LargeBinary, nullable=False),
)
