# SPDX-License-Identifier: Apache-2.0
"""A backup is whole, opens with its key alone, and brings a server back as it was; a restore is all or nothing."""

from __future__ import annotations

import io
import os
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from consentum.adapters.store import backup as files
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto import envelope, sealing
from consentum.crypto.signing import WalletKey
from consentum.errors import ConflictError, ConsentumError, CorruptError, KeyFileError, SettingsError
from consentum.settings import KeyServerSettings
from consentum.wiring import keyserver_care as care
from consentum.wiring.key_file import KeyFile
from consentum.wiring.keyserver import KEY_FILE, VAULT_FILE, initialise
from tests.conformance.server_rows import OK, decision, deposited, notice, row


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A server with a record, a notice and a journal."""
    made = tmp_path / "server"
    initialise(made, KeyServerSettings(rpc="http://127.0.0.1:1", deployment="none", port=7001, endpoint="http://x"))
    return made


@pytest.fixture
def store(folder: Path) -> KeyServerStore:
    store = KeyServerStore(folder / VAULT_FILE, KeyFile.load(folder / KEY_FILE).master)
    store.commit(decision([OK, OK]))
    store.add_notice(notice(), at=5)
    return store


@pytest.fixture
def key(tmp_path: Path) -> Path:
    care.make_backup_key(tmp_path / "backup.key")
    return tmp_path / "backup.key"


def public(key: Path) -> Path:
    return key.with_name("backup.key.pub")


def backed_up(folder: Path, key: Path, name: str = "copy") -> Path:
    out = folder.parent / name
    care.back_up(folder, out, public(key))
    return out


def test_a_restored_server_is_what_it_was(folder: Path, store: KeyServerStore, key: Path) -> None:
    mine = row()
    deposited(store, mine)
    out = backed_up(folder, key)
    keys = KeyFile.load(folder / KEY_FILE)
    new = folder.parent / "new"
    assert care.restore(out, new, key) == (WalletKey(keys.account).address, 2)
    assert KeyFile.load(new / KEY_FILE) == keys
    assert KeyServerSettings.load(new) == KeyServerSettings.load(folder)
    again = KeyServerStore(new / VAULT_FILE, keys.master)
    assert (again.root(), again.audit(), again.shares([mine.record.id])) == (store.root(), [], [mine.share])
    assert [arrival.at for arrival in again.arrivals(0, 9)] == [5]
    assert {path.stat().st_mode & 0o077 for path in (new, *new.iterdir()) if path.name != "lock"} == {0}


def test_a_backup_is_one_moment_while_the_server_writes(folder: Path, store: KeyServerStore, key: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            store.commit(replace(decision([OK, OK, OK]), notices=1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        outs = [backed_up(folder, key, f"copy{n}") for n in range(3)]
    finally:
        stop.set()
        writer.join()
    sizes = []
    for n, out in enumerate(outs):
        new = folder.parent / f"new{n}"
        sizes.append(care.restore(out, new, key)[1])
        again = KeyServerStore(new / VAULT_FILE, KeyFile.load(new / KEY_FILE).master)
        assert again.audit() == []
        assert again.root() == store.root(sizes[-1])
        again.close()
    assert sizes == sorted(sizes)
    assert all(size % 3 == 2 for size in sizes)


def test_nothing_of_the_folder_is_readable_in_a_backup(folder: Path, store: KeyServerStore, key: Path) -> None:
    content = backed_up(folder, key).read_bytes()
    keys = KeyFile.load(folder / KEY_FILE)
    for secret in (b"SQLite format 3", keys.master, keys.master.hex().encode(), b"account", b"ustar"):
        assert secret not in content
    assert (folder.parent / "copy").stat().st_mode & 0o077 == 0
    assert [path.name for path in folder.iterdir() if path.name.startswith(".backup-")] == []


def test_a_kept_file_is_never_written_over(folder: Path, store: KeyServerStore, key: Path) -> None:
    out = backed_up(folder, key)
    before = out.read_bytes()
    with pytest.raises(ConflictError):
        backed_up(folder, key)
    assert out.read_bytes() == before
    with pytest.raises(KeyFileError):
        care.make_backup_key(key)


def test_what_a_killed_backup_left_the_next_one_removes(folder: Path, store: KeyServerStore, key: Path) -> None:
    (folder / ".backup-dead").mkdir()
    (folder / ".backup-dead" / VAULT_FILE).write_bytes(b"half")
    backed_up(folder, key)
    assert not (folder / ".backup-dead").exists()


def test_a_backup_that_fails_leaves_no_file(folder: Path, key: Path) -> None:
    with pytest.raises(CorruptError):  # there is no vault yet
        backed_up(folder, key)
    assert not (folder.parent / "copy").exists()


def test_a_folder_that_is_no_servers_is_not_backed_up(tmp_path: Path, key: Path) -> None:
    with pytest.raises(SettingsError):
        care.back_up(tmp_path, tmp_path / "copy", public(key))


@pytest.mark.parametrize("content", ["", "0x00", "0x" + "zz" * 1216, "0x" + "ff" * 1216])
def test_a_recipient_that_is_no_key_is_refused(
    folder: Path, store: KeyServerStore, tmp_path: Path, content: str
) -> None:
    (tmp_path / "bad.pub").write_text(content)
    with pytest.raises(ConsentumError):
        care.back_up(folder, tmp_path / "copy", tmp_path / "bad.pub")
    assert not (tmp_path / "copy").exists()


# Restore: all or nothing


def damaged(out: Path, how: str) -> None:
    content = bytearray(out.read_bytes())
    if how == "cut":
        content = content[:-1]
    elif how == "cut in the key":
        content = content[:500]
    elif how == "longer":
        content += b"\0"
    elif how == "empty":
        content = bytearray()
    else:
        content[{"magic": 0, "key": 100, "body": len(content) // 2}[how]] ^= 1
    out.write_bytes(content)


@pytest.mark.parametrize("how", ["cut", "cut in the key", "longer", "empty", "magic", "key", "body"])
def test_a_damaged_backup_restores_nothing(folder: Path, store: KeyServerStore, key: Path, how: str) -> None:
    out = backed_up(folder, key)
    damaged(out, how)
    before = sorted(folder.parent.iterdir())
    with pytest.raises(CorruptError):
        care.restore(out, folder.parent / "new", key)
    assert sorted(folder.parent.iterdir()) == before


def test_another_key_opens_nothing(folder: Path, store: KeyServerStore, key: Path, tmp_path: Path) -> None:
    out = backed_up(folder, key)
    care.make_backup_key(tmp_path / "other.key")
    with pytest.raises(CorruptError):
        care.restore(out, tmp_path / "new", tmp_path / "other.key")
    assert not (tmp_path / "new").exists()


def test_the_public_half_and_a_readable_key_are_refused(folder: Path, store: KeyServerStore, key: Path) -> None:
    out = backed_up(folder, key)
    with pytest.raises(KeyFileError):
        care.restore(out, folder.parent / "new", public(key))
    os.chmod(key, 0o644)
    with pytest.raises(KeyFileError):
        care.restore(out, folder.parent / "new", key)


def test_nothing_is_restored_over_what_is_there(folder: Path, store: KeyServerStore, key: Path) -> None:
    out = backed_up(folder, key)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ConflictError):
        care.restore(out, folder, key)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("member", ["../evil", "/tmp/evil", "extra", "link", "instead", "vault"])
def test_an_archive_with_anything_else_in_it_restores_nothing(tmp_path: Path, key: Path, member: str) -> None:
    """Whoever has the public half can make a file that opens: it must not write outside, nor restore nonsense."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        names = {"vault": files.FILES, "instead": (*files.FILES[:2], str(tmp_path / "evil"))}
        for name in names.get(member, (*files.FILES, member)):
            info = tarfile.TarInfo(name)
            info.size = 4
            if name == "link":
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0
            tar.addfile(info, io.BytesIO(b"evil"))
    data_key, recipient = envelope.new_key(), bytes.fromhex(public(key).read_text().strip()[2:])
    sealed = envelope.seal(data_key, envelope.Header("backup.tar", "application/x-tar"), archive.getvalue())
    (tmp_path / "made").write_bytes(files.MAGIC + sealing.seal(data_key, recipient, files.MAGIC) + sealed)
    with pytest.raises(CorruptError):
        care.restore(tmp_path / "made", tmp_path / "new", key)
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "evil").exists()


# The rest of what an operator does


def test_draining_is_a_file_that_survives_a_restart(folder: Path) -> None:
    care.drain(folder, True)
    care.drain(folder, True)
    assert (folder / care.DRAIN_FILE).exists()
    care.drain(folder, False)
    care.drain(folder, False)
    assert not (folder / care.DRAIN_FILE).exists()


def test_another_epoch_keeps_every_key_there_was(folder: Path) -> None:
    keys = KeyFile.load(folder / KEY_FILE)
    later = keys.with_epoch(2)
    assert later.sealing.keys() == {1, 2}
    assert later.sealing[1] == keys.sealing[1] != later.sealing[2]
    assert (later.account, later.master, later.checkpoint) == (keys.account, keys.master, keys.checkpoint)
    assert KeyFile.from_bytes(later.to_bytes(), KEY_FILE) == later
