# SPDX-License-Identifier: Apache-2.0
"""Real Kubo nodes for tests: fixtures that a conftest takes over by importing them."""

from __future__ import annotations

import io
import json
import os
import random
import re
import shutil
import sys
from base64 import b32encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from consentum.adapters.ipfs import unixfs
from consentum.adapters.ipfs.kubo import KuboStore
from consentum.domain.cid import DAG_PB, Cid
from consentum.errors import CorruptError
from consentum.ports.content import ContentStore
from scripts.demonstration.kubo import KuboNode

SKIP = "CONSENTUM_SKIP_KUBO"

NewKubo = Callable[[], KuboNode]


def program() -> str:
    """The `ipfs` on PATH. Without one the test fails, or is skipped where CONSENTUM_SKIP_KUBO=1 says so."""
    found = shutil.which("ipfs")
    if found is None and os.environ.get(SKIP) == "1":
        pytest.skip(f"no Kubo, and {SKIP}=1")
    assert found, f"no `ipfs` on PATH: run ./scripts/test, or set {SKIP}=1 to go without"
    return found


@pytest.fixture(scope="session")
def new_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewKubo]:
    """Makes a private node; those that still run at the end are ended."""
    nodes: list[KuboNode] = []

    def make() -> KuboNode:
        nodes.append(KuboNode.start(tmp_path_factory.mktemp("kubo"), program()))
        return nodes[-1]

    yield make
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def kubo(new_kubo: NewKubo) -> KuboNode:
    """One node for all tests of a process: what they put into it they must not expect to be alone."""
    return new_kubo()


@pytest.fixture(scope="session")
def kubos(new_kubo: NewKubo) -> list[KuboNode]:
    """Three nodes in repositories of their own, under the same terms."""
    return [new_kubo() for _ in range(3)]


class KuboBench:
    """A store on a node, and hands to damage its blocks with. The node may be used again: `close` empties it."""

    def __init__(self, node: KuboNode, store: ContentStore) -> None:
        self.node, self.store = node, store
        self._before = self._local()

    def held(self) -> set[Cid]:
        """What came since; a node keeps blocks by their hash, so their codec is told by their bytes."""
        return {_named(raw, self._file(raw).read_bytes()) for raw in self._local() - self._before}

    def plant(self, cid: Cid, block: bytes) -> None:
        """Writes other bytes into the node's own file."""
        self._file(cid).write_bytes(block)

    def drop(self, cid: Cid) -> None:
        """The node itself forgets the block, and with it every pin that would keep it."""
        while "pinned" in (said := self.node.call("block/rm", arg=str(cid), force="true")):
            via = json.loads(said)["Error"].rpartition(" ")[2]
            self.node.call("pin/rm", arg=str(cid) if via == "recursive" else via)

    def close(self) -> None:
        self.store.close()
        for pin in json.loads(self.node.call("pin/ls", type="recursive")).get("Keys", {}):
            self.node.call("pin/rm", arg=pin)
        self.node.call("repo/gc", quiet="true")

    def _local(self) -> set[Cid]:
        lines = self.node.call("refs/local").splitlines()
        return {Cid.parse(json.loads(line)["Ref"]) for line in lines}

    def _file(self, cid: Cid) -> Path:
        name = b32encode(cid.raw[2:]).decode().rstrip("=")
        return self.node.folder / "blocks" / name[-3:-1] / f"{name}.data"


def _named(raw: Cid, block: bytes) -> Cid:
    node = Cid(b"\x01" + bytes([DAG_PB]) + raw.raw[2:])
    with suppress(CorruptError):
        unixfs.decode_node(node, block)
        return node
    return raw


class Pattern(io.BytesIO):
    """A file of `size` bytes, each mebibyte of which differs, made as it is read."""

    _BASE = random.Random(1).randbytes(1 << 20)

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size, self._at = size, 0

    def at(self, offset: int, length: int) -> bytes:
        """Some of it, from within one mebibyte."""
        index, within = divmod(offset, 1 << 20)
        return (b"%8d" % index + self._BASE[8:])[within : within + min(length, self._size - offset)]

    def read(self, size: int | None = -1, /) -> bytes:
        left = self._size - self._at if size is None or size < 0 else min(size, self._size - self._at)
        pieces = []
        while left > 0:
            pieces.append(self.at(self._at, min(left, (1 << 20) - self._at % (1 << 20))))
            self._at += len(pieces[-1])
            left -= len(pieces[-1])
        return b"".join(pieces)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        assert whence == 0
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at


def _peak() -> int:
    """The most memory this process ever had, in KiB."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def _put(url: str, size: int) -> None:
    """What a child of the tests does: prints the root, and by how many KiB its peak of memory grew."""
    store = KuboStore(url)
    store.remove(store.put(Pattern(5 << 20)))
    before = _peak()
    root = store.put(Pattern(size))
    print(root, _peak() - before)
    store.close()


if __name__ == "__main__":
    _put(sys.argv[1], int(sys.argv[2]))
