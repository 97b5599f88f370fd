# SPDX-License-Identifier: Apache-2.0
"""What a patient can look at: who used her records, with proofs; her records; and everything in one file."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from consentum.adapters.peers.content import GatewayContent
from consentum.adapters.peers.http import HttpClient
from consentum.adapters.store.new_file import new_file
from consentum.domain.parsing import as_bytes, as_integer, as_list, as_object, hexed
from consentum.domain.terms import Category, words_of
from consentum.errors import ConsentumError, NotFoundError
from consentum.flow.client.opening import Opened
from consentum.flow.client.own import Reader, opened
from consentum.flow.client.uses import ServerUses, uses_of
from consentum.sdk import enrolling, granting
from consentum.wiring.patient import PatientHome

MAX_RECORDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Owned:
    """One record about her. deposited: UTC seconds, by the gateway's clock."""

    record: bytes
    custodian: str
    categories: int
    cid: str
    committee: bytes
    deposited: int

    def to_json(self) -> dict[str, Any]:
        plain = {**asdict(self), "record": hexed(self.record), "committee": hexed(self.committee)}
        return {**plain, "categories": words_of(Category(self.categories))}


def records(home: PatientHome) -> list[Owned]:
    """Her records, as the gateway lists them; the key servers of their committees are remembered."""
    rows = home.connection.gateway.get("/v1/records", subject=home.connection.identity)["records"]
    found = [] if rows == [] else list(as_list(rows, "records", _owned, MAX_RECORDS))
    _remember_committees(home, {one.committee for one in found})
    return found


def _owned(row: object) -> Owned:
    body = as_object(row, "records", "record", "custodian", "categories", "cid", "committee", "deposited")
    return Owned(
        as_bytes(body["record"], "record", 32),
        str(body["custodian"])[:42],
        as_integer(body["categories"], "categories", 1 << 63),
        str(body["cid"])[:100],
        as_bytes(body["committee"], "committee", 32),
        as_integer(body["deposited"], "deposited", 1 << 48),
    )


def _remember_committees(home: PatientHome, committees: set[bytes]) -> None:
    """Members' endpoints as they wrote them on chain: not only the servers the gateway likes to name."""
    ledger = home.connection.ledger
    latest = ledger.view().latest
    members = {member for committee in committees for member in ledger.committee(latest, committee).members}
    endpoints = {member: ledger.server_keys(latest, member).endpoint for member in sorted(members)}
    home.book.remember({member: endpoint for member, endpoint in endpoints.items() if endpoint})


def record(home: PatientHome, identity: bytes) -> Opened:
    """One of her records, in the clear; to be closed. NotFoundError if the gateway lists no such record of hers."""
    wanted = [one for one in records(home) if one.record == identity]
    if not wanted:
        raise NotFoundError("no such record of yours", field="record")
    return _open(home, wanted[0])


def _open(home: PatientHome, owned: Owned) -> Opened:
    connection = home.connection
    reader = Reader(
        ledger=connection.ledger,
        domain=connection.deployment.user_domain,
        signer=connection.key,
        peers=home.key_servers(),
        depository=GatewayContent(home.client(), home.connection.home / "cache.db"),
    )
    return opened(reader, owned.record, owned.committee)


class _Journal:
    """A key server's journal, signed in."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def entries(self, subject: str) -> Mapping[str, Any]:
        return dict(self._client.get("/v1/journal/entries", subject=subject))

    def inclusion(self, index: int, size: int) -> Mapping[str, Any]:
        return dict(self._client.get("/v1/journal/inclusion", index=index, size=size))


def uses(home: PatientHome) -> list[ServerUses]:
    """Every known key server's entries about her, proved; a server that does not answer is in the list too."""
    servers = home.learn_servers()

    def opener(endpoint: str) -> Callable[[], _Journal]:
        def open_journal() -> _Journal:
            client = home.server(endpoint)
            client.sign_in(home.connection.key, home.connection.deployment.user_domain)
            return _Journal(client)

        return open_journal

    journals = {address: opener(endpoint) for address, endpoint in servers.items()}
    return uses_of(home.connection.ledger, home.connection.identity, journals)


def uses_json(found: list[ServerUses]) -> list[dict[str, Any]]:
    return [
        {
            "server": one.server,
            "failure": one.failure,
            "root": hexed(one.root),
            "uses": [use.to_json() for use in one.uses],
        }
        for one in found
    ]


def export(home: PatientHome, out: Path) -> dict[str, Any]:
    """Everything of hers as one ZIP, mode 0600, never over an existing file: consents, enrolments, uses with proofs,
    records in the clear. What could not be had is in missing.json, by name and code; {records, missing}."""
    given, _ = granting.consents(home)
    found = uses(home)
    owned = records(home)
    missing = {one.server: one.failure for one in found if one.failure}
    with new_file(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("consents.json", [one.to_json() for one in given]),
            ("enrolments.json", enrolling.enrolments(home)),
            ("uses.json", uses_json(found)),
            ("records.json", [one.to_json() for one in owned]),
        ):
            archive.writestr(name, json.dumps(content, indent=2))
        for one in owned:
            try:
                _add(archive, home, one, out.parent)
            except ConsentumError as error:
                missing[hexed(one.record)] = error.code
        archive.writestr("missing.json", json.dumps(missing, indent=2))
    return {"records": len(owned), "missing": missing}


def _add(archive: zipfile.ZipFile, home: PatientHome, owned: Owned, folder: Path) -> None:
    """One record into the archive, whole or not at all: it is read to its end before."""
    with _open(home, owned) as found, tempfile.TemporaryFile(dir=folder) as whole:
        for chunk in found.chunks():
            whole.write(chunk)
        whole.seek(0)
        name = f"records/{owned.record.hex()}/{_safe(found.header.name)}"
        with archive.open(name, "w", force_zip64=True) as entry:
            shutil.copyfileobj(whole, entry, 1 << 20)


def _safe(name: str) -> str:
    """The custodian chose the name inside: it must not lead out of the folder it is unpacked into."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    return last if last.strip(". ") and last.isprintable() else "record"


def save(path: Path, content: Opened, advance: Callable[[int], None] = lambda _: None) -> None:
    """Writes a new file that only its owner can read, in constant memory; it is there when it is whole. advance is told
    of every byte."""
    with new_file(path) as file:
        for chunk in content.chunks():
            file.write(chunk)
            advance(len(chunk))
