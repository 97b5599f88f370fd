# SPDX-License-Identifier: Apache-2.0
"""The proofs at the end: Anna's entries against the anchored root, an edited row, the search for a canary."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from consentum.adapters.peers.http import HttpClient
from consentum.crypto import merkle
from consentum.crypto.checkpoint import open_note
from consentum.domain.journal import Entry
from consentum.domain.parsing import as_bytes
from consentum.errors import ConsentumError, Reason
from consentum.flow.keyserver.anchor import origin_of
from scripts.demonstration.people import Patient
from scripts.demonstration.story import Story
from scripts.demonstration.system import KeyServerProcess, System

ANCHOR_WAIT_SECONDS = 30


def verify_journal(system: System, server: KeyServerProcess, patient: Patient, story: Story) -> bool:
    """The patient signs in, reads what was decided about her record, and proves one entry against the chain."""
    client = HttpClient(server.endpoint)
    client.sign_in(patient.key, system.deployment.user_domain)
    rows = client.get("/v1/journal/entries", subject=patient.address)["entries"]
    for row in rows:
        entry = Entry(**row["entry"])
        when = time.strftime("%H:%M:%S", time.gmtime(entry.decided_at))
        story.say(
            f"      entry {row['index']}: {when} UTC, {Reason(entry.reason).name}, block {entry.latest.split(':')[0]}"
        )
    index, entry = next((r["index"], Entry(**r["entry"])) for r in rows if r["entry"]["reason"] == Reason.ALLOWED)
    anchored = system.ledger.anchor_of(system.ledger.view().latest, server.address)
    deadline = time.monotonic() + ANCHOR_WAIT_SECONDS
    while anchored.size <= index and time.monotonic() < deadline:
        story.doing("waiting for the next anchor")
        time.sleep(0.3)
        anchored = system.ledger.anchor_of(system.ledger.view().latest, server.address)
    answer = client.get("/v1/journal/inclusion", index=index, size=anchored.size)
    proof = [as_bytes(node, "proof", 32) for node in answer["proof"]]
    leaf = merkle.leaf_hash(entry.to_bytes())
    merkle.verify_inclusion(leaf, index, anchored.size, proof, anchored.root)
    key = system.ledger.server_keys(system.ledger.view().latest, server.address).checkpoint_key
    note = open_note(client.text("/v1/journal/checkpoint"), origin_of(server.address), key)
    answer = client.get("/v1/journal/consistency", old=anchored.size, new=note.size)
    path = [as_bytes(node, "proof", 32) for node in answer["proof"]]
    merkle.verify_consistency(anchored.size, anchored.root, note.size, note.root, path)
    story.say(
        f"entry {index} is in the tree of {anchored.size} leaves whose root {anchored.root.hex()[:16]}… is on chain"
    )
    return True


def strangers_see_nothing(system: System, server: KeyServerProcess, patient: Patient, stranger: Patient) -> bool:
    """Somebody else asks for the same entries: the answer is the one for entries that do not exist."""
    client = HttpClient(server.endpoint)
    client.sign_in(stranger.key, system.deployment.user_domain)
    try:
        client.get("/v1/journal/entries", subject=patient.address)
    except ConsentumError as error:
        return error.code == "NOT_FOUND"
    return False


def edit_a_row(server: KeyServerProcess) -> int:
    """What an insider with the database might do: turn a release into a refusal. The index of the row."""
    database = sqlite3.connect(server.folder / "vault.db")
    index, raw = database.execute("SELECT position, entry FROM journal ORDER BY position LIMIT 1 OFFSET 3").fetchone()
    entry = json.loads(raw)
    entry["reason"] = int(Reason.REVOKED) if entry["reason"] == Reason.ALLOWED else int(Reason.ALLOWED)
    edited = json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()
    database.execute("UPDATE journal SET entry = ? WHERE position = ?", (edited, index))
    database.commit()
    database.close()
    return int(index)


def audit(server: KeyServerProcess) -> tuple[int, str]:
    """`consentum keyserver audit`: exit code and what it says."""
    command = [sys.executable, "-m", "consentum.cli.main", "keyserver", "audit", "--folder", str(server.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def find_everywhere(system: System, needle: bytes) -> list[str]:
    """Where a byte string occurs: every file of every process, every transaction on the chain."""
    places = [str(path.relative_to(system.folder)) for path in _files(system.folder) if needle in path.read_bytes()]
    height = int(system.rpc.call("eth_blockNumber"), 16)
    texts = system.rpc.batch([("eth_getBlockByNumber", [hex(n), True]) for n in range(height + 1)])
    in_hex = needle.hex()
    places += [f"block {n}" for n, block in enumerate(texts) if in_hex in json.dumps(block)]
    return places


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
