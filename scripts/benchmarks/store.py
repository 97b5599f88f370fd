# SPDX-License-Identifier: Apache-2.0
"""Storing and reading one large record, sealed: the embedded store, one Kubo, three Kubos; beside what the same node
does with `ipfs add` and `ipfs cat` without any sealing, and with `age` before and after.

Every round has a content of its own, so that no node finds blocks it has; what a round left is collected between the
measurements.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from consentum.crypto import envelope
from consentum.domain.cid import Cid
from consentum.ports.content import ContentStore
from consentum.settings import GatewaySettings
from consentum.wiring.content import content_store
from scripts.benchmarks.envelope import HEADER, MIB, age_keys, have_age
from scripts.benchmarks.measure import Run, Suite, seconds_of
from scripts.demonstration.kubo import KuboNode

ROUNDS = 3
COPIES = 3
STORES = ("embedded", "kubo1", "kubo3")
KEYS = (
    {f"{name}_{way}_mb_s": "MB/s" for name in (*STORES, "ipfs", "age_ipfs") for way in ("in", "out")}
    | {"in_memory_peak_mib": "MiB", "out_memory_peak_mib": "MiB"}
    | {f"ratio_{way}_to_{peer}": "ratio" for peer in ("ipfs", "age_ipfs") for way in ("in", "out")}
    | {f"ratio3_{way}_to_ipfs": "ratio" for way in ("in", "out")}
)

# In a process of its own, because a peak never falls again.
_MEMORY = """
import re, sys
from pathlib import Path
from consentum.adapters.ipfs.kubo import KuboStore
from scripts.benchmarks import store
way, url, key, path, cid = sys.argv[1:]
held, base = KuboStore(url), re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
if way == "in":
    print(store.put_sealed(held, bytes.fromhex(key), Path(path)), file=sys.stderr)
else:
    store.get_opened(held, bytes.fromhex(key), store.Cid.parse(cid), Path(path))
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) - int(base))
"""


def put_sealed(store: ContentStore, key: bytes, plain: Path) -> Cid:
    """Seals and stores a file at once: what is sealed goes through a pipe, never to a disk of ours."""
    with _piped(lambda sink: _seal(key, plain, sink)) as source:
        return store.put(source)


def get_opened(store: ContentStore, key: bytes, cid: Cid, opened: Path) -> None:
    """Reads, verifies and opens at once."""
    with _piped(lambda sink: store.read(cid, sink)) as source, opened.open("wb") as sink:
        envelope.open_stream(key, source, sink)


def _seal(key: bytes, plain: Path, sink: BinaryIO) -> None:
    with plain.open("rb") as source:
        envelope.seal_stream(key, HEADER, source, sink)


@contextmanager
def _piped(write: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    """What `write` writes, in a thread, to be read meanwhile; its error is raised at the end."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, MIB)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with open(writer, "wb", buffering=0) as sink:
                write(sink)
        except BaseException as error:  # noqa: BLE001 - raised by who waits
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        with open(reader, "rb", buffering=MIB) as source:
            yield source
    finally:
        thread.join()
    if failed:
        raise failed[0]


@dataclass(slots=True)
class Contest:
    """The files of a round, the stores, and the shortest seconds so far."""

    run: Run
    folder: Path
    size: int
    node: KuboNode
    stores: dict[str, ContentStore]
    shortest: dict[str, float] = field(default_factory=dict)

    @property
    def plain(self) -> Path:
        return self.folder / "plain"

    @property
    def opened(self) -> Path:
        return self.folder / "opened"

    def time(self, key: str, action: Callable[[], object]) -> None:
        self.run.story.doing(key.replace("_", " "))
        self.shortest[key] = min(seconds_of(action), self.shortest.get(key, math.inf))

    def check(self, name: str) -> None:
        if subprocess.run(["cmp", "-s", str(self.plain), str(self.opened)], check=False).returncode:
            raise RuntimeError(f"{name}: what was read is not what was stored")
        self.opened.unlink()

    def fresh(self) -> None:
        with self.plain.open("wb") as sink:
            for _ in range(self.size // MIB):
                sink.write(os.urandom(MIB))

    def ours(self, name: str) -> None:
        store, key, roots = self.stores[name], envelope.new_key(), []
        self.time(f"{name}_in", lambda: roots.append(put_sealed(store, key, self.plain)))
        self.time(f"{name}_out", lambda: get_opened(store, key, roots[0], self.opened))
        self.check(name)
        store.remove(roots[0])

    def ipfs(self) -> None:
        """The same bytes, as they are: nothing sealed, nothing verified but by the node."""
        roots: list[str] = []
        self.time("ipfs_in", lambda: roots.append(self._add(self.plain)))
        self.time("ipfs_out", lambda: self._cat(roots[0], self.opened))
        self.check("ipfs")
        self.forget(roots[0])

    def age(self, recipient: str, identity: Path) -> None:
        """Sealed by age into a file, added; read into a file, opened by age."""
        sealed, roots = self.folder / "age", list[str]()

        def put() -> None:
            subprocess.run(["age", "-r", recipient, "-o", str(sealed), str(self.plain)], check=True)
            roots.append(self._add(sealed))

        def get() -> None:
            self._cat(roots[0], sealed)
            subprocess.run(["age", "-d", "-i", str(identity), "-o", str(self.opened), str(sealed)], check=True)

        self.time("age_ipfs_in", put)
        self.time("age_ipfs_out", get)
        self.check("age")
        self.forget(roots[0])

    def forget(self, root: str) -> None:
        self.node.call("pin/rm", arg=root)
        self.node.call("repo/gc", quiet="true")

    def _ipfs(self, *words: str, **options: BinaryIO) -> str:
        api = re.sub(r"http://(.+):(\d+)", r"/ip4/\1/tcp/\2", self.node.rpc_url)
        command = [self.node.program, "--api", api, *words]
        done = subprocess.run(command, check=True, stderr=subprocess.PIPE, **({"stdout": subprocess.PIPE} | options))  # type: ignore[call-overload]
        return (done.stdout or b"").decode().strip()

    def _add(self, path: Path) -> str:
        return self._ipfs("add", "--quieter", "--progress=false", str(path))

    def _cat(self, root: str, path: Path) -> None:
        with path.open("wb") as sink:
            self._ipfs("cat", "--progress=false", root, stdout=sink)


def _memory(contest: Contest) -> dict[str, float]:
    """What putting and getting needs beyond the program itself, in MiB."""
    key, url = envelope.new_key(), contest.node.rpc_url

    def peak(way: str, path: Path, cid: str) -> tuple[float, str]:
        command = [sys.executable, "-c", _MEMORY, way, url, key.hex(), str(path), cid]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
        return int(done.stdout) / 1_024, done.stderr.strip()

    contest.run.story.doing("memory")
    rise, cid = peak("in", contest.plain, "")
    found = {"in_memory_peak_mib": rise, "out_memory_peak_mib": peak("out", contest.opened, cid)[0]}
    contest.check("memory")
    contest.stores["kubo1"].remove(Cid.parse(cid))
    return found


def _store(folder: Path, ipfs: Sequence[str]) -> ContentStore:
    """As a gateway with these nodes has it."""
    folder.mkdir()
    settings = GatewaySettings(rpc="http://localhost:1", deployment="", port=1, endpoint="", ipfs=tuple(ipfs))
    return content_store(settings, folder)


def _measure(run: Run, folder: Path, program: str, stack: ExitStack) -> dict[str, float]:
    run.story.doing("four private nodes start")
    nodes = [KuboNode.start(folder / f"node-{number}", program) for number in range(1 + COPIES)]
    for node in nodes:
        stack.callback(node.stop)
    urls = [node.rpc_url for node in nodes]
    stores = {name: _store(folder / name, ipfs) for name, ipfs in zip(STORES, ((), urls[:1], urls[1:]), strict=True)}
    for store in stores.values():
        stack.callback(store.close)
    contest = Contest(run, folder, run.many(1_024, 8) * MIB, nodes[0], stores)
    keys = age_keys(folder) if have_age(run) else None
    for _ in range(run.many(ROUNDS, 1)):
        contest.fresh()
        for name in STORES:
            contest.ours(name)
        contest.ipfs()
        if keys:
            contest.age(*keys)
    found = {f"{key}_mb_s": contest.size / 1e6 / seconds for key, seconds in contest.shortest.items()}
    if Path("/proc/self/status").exists():
        found |= _memory(contest)
    return found | _ratios(found)


def measure(run: Run) -> dict[str, float]:
    """On the disk that temporary files lie on: nodes keep what they have on disks."""
    program = shutil.which("ipfs")
    if program is None:
        run.story.say("no Kubo is on this machine, and none could be got: this suite's keys are left out")
        return {}
    folder = run.folder / "store"
    folder.mkdir()
    with ExitStack() as stack:
        return _measure(run, folder, program, stack)


def _ratios(found: dict[str, float]) -> dict[str, float]:
    """Ours over theirs: above 1 we are faster."""
    made = {
        f"ratio_{way}_to_{peer}": found[f"kubo1_{way}_mb_s"] / found[f"{peer}_{way}_mb_s"]
        for peer in ("ipfs", "age_ipfs")
        for way in ("in", "out")
        if f"{peer}_{way}_mb_s" in found
    }
    return made | {
        f"ratio3_{way}_to_ipfs": found[f"kubo3_{way}_mb_s"] / found[f"ipfs_{way}_mb_s"] for way in ("in", "out")
    }


SUITE = Suite("store", "Storing and reading one record of 1 GiB", KEYS, measure, frozenset(KEYS))
