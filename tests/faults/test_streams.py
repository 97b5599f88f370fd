# SPDX-License-Identifier: Apache-2.0
"""Large contents in processes of their own: memory that does not grow with them, and kill -9 in the middle of it all.
What had arrived does not travel again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from consentum.domain.cid import Cid
from consentum.wiring.ports import free_port
from tests.e2e.stack import until

pytestmark = pytest.mark.processes
MIB = 1 << 20
SIZE = 256 * MIB
PIECE = 8 * MIB
BOUND = 64 * MIB
SMALL = 96 * MIB


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "tests.faults.streaming", *map(str, words)]


@dataclass
class Streams:
    """One gateway, and clients with a folder of their own."""

    folder: Path
    port: int
    client: Path
    process: subprocess.Popen[bytes] | None = None
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(command("gateway", self.folder, self.port))
        assert until(self.answers, 60)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/peak", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def peak(self) -> int:
        return int(httpx.get(f"{self.url}/peak", trust_env=False).json()["peak"])

    def run(self, what: str, *words: object) -> dict[str, Any]:
        """The last line of a client that runs to its end."""
        made = subprocess.run(command(what, self.client, *words), stdout=subprocess.PIPE, check=True, text=True)
        last: dict[str, Any] = json.loads(made.stdout.splitlines()[-1])
        return last

    def begin(self, what: str, cid: Cid) -> subprocess.Popen[str]:
        words = command(what, self.client, self.url, cid)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.running.append(process)
        return process

    def sealed(self, size: int) -> Cid:
        return Cid.parse(self.run("seal", size)["cid"])

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        self.kill()


@pytest.fixture
def streams(tmp_path: Path) -> Iterator[Streams]:
    for name in ("gateway", "client"):
        (tmp_path / name).mkdir()
    made = Streams(tmp_path / "gateway", free_port(), tmp_path / "client")
    made.start()
    yield made
    made.stop()


def reach(process: subprocess.Popen[str], done: int) -> None:
    """Returns when the client says that so many bytes are done."""
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("done", 0) >= done:
            return
    raise AssertionError("the client ended before")


def die(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def spooled(streams: Streams) -> list[Path]:
    return list((streams.folder / "uploads").glob("*.part"))


def test_memory_does_not_grow_with_a_record_anywhere_on_its_way(streams: Streams) -> None:
    before = streams.peak()
    sealed = streams.run("seal", SIZE)
    cid = Cid.parse(sealed["cid"])
    uploaded = streams.run("upload", streams.url, cid)
    fetched = streams.run("download", streams.url, cid)
    grown = [sealed["grown"], uploaded["grown"], fetched["grown"], streams.peak() - before]
    assert max(grown) <= BOUND, grown
    assert (streams.client / "out").stat().st_size == SIZE
    assert spooled(streams) == []
    assert streams.run("middle", streams.url, cid) | {"seconds": 0} == {"fetched": 5, "length": MIB, "seconds": 0}


def test_an_upload_whose_client_was_killed_goes_on_where_it_was(streams: Streams) -> None:
    cid = streams.sealed(SMALL)
    client = streams.begin("upload", cid)
    reach(client, 4 * PIECE)
    die(client)
    sent = streams.run("upload", streams.url, cid)["sent"]
    assert sent <= SMALL - 4 * PIECE + MIB
    assert streams.run("download", streams.url, cid)["fetched"] > SMALL // MIB
    assert spooled(streams) == []


def test_an_upload_whose_gateway_was_killed_goes_on_with_the_next(streams: Streams) -> None:
    cid = streams.sealed(SMALL)
    client = streams.begin("upload", cid)
    reach(client, 4 * PIECE)
    streams.kill()
    streams.start()
    assert client.stdout is not None
    told = json.loads(client.stdout.read().splitlines()[-1])
    assert client.wait() == 0
    # Every try while nobody answers counts its piece as sent; of what had arrived nothing was.
    assert told["sent"] >= SMALL
    assert streams.run("upload", streams.url, cid)["sent"] == 0
    assert streams.run("download", streams.url, cid)["fetched"] > SMALL // MIB


def test_a_gateway_killed_with_a_whole_upload_stores_it_when_it_is_asked_again(streams: Streams) -> None:
    cid = streams.sealed(SMALL)
    client = streams.begin("upload", cid)
    reach(client, SMALL)
    streams.kill()  # all pieces are there; most likely it is being stored
    die(client)
    streams.start()
    assert streams.run("upload", streams.url, cid)["sent"] <= PIECE
    assert streams.run("download", streams.url, cid)["fetched"] > SMALL // MIB


@pytest.mark.parametrize("victim", ["client", "gateway"])
def test_a_download_that_was_killed_fetches_only_what_had_not_arrived(streams: Streams, victim: str) -> None:
    cid = streams.sealed(SMALL)
    streams.run("upload", streams.url, cid)
    blocks = SMALL // MIB + 2  # the last leaf is the tags', and there is a root
    client = streams.begin("download", cid)
    reach(client, 32 * MIB)
    if victim == "client":
        die(client)
    else:
        streams.kill()
        client.wait()
        streams.start()
    assert not (streams.client / "out").exists()
    again = streams.run("download", streams.url, cid)
    assert again["fetched"] <= blocks - 32
    assert (streams.client / "out").stat().st_size == SMALL
    assert list((streams.client / "cache.blocks").iterdir()) == []
