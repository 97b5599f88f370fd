# SPDX-License-Identifier: Apache-2.0
"""A key server's folder: secrets for its owner alone, never replaced, never served by two."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consentum.adapters.store.files import FolderLock
from consentum.adapters.store.keyserver import KeyServerStore
from consentum.crypto.signing import WalletKey
from consentum.errors import KeyFileError, SettingsError
from consentum.settings import KeyServerSettings
from consentum.wiring.key_file import KeyFile
from consentum.wiring.keyserver import KEY_FILE, VAULT_FILE, build, initialise
from tests.fakes.ledger import fake_deployment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that `init` has made."""
    made = tmp_path / "server"
    initialise(made, settings(tmp_path))
    return made


def settings(where: Path) -> KeyServerSettings:
    fake_deployment().save(where / "31337.json")
    return KeyServerSettings(
        rpc="http://127.0.0.1:1", deployment=str(where / "31337.json"), port=8101, endpoint="http://localhost:8101"
    )


def test_a_key_file_is_its_owners_alone(folder: Path) -> None:
    assert (folder / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_the_settings(folder: Path) -> None:
    text = (folder / "settings.json").read_text()
    keys = json.loads((folder / KEY_FILE).read_text())
    assert not any(keys[name] in text for name in ("account", "checkpoint", "master"))


def test_what_was_created_is_what_is_loaded(tmp_path: Path) -> None:
    made = KeyFile.create(tmp_path / KEY_FILE)
    assert KeyFile.load(tmp_path / KEY_FILE) == made
    assert len({made.account, made.checkpoint, made.master, made.sealing[1]}) == 4


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o610, 0o601])
def test_a_key_file_that_others_can_touch_is_refused(folder: Path, mode: int) -> None:
    (folder / KEY_FILE).chmod(mode)
    with pytest.raises(KeyFileError):
        build(folder)


def damage(path: Path, **changes: object) -> None:
    data = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            del data[key]
        else:
            data[key] = value
    path.write_text(json.dumps(data))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"7", b'"keys"', b"\xff\xfe", b"{}"])
def test_a_key_file_that_is_none_is_refused(folder: Path, content: bytes) -> None:
    (folder / KEY_FILE).write_bytes(content)
    with pytest.raises(KeyFileError):
        build(folder)


@pytest.mark.parametrize("name", ["account", "checkpoint", "master", "sealing"])
@pytest.mark.parametrize("value", [None, "", "zz" * 32, "11" * 31, "11" * 33, 7, [], {"x": "11" * 32}, {"1": "11"}])
def test_a_damaged_key_is_refused_and_not_shown(folder: Path, name: str, value: object) -> None:
    secret = json.loads((folder / KEY_FILE).read_text())["master"]
    damage(folder / KEY_FILE, **{name: value})
    with pytest.raises(KeyFileError) as caught:
        build(folder)
    assert secret not in str(caught.value)


def test_a_key_file_without_a_sealing_key_is_refused(folder: Path) -> None:
    damage(folder / KEY_FILE, sealing={})
    with pytest.raises(KeyFileError):
        build(folder)


def test_a_second_init_is_refused_and_changes_nothing(folder: Path, tmp_path: Path) -> None:
    before = (folder / KEY_FILE).read_bytes()
    with pytest.raises(KeyFileError):
        initialise(folder, settings(tmp_path))
    assert (folder / KEY_FILE).read_bytes() == before


def test_a_folder_without_its_keys_but_with_a_vault_is_refused(folder: Path) -> None:
    KeyServerStore(folder / VAULT_FILE, bytes(32)).close()
    (folder / KEY_FILE).unlink()
    with pytest.raises(KeyFileError):
        build(folder)
    assert not (folder / KEY_FILE).exists()


def test_a_second_process_on_one_folder_is_refused(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from consentum.wiring.keyserver import build; build(Path(sys.argv[1]))"
    )
    first = build(folder)
    try:
        with pytest.raises(SettingsError):
            build(folder)
        command = [sys.executable, "-c", program, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        assert "another process serves this folder" in done.stderr
    finally:
        first.stop()
    build(folder).stop()


WARD = "0x" + "aB" * 20


@pytest.mark.parametrize(
    ("said", "may_deposit"),
    [
        ({}, frozenset()),  # nobody, unless somebody is named
        ({"custodians": (WARD,)}, frozenset({WARD.lower()})),
        ({"unsafe_any_custodian": True}, None),  # anybody
    ],
)
def test_who_deposits_at_a_key_server_is_who_its_settings_say(
    tmp_path: Path, said: dict[str, Any], may_deposit: frozenset[str] | None
) -> None:
    initialise(tmp_path / "server", replace(settings(tmp_path), **said))
    process = build(tmp_path / "server")
    try:
        assert process.server.custodians == may_deposit
    finally:
        process.stop()


def test_a_lock_ends_with_its_holder(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_built_server_is_the_one_its_keys_say_and_serves_nothing_yet(folder: Path) -> None:
    process = build(folder)
    try:
        assert process.server.address == WalletKey(KeyFile.load(folder / KEY_FILE).account).address
        assert process.server.behind_anchor
    finally:
        process.stop()
