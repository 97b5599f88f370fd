# SPDX-License-Identifier: Apache-2.0
"""Looking: uses are proved against the root on chain, own records open with her own key and nobody else's."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from consentum.crypto import envelope
from consentum.crypto.signing import WalletKey
from consentum.domain.parsing import hexed
from consentum.errors import ConflictError, CorruptError, NotFoundError, RefusedError, UnavailableError
from consentum.flow.client import own
from consentum.flow.client.deposit import Batch
from consentum.flow.client.opening import Opened
from consentum.flow.client.uses import PROVED, WAITING, ServerUses, uses_of
from consentum.flow.gateway import forward
from consentum.ports.chain import Anchor
from consentum.sdk import looking
from tests.fakes.peers import FakeKeyServer
from tests.unit.client.world import COMMITTEE, DOMAIN
from tests.unit.patient.conftest import Home

# Own records


def deposited(home: Home) -> Batch:
    batch = home.world.batch(home.world.alice, home.world.bob)
    forward.deposit(home.gateway, batch.to_json(), home.world.hospital.address.lower())
    return batch


def record_of(batch: Batch, who: WalletKey) -> bytes:
    return next(record.id for record in batch.records if record.subject == who.address.lower())


def content(opened: Opened) -> bytes:
    with opened:
        return b"".join(opened.chunks())


def reader(home: Home, key: WalletKey) -> own.Reader:
    world = home.world
    return own.Reader(ledger=world.ledger, domain=DOMAIN, signer=key, peers=world.peers, depository=world.depository)


def test_a_patient_reads_her_own_record_with_her_key_alone(home: Home) -> None:
    batch = deposited(home)
    found = own.opened(reader(home, home.world.alice), record_of(batch, home.world.alice), COMMITTEE)
    assert (found.header.name, found.header.content_type) == ("0.json", "application/json")
    assert content(found) == b'{"n": 0}'


def test_another_patients_record_is_one_that_is_not_there(home: Home) -> None:
    batch = deposited(home)
    said = []
    for record in (record_of(batch, home.world.bob), bytes(32)):
        with pytest.raises(NotFoundError) as caught:
            own.opened(reader(home, home.world.alice), record, COMMITTEE)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_one_server_down_is_no_matter_and_two_are(home: Home) -> None:
    batch = deposited(home)
    record = record_of(batch, home.world.alice)
    home.world.peers[0].fault = "down"
    assert content(own.opened(reader(home, home.world.alice), record, COMMITTEE)) == b'{"n": 0}'
    home.world.peers[1].fault = "down"
    with pytest.raises(RefusedError, match="1 of 2"):
        own.opened(reader(home, home.world.alice), record, COMMITTEE)


def test_stored_noise_is_corrupt(home: Home) -> None:
    batch = deposited(home)
    for cid in home.world.depository.contents:
        home.world.depository.contents[cid] = b"other"
    with pytest.raises(CorruptError):
        own.opened(reader(home, home.world.alice), record_of(batch, home.world.alice), COMMITTEE)


def test_her_list_names_her_records_and_remembers_where_their_servers_are(home: Home) -> None:
    batch = deposited(home)
    [one] = looking.records(home)
    assert one.record == record_of(batch, home.world.alice)
    assert one.to_json()["categories"] == ["laboratory"]
    endpoints = {peer.address: home.world.ledger.keys[peer.address].endpoint for peer in home.world.peers}
    assert home.book.servers() == endpoints


def test_a_record_that_is_not_in_her_list_is_not_asked_for(home: Home) -> None:
    batch = deposited(home)
    with pytest.raises(NotFoundError):
        looking.record(home, record_of(batch, home.world.bob))
    assert all("release" not in peer.asked for peer in home.world.peers)


# Uses


@dataclass
class Reading:
    """A server's journal, read by its subject. lie: what it does to an entry."""

    peer: FakeKeyServer
    lie: dict[str, Any] | None = None

    def entries(self, subject: str) -> Mapping[str, Any]:
        rows = [
            {"index": index, "entry": {**asdict(entry), **(self.lie or {})}}
            for index, entry in self.peer.server.store.entries_of(subject)
        ]
        return {"entries": rows}

    def inclusion(self, index: int, size: int) -> Mapping[str, Any]:
        proof = [hexed(node) for node in self.peer.server.store.inclusion(index, size)]
        return {"index": index, "size": size, "proof": proof}


def anchored(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every server's journal as it is now is on chain."""
    stores = {peer.address: peer.server.store for peer in home.world.peers}
    roots = {address: Anchor(store.root(), store.journal_size()) for address, store in stores.items()}
    monkeypatch.setattr(type(home.world.ledger), "anchor_of", lambda _, block, log: roots[log.lower()])


def used(home: Home, **lies: dict[str, Any]) -> list[ServerUses]:
    journals = {peer.address: (lambda p=peer: Reading(p, lies.get("lie"))) for peer in home.world.peers}
    return uses_of(home.world.ledger, home.world.alice.address, journals)  # type: ignore[arg-type]


def read_once(home: Home) -> None:
    batch = deposited(home)
    own.opened(reader(home, home.world.alice), record_of(batch, home.world.alice), COMMITTEE)


def test_anchored_entries_are_proved(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    read_once(home)
    anchored(home, monkeypatch)
    found = used(home)
    assert [one.failure for one in found] == [""] * 3
    uses = [use for one in found for use in one.uses]
    assert uses
    assert {use.state for use in uses} == {PROVED}
    assert {use.entry.requester for use in uses} == {home.world.alice.address.lower()}


def test_entries_newer_than_the_anchor_are_said_to_be(home: Home) -> None:
    read_once(home)
    assert {use.state for one in used(home) for use in one.uses} == {WAITING}


def test_an_entry_that_was_changed_is_corrupt_and_not_shown(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    read_once(home)
    anchored(home, monkeypatch)
    with_entries = [one.server for one in used(home) if one.uses]
    for one in used(home, lie={"requester": "0x" + "99" * 20}):
        if one.server in with_entries:
            assert (one.failure, one.uses) == ("CORRUPT", ())


@pytest.mark.parametrize("lie", [{"subject": "0x" + "99" * 20}, {"server": "0x" + "99" * 20}])
def test_an_entry_about_somebody_else_is_corrupt(home: Home, lie: dict[str, Any]) -> None:
    read_once(home)
    assert "CORRUPT" in {one.failure for one in used(home, lie=lie)}


def test_an_entry_of_another_form_is_malformed(home: Home) -> None:
    read_once(home)
    assert "MALFORMED" in {one.failure for one in used(home, lie={"more": 1})}


def test_a_server_that_does_not_answer_is_in_the_list(home: Home) -> None:
    def down() -> Any:
        raise UnavailableError("down")

    first, second = home.world.peers[0], home.world.peers[1]
    found = uses_of(
        home.world.ledger,
        home.world.alice.address,
        {first.address: down, second.address: lambda: Reading(second)},  # type: ignore[dict-item]
    )
    assert [(one.server, one.failure) for one in found] == [(first.address, "UNAVAILABLE"), (second.address, "")]


# Export


def test_everything_goes_into_one_file_and_what_is_missing_is_named(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = deposited(home)
    monkeypatch.setattr(looking, "uses", lambda _: [ServerUses("0x01", failure="UNAVAILABLE")])
    monkeypatch.setattr(
        looking, "_open", lambda h, one: own.opened(reader(h, h.world.alice), one.record, one.committee)
    )
    out = tmp_path / "all.zip"
    done = looking.export(home, out)
    assert done == {"records": 1, "missing": {"0x01": "UNAVAILABLE"}}
    archive = zipfile.ZipFile(out)
    name = f"records/{record_of(batch, home.world.alice).hex()}/0.json"
    assert archive.read(name) == b'{"n": 0}'
    assert json.loads(archive.read("missing.json")) == {"0x01": "UNAVAILABLE"}
    assert out.stat().st_mode & 0o077 == 0
    with pytest.raises(ConflictError):
        looking.export(home, out)


@pytest.mark.parametrize("name", ["../../x", "..", "/etc/passwd", "a\\..\\b", "", "a\x1b[2J"])
def test_a_name_the_custodian_chose_never_leads_out_of_the_folder(name: str) -> None:
    safe = looking._safe(name)
    assert safe
    assert "/" not in safe
    assert "\\" not in safe
    assert safe not in (".", "..")


def sealed(content: bytes) -> Opened:
    key = envelope.new_key()
    return Opened(key, io.BytesIO(envelope.seal(key, envelope.Header("a", "b"), content)))


def test_a_file_that_cannot_be_read_to_its_end_is_not_there(tmp_path: Path) -> None:
    key, header = envelope.new_key(), envelope.Header("a", "b")
    damaged = bytearray(envelope.seal(key, header, bytes(5 << 20)))
    damaged[3 << 20] ^= 1
    with pytest.raises(CorruptError), Opened(key, io.BytesIO(damaged)) as opened:
        looking.save(tmp_path / "mine", opened)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "mine"
    looking.save(out, sealed(b"first"))
    with pytest.raises(ConflictError):
        looking.save(out, sealed(b"second"))
    assert (out.read_bytes(), out.stat().st_mode & 0o777) == (b"first", 0o600)
    with pytest.raises(NotFoundError):
        looking.save(tmp_path / "none" / "mine", sealed(b"x"))
