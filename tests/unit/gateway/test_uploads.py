# SPDX-License-Identifier: Apache-2.0
"""Uploads that can be interrupted: whoever began one goes on with it, byte for byte; nothing else is kept."""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.embedded import EmbeddedStore
from consentum.adapters.store import uploads
from consentum.adapters.store.uploads import UploadFolder
from consentum.crypto.signing import WalletKey
from consentum.domain.cid import RAW, Cid
from consentum.errors import ConflictError, CorruptError, MalformedError, NotFoundError, Reason, RefusedError
from consentum.services.gateway import content as routes
from tests.unit.client.world import World
from tests.unit.gateway.routes import problem, session

CONTENT = os.urandom(500_000)
CID = unixfs.cid_of(io.BytesIO(CONTENT))
HOSPITAL, OTHER = "0x" + "ab" * 20, "0x" + "cd" * 20


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    made = EmbeddedStore(tmp_path / "blocks.db")
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path, store: EmbeddedStore, clock: Clock) -> UploadFolder:
    return UploadFolder(tmp_path / "uploads", store, clock)


def spooled(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "uploads").glob("*.part"))


def whole(folder: UploadFolder, cid: Cid = CID, content: bytes = CONTENT) -> uploads.Upload:
    begun = folder.begin(HOSPITAL, cid, len(content))
    folder.append(HOSPITAL, begun.id, begun.offset, content[begun.offset :])
    return folder.complete(HOSPITAL, begun.id, 10)


def test_pieces_become_the_content_and_leave_no_spool(
    folder: UploadFolder, store: EmbeddedStore, tmp_path: Path
) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    for start in range(0, len(CONTENT), 200_000):
        assert folder.complete(HOSPITAL, begun.id, 10).state == "open"
        found = folder.append(HOSPITAL, begun.id, start, CONTENT[start : start + 200_000])
        assert found.offset == min(start + 200_000, len(CONTENT))
    assert folder.complete(HOSPITAL, begun.id, 10).state == "stored"
    assert store.read_at(CID, 0, 1 << 20) == CONTENT
    assert spooled(tmp_path) == []


def test_begun_again_it_is_the_same_upload_and_goes_on(folder: UploadFolder) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])
    again = folder.begin(HOSPITAL.upper().replace("0X", "0x"), CID, len(CONTENT))
    assert (again.id, again.offset) == (begun.id, 1000)


def test_a_stored_one_begun_again_needs_nothing_more_unless_the_store_lost_it(
    folder: UploadFolder, store: EmbeddedStore
) -> None:
    done = whole(folder)
    assert folder.begin(HOSPITAL, CID, len(CONTENT)) == done
    store.remove(CID)
    assert folder.begin(HOSPITAL, CID, len(CONTENT)).offset == 0
    assert whole(folder).state == "stored"
    assert store.has(CID)


def test_what_another_process_wrote_but_never_counted_is_written_over(folder: UploadFolder, tmp_path: Path) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])
    [path] = spooled(tmp_path)
    path.write_bytes(path.read_bytes() + bytes(len(CONTENT)))
    assert folder.begin(HOSPITAL, CID, len(CONTENT)).offset == 1000
    assert whole(folder).state == "stored"


def test_a_spool_that_lost_bytes_it_had_counted_begins_anew(folder: UploadFolder, tmp_path: Path) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])
    [path] = spooled(tmp_path)
    path.write_bytes(b"short")
    assert folder.begin(HOSPITAL, CID, len(CONTENT)).offset == 0
    assert whole(folder).state == "stored"


@pytest.mark.parametrize("offset", [0, 999, 1001, len(CONTENT)])
def test_a_wrong_offset_is_a_conflict_that_names_the_right_one(folder: UploadFolder, offset: int) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])
    with pytest.raises(ConflictError, match="1000"):
        folder.append(HOSPITAL, begun.id, offset, b"x")
    assert folder.find(HOSPITAL, begun.id).offset == 1000


def test_more_than_was_declared_is_not_kept(folder: UploadFolder, tmp_path: Path) -> None:
    begun = folder.begin(HOSPITAL, CID, 1_000)
    with pytest.raises(MalformedError):
        folder.append(HOSPITAL, begun.id, 0, CONTENT[:1_001])
    assert (folder.find(HOSPITAL, begun.id).offset, spooled(tmp_path)[0].stat().st_size) == (0, 0)


def test_a_whole_upload_of_another_content_is_corrupt_and_nothing_of_it_stays(
    folder: UploadFolder, store: EmbeddedStore, tmp_path: Path
) -> None:
    wrong = unixfs.cid_of(io.BytesIO(b"wrong"))
    with pytest.raises(CorruptError):
        whole(folder, wrong)
    assert (spooled(tmp_path), store.has(wrong), store.has(CID)) == ([], False, False)
    begun = folder.begin(HOSPITAL, wrong, len(CONTENT))  # said again it is a new one
    assert (begun.offset, begun.state) == (0, "open")


@pytest.mark.parametrize("size", [0, (1 << 40) + 1])
def test_a_size_that_no_content_has_is_malformed(folder: UploadFolder, size: int) -> None:
    with pytest.raises(MalformedError):
        folder.begin(HOSPITAL, CID, size)


def test_the_same_content_of_another_size_is_a_conflict(folder: UploadFolder) -> None:
    folder.begin(HOSPITAL, CID, 10)
    with pytest.raises(ConflictError) as caught:
        folder.begin(HOSPITAL, CID, 11)
    assert caught.value.field == "size"


def test_a_strangers_upload_is_not_found(folder: UploadFolder) -> None:
    begun = folder.begin(HOSPITAL, CID, 10)
    asked: list[Callable[[], Any]] = [
        lambda: folder.find(OTHER, begun.id),
        lambda: folder.append(OTHER, begun.id, 0, b"x"),
        lambda: folder.complete(OTHER, begun.id, 0),
        lambda: folder.find(HOSPITAL, "../uploads"),
    ]
    for ask in asked:
        with pytest.raises(NotFoundError):
            ask()
    assert folder.begin(OTHER, CID, 10).id != begun.id


def test_too_many_at_a_time_or_too_much_in_all_is_refused_by_depositor(
    folder: UploadFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(uploads.MAX_OPEN):
        folder.begin(HOSPITAL, Cid.of(RAW, b"%d" % number), 10)
    with pytest.raises(RefusedError) as caught:
        folder.begin(HOSPITAL, CID, 10)
    assert caught.value.reason is Reason.LIMIT
    folder.begin(HOSPITAL, Cid.of(RAW, b"0"), 10)  # one of them goes on
    folder.begin(OTHER, CID, 10)
    monkeypatch.setattr(uploads, "MAX_OPEN_BYTES", 100)
    with pytest.raises(RefusedError):
        folder.begin(OTHER, Cid.of(RAW, b"more"), 91)


def test_a_full_disk_is_refused_before_the_first_byte(folder: UploadFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 1, 9))
    with pytest.raises(RefusedError) as caught:
        folder.begin(HOSPITAL, CID, 10)
    assert caught.value.reason is Reason.STORE_UNAVAILABLE


def test_a_disk_that_fills_up_meanwhile_refuses_the_piece_and_keeps_the_rest(
    folder: UploadFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        with pytest.raises(RefusedError, match="No space"):
            folder.append(HOSPITAL, begun.id, 1000, CONTENT[1000:2000])
    assert folder.begin(HOSPITAL, CID, len(CONTENT)).offset == 1000
    assert whole(folder).state == "stored"


def test_what_nobody_came_back_for_is_forgotten(folder: UploadFolder, clock: Clock, tmp_path: Path) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT[:1000])
    clock.now += uploads.STALE_SECONDS
    folder.sweep()
    assert folder.find(HOSPITAL, begun.id).offset == 1000
    clock.now += 1
    folder.sweep()
    assert spooled(tmp_path) == []
    with pytest.raises(NotFoundError):
        folder.find(HOSPITAL, begun.id)


def test_two_who_send_at_once_do_not_mix(folder: UploadFolder) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    with folder._locked(begun.id), pytest.raises(ConflictError):
        folder.append(HOSPITAL, begun.id, 0, CONTENT)
    assert folder.append(HOSPITAL, begun.id, 0, CONTENT).offset == len(CONTENT)


def test_a_store_that_does_not_answer_is_asked_again_by_the_next_question(
    folder: UploadFolder, store: EmbeddedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = folder.begin(HOSPITAL, CID, len(CONTENT))
    folder.append(HOSPITAL, begun.id, 0, CONTENT)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_closed", True)
        assert folder.complete(HOSPITAL, begun.id, 10).state == "open"
    assert folder.complete(HOSPITAL, begun.id, 10).state == "stored"


# The routes


def begin(client: TestClient, who: WalletKey, **body: Any) -> Any:
    return client.post("/v1/uploads", json=body, headers=session(client, who))


def test_an_upload_by_http_ends_with_its_root(client: TestClient, world: World) -> None:
    headers = session(client, world.hospital)
    begun = client.post("/v1/uploads", json={"cid": str(CID), "size": len(CONTENT)}, headers=headers).json()
    assert (begun["offset"], begun["root"], begun["size"]) == (0, None, len(CONTENT))
    where, answer = f"/v1/uploads/{begun['upload']}", begun
    while answer["root"] is None:
        at = answer["offset"]
        head = client.head(where, headers=headers)
        assert (head.status_code, head.headers["Upload-Offset"], head.content) == (200, str(at), b"")
        piece = CONTENT[at : at + answer["piece"]]
        response = client.patch(where, content=piece, headers={**headers, "Upload-Offset": str(at)})
        answer = response.json()
        assert response.headers["Upload-Offset"] == str(answer["offset"])
    assert answer["root"] == str(CID)
    assert client.get(where, headers=headers).json() == answer
    found = client.get(f"/ipfs/{CID}?format=raw")
    assert (found.content, found.headers["content-type"]) == (CONTENT, routes.RAW_TYPE)


def test_only_who_began_it_knows_of_an_upload(client: TestClient, world: World) -> None:
    where = f"/v1/uploads/{begin(client, world.hospital, cid=str(CID), size=10).json()['upload']}"
    headers = session(client, world.alice)
    problem(client.get(where, headers=headers), 404, "NOT_FOUND")
    problem(client.patch(where, content=b"x", headers={**headers, "Upload-Offset": "0"}), 404, "NOT_FOUND")
    assert client.head(where, headers=headers).status_code == 404
    problem(client.get(where), 403, "SIGNATURE")
    problem(client.patch(where, content=b"x", headers={"Upload-Offset": "0"}), 403, "SIGNATURE")
    problem(begin(client, world.alice, cid=str(CID), size=10), 404, "NOT_FOUND")


BAD: list[dict[str, Any]] = [
    {},
    {"cid": str(CID)},
    {"cid": str(CID), "size": 10, "more": 1},
    {"cid": 1, "size": 10},
    {"cid": "Qm", "size": 10},
    *({"cid": str(CID), "size": size} for size in (0, -1, 1.5, "10", True, (1 << 40) + 1)),
]


@pytest.mark.parametrize("body", BAD, ids=range(len(BAD)))
def test_what_is_no_upload_is_malformed(client: TestClient, world: World, body: dict[str, Any]) -> None:
    problem(begin(client, world.hospital, **body), 400, "MALFORMED")


@pytest.mark.parametrize("offset", [None, "-1", "x", "1.5", str(1 << 41), "1"])
def test_a_piece_without_its_right_offset_is_refused(client: TestClient, world: World, offset: str | None) -> None:
    where = f"/v1/uploads/{begin(client, world.hospital, cid=str(CID), size=10).json()['upload']}"
    headers = session(client, world.hospital) | ({} if offset is None else {"Upload-Offset": offset})
    status, code = (409, "CONFLICT") if offset == "1" else (400, "MALFORMED")
    problem(client.patch(where, content=b"x", headers=headers), status, code)
