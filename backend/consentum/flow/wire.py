# SPDX-License-Identifier: Apache-2.0
"""What travels between client, gateway, runner and key servers, parsed once into types that cannot be wrong (R1, D5).

Everything untrusted comes through a `parse` here: sizes are capped, lists agree with the signed counts and roots, and
nobody behind has to check again. Openings stay what they are: unsigned hints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_utils.crypto import keccak

from consentum.crypto import merkle, sealing, typed
from consentum.domain.cid import Cid
from consentum.domain.messages import Consent, Deposit, Enrol, Freeze, Job, Message, Release, Retract, Revoke, RevokeAll
from consentum.domain.parsing import MAX_ITEMS, as_bytes, as_integer, as_list, as_object, as_signature, hexed
from consentum.domain.records import Record
from consentum.errors import MalformedError

MAX_PAGE = MAX_ITEMS


@dataclass(frozen=True, slots=True)
class ReleaseRequest:
    """One page: a signed job, a signed release under it, the record ids in order, the response key, and openings."""

    job: Job
    job_signature: bytes
    release: Release
    release_signature: bytes
    response_key: bytes
    ids: tuple[bytes, ...]
    openings: tuple[Consent | None, ...]

    KEYS = ("job", "jobSignature", "release", "releaseSignature", "responseKey", "records", "openings")

    @classmethod
    def parse(cls, data: object) -> ReleaseRequest:
        body = as_object(data, "request", *cls.KEYS)
        job = typed.from_json(Job, body["job"])
        release = typed.from_json(Release, body["release"])
        ids = as_list(body["records"], "records", lambda item: as_bytes(item, "records", 32))
        key = as_bytes(body["responseKey"], "responseKey", sealing.PUBLIC_BYTES)
        if release.job != typed.struct_hash(job):
            raise MalformedError("the release is of another job", field="job")
        if len(set(ids)) != len(ids) or release.count != len(ids):
            raise MalformedError("the records are not as many different ones as signed", field="count")
        if release.recordsRoot != merkle.root_of(ids):
            raise MalformedError("the records are not the signed ones", field="recordsRoot")
        if release.responseKeyHash != keccak(key):
            raise MalformedError("the response key is not the signed one", field="responseKeyHash")
        sealing.load_public(key)  # before anything is journalled or debited for an answer that cannot be sealed
        openings = as_list(body["openings"], "openings", _opening)
        if len(openings) != len(ids):
            raise MalformedError("one opening or null per record", field="openings")
        signatures = (
            as_signature(body["jobSignature"], "jobSignature"),
            as_signature(body["releaseSignature"], "releaseSignature"),
        )
        return cls(job, signatures[0], release, signatures[1], key, ids, openings)

    def to_json(self) -> dict[str, Any]:
        return {
            "job": typed.to_json(self.job),
            "jobSignature": hexed(self.job_signature),
            "release": typed.to_json(self.release),
            "releaseSignature": hexed(self.release_signature),
            "responseKey": hexed(self.response_key),
            "records": [hexed(identity) for identity in self.ids],
            "openings": [None if opening is None else typed.to_json(opening) for opening in self.openings],
        }


def _opening(item: object) -> Consent | None:
    return None if item is None else typed.from_json(Consent, item)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A signed Enrol."""

    enrol: Enrol
    signature: bytes

    @classmethod
    def parse(cls, data: object) -> Enrolment:
        body = as_object(data, "enrolments", "enrol", "signature")
        return cls(typed.from_json(Enrol, body["enrol"]), as_signature(body["signature"], "signature"))

    def to_json(self) -> dict[str, Any]:
        return {"enrol": typed.to_json(self.enrol), "signature": hexed(self.signature)}


@dataclass(frozen=True, slots=True)
class DepositRequest:
    """A custodian's batch for one server: records in order, and that server's shares in one sealed message."""

    deposit: Deposit
    signature: bytes
    records: tuple[Record, ...]
    enrolments: tuple[Enrolment, ...]
    epoch: int
    sealed: bytes = field(repr=False)

    KEYS = ("deposit", "signature", "records", "enrolments", "epoch", "sealed")

    @classmethod
    def parse(cls, data: object) -> DepositRequest:
        body = as_object(data, "request", *cls.KEYS)
        deposit = typed.from_json(Deposit, body["deposit"])
        records = as_list(body["records"], "records", lambda item: _record(item, deposit))
        ids = [record.id for record in records]
        if len(set(ids)) != len(ids) or deposit.count != len(ids):
            raise MalformedError("the records are not as many different ones as signed", field="count")
        if deposit.recordsRoot != merkle.root_of(ids):
            raise MalformedError("the records are not the signed ones", field="recordsRoot")
        return cls(
            deposit,
            as_signature(body["signature"], "signature"),
            records,
            as_list(body["enrolments"], "enrolments", Enrolment.parse),
            as_integer(body["epoch"], "epoch", 1 << 32),
            as_bytes(body["sealed"], "sealed"),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "deposit": typed.to_json(self.deposit),
            "signature": hexed(self.signature),
            "records": [record_json(record) for record in self.records],
            "enrolments": [enrolment.to_json() for enrolment in self.enrolments],
            "epoch": self.epoch,
            "sealed": hexed(self.sealed),
        }


def record_json(record: Record) -> dict[str, Any]:
    """A record inside a deposit; custodian and committee are the deposit's."""
    return {
        "subject": record.subject,
        "categories": record.categories,
        "cid": str(record.cid),
        "keyCommitment": hexed(record.key_commitment),
        "salt": hexed(record.salt),
    }


def _record(data: object, deposit: Deposit) -> Record:
    body = as_object(data, "records", "subject", "categories", "cid", "keyCommitment", "salt")
    subject = hexed(typed.address_bytes(body["subject"]))
    categories = as_integer(body["categories"], "categories", 1 << 63)
    if categories == 0:
        raise MalformedError("a record is of at least one category", field="categories")
    cid = body["cid"]
    if not isinstance(cid, str):
        raise MalformedError("cid is not text", field="cid")
    return Record(
        deposit.custodian,
        subject,
        categories,
        Cid.parse(cid),
        as_bytes(body["keyCommitment"], "keyCommitment", 32),
        deposit.committee,
        as_bytes(body["salt"], "salt", 32),
    )


@dataclass(frozen=True, slots=True)
class Retraction:
    """A signed Retract."""

    retract: Retract
    signature: bytes

    @classmethod
    def parse(cls, data: object) -> Retraction:
        body = as_object(data, "request", "retract", "signature")
        retract = typed.from_json(Retract, body["retract"])
        if retract.successor == retract.record:
            raise MalformedError("a record does not supersede itself", field="successor")
        return cls(retract, as_signature(body["signature"], "signature"))

    def to_json(self) -> dict[str, Any]:
        return {"retract": typed.to_json(self.retract), "signature": hexed(self.signature)}


_NOTICES: dict[str, type[Message]] = {"Revoke": Revoke, "RevokeAll": RevokeAll, "Freeze": Freeze}


@dataclass(frozen=True, slots=True)
class Notice:
    """A signed Revoke, RevokeAll or Freeze on its way to the servers."""

    message: Revoke | RevokeAll | Freeze
    signature: bytes

    @property
    def kind(self) -> str:
        return type(self.message).__name__

    @classmethod
    def parse(cls, data: object) -> Notice:
        body = as_object(data, "notice", "kind", "message", "signature")
        kind = _NOTICES.get(body["kind"]) if isinstance(body["kind"], str) else None
        if kind is None:
            raise MalformedError("kind is Revoke, RevokeAll or Freeze", field="kind")
        message = typed.from_json(kind, body["message"])
        assert isinstance(message, Revoke | RevokeAll | Freeze)
        return cls(message, as_signature(body["signature"], "signature"))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "message": typed.to_json(self.message), "signature": hexed(self.signature)}


@dataclass(frozen=True, slots=True)
class Answer:
    """A server's answer: a receipt it signed, and the shares it released, sealed to the response key."""

    receipt: Mapping[str, Any]
    signature: bytes
    sealed: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: object) -> Answer:
        body = as_object(data, "answer", "receipt", "signature", "sealed")
        if not isinstance(body["receipt"], Mapping):
            raise MalformedError("receipt is not an object", field="receipt")
        return cls(body["receipt"], as_bytes(body["signature"], "signature", 64), as_bytes(body["sealed"], "sealed"))

    def to_json(self) -> dict[str, Any]:
        return {"receipt": dict(self.receipt), "signature": hexed(self.signature), "sealed": hexed(self.sealed)}
