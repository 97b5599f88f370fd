# SPDX-License-Identifier: Apache-2.0
"""How records cross into the job's process: frames of length-prefixed JSON and content on one pipe; on another the job
asks for them, a line "start count" at a time. A large record comes without its content, of which the job asks for what
it needs: "position offset length". What comes from the job is as untrusted as the job."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any

from consentum.errors import ConsentChanged, CorruptError
from consentum.jobs.source import MAX_BATCH, Batch, JobRecord, Ranged, Source

MAX_META = 65_536
MAX_LINE = 48
MAX_READ = 1 << 20
_LINE = re.compile(rb"(\d{1,12}) (\d{1,3})\n")
_READ = re.compile(rb"(\d{1,12}) (\d{1,15}) (\d{1,7})\n")


def write(sink: IO[bytes], meta: dict[str, Any], content: bytes) -> None:
    """One frame: 4-byte length, JSON, 8-byte length, content."""
    head = json.dumps(meta).encode()
    sink.write(len(head).to_bytes(4, "big") + head + len(content).to_bytes(8, "big"))
    sink.write(content)


def end(sink: IO[bytes]) -> None:
    """The frame after the last: a reader that misses it knows that records are missing."""
    sink.write(bytes(4))
    sink.flush()


def read(source: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Frames until the end frame; CorruptError if the pipe ends before it."""
    while True:
        length = int.from_bytes(_exactly(source, 4), "big")
        if length == 0:
            return
        if length > MAX_META:
            raise CorruptError("a frame is too large")
        meta = json.loads(_exactly(source, length))
        yield meta, _exactly(source, int.from_bytes(_exactly(source, 8), "big"))


def serve(source: Source, sink: IO[bytes], asked: IO[bytes]) -> None:
    """The runner's side: says what there is, then answers until the job closes its pipe or asks for what cannot be."""
    write(sink, {}, json.dumps({"groups": list(source.groups), "schema": list(source.schema)}).encode())
    end(sink)
    while line := asked.readline(MAX_LINE):
        if words := _LINE.fullmatch(line):
            served = _serve_batch(source, sink, int(words[1]), int(words[2]))
        else:
            words = _READ.fullmatch(line)
            served = words is not None and _serve_read(source, sink, int(words[1]), int(words[2]), int(words[3]))
        if not served:
            return
        end(sink)


def _serve_batch(source: Source, sink: IO[bytes], start: int, count: int) -> bool:
    """Whether it was a question that can be."""
    if start > len(source.groups) or not 1 <= count <= MAX_BATCH:
        return False
    batch = source.batch(start, count)
    for record in batch.records:
        meta: dict[str, Any] = {"pseudonym": record.pseudonym, "name": record.name, "type": record.content_type}
        if isinstance(record.held, bytes):
            write(sink, meta, record.held)
        else:
            write(sink, {**meta, "position": record.held.position, "size": record.held.size}, b"")
    write(sink, {"batch": True, "next": batch.next, "changed": batch.changed}, json.dumps(batch.ended).encode())
    return True


def _serve_read(source: Source, sink: IO[bytes], position: int, offset: int, length: int) -> bool:
    if position >= len(source.groups) or length > MAX_READ:
        return False
    try:
        content = source.read(position, offset, length)
    except ConsentChanged:
        write(sink, {"changed": True}, b"")
    else:
        write(sink, {"changed": False}, content)
    return True


class Piped:
    """The job's side, a Source over the two pipes."""

    def __init__(self, source: IO[bytes], asking: IO[bytes]) -> None:
        self._source, self._asking = source, asking
        self._lock = threading.Lock()  # one question at a time, whichever thread has it
        about = json.loads(b"".join(content for _, content in read(source)))
        self.groups: Sequence[str] = about["groups"]
        self.schema: Sequence[Any] = about["schema"]

    def batch(self, start: int, count: int) -> Batch:
        *records, (meta, ended) = self._ask(b"%d %d\n" % (start, count))
        if not meta.get("batch"):
            raise CorruptError("the records end too early")
        made = tuple(self._record(about, content) for about, content in records)
        return Batch(made, meta["next"], tuple(json.loads(ended)), bool(meta["changed"]))

    def read(self, position: int, offset: int, length: int) -> bytes:
        """See `Source`; as many questions as it takes."""
        parts: list[bytes] = []
        while length > 0:
            [(meta, part)] = self._ask(b"%d %d %d\n" % (position, offset, min(length, MAX_READ)))
            if meta["changed"]:
                raise ConsentChanged
            if not part:
                break
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def _ask(self, line: bytes) -> list[tuple[dict[str, Any], bytes]]:
        with self._lock:
            self._asking.write(line)
            self._asking.flush()
            return list(read(self._source))

    def _record(self, about: dict[str, Any], content: bytes) -> JobRecord:
        held: bytes | Ranged = content
        if "size" in about:
            held = Ranged(about["position"], about["size"], partial(self.read, about["position"]))
        return JobRecord(about["pseudonym"], about["name"], about["type"], held)


def _exactly(source: IO[bytes], length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise CorruptError("the records end too early")
    return data
