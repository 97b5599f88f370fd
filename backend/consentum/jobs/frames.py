# SPDX-License-Identifier: Apache-2.0
"""How records cross into the job's process: frames of length-prefixed JSON and content on one pipe; on another the job
asks for them, a line "start count" at a time. What comes from the job is as untrusted as the job."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

from consentum.errors import CorruptError
from consentum.jobs.source import MAX_BATCH, Batch, JobRecord, Source

MAX_META = 65_536
MAX_LINE = 32
_LINE = re.compile(rb"(\d{1,12}) (\d{1,3})\n")


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
    while (line := asked.readline(MAX_LINE)) and (words := _LINE.fullmatch(line)):
        start, count = int(words[1]), int(words[2])
        if start > len(source.groups) or not 1 <= count <= MAX_BATCH:
            return
        batch = source.batch(start, count)
        for record in batch.records:
            write(
                sink,
                {"pseudonym": record.pseudonym, "name": record.name, "type": record.content_type},
                record.content,
            )
        write(sink, {"batch": True, "next": batch.next, "changed": batch.changed}, json.dumps(batch.ended).encode())
        end(sink)


class Piped:
    """The job's side, a Source over the two pipes."""

    def __init__(self, source: IO[bytes], asking: IO[bytes]) -> None:
        self._source, self._asking = source, asking
        about = json.loads(b"".join(content for _, content in read(source)))
        self.groups: Sequence[str] = about["groups"]
        self.schema: Sequence[Any] = about["schema"]

    def batch(self, start: int, count: int) -> Batch:
        self._asking.write(b"%d %d\n" % (start, count))
        self._asking.flush()
        *records, (meta, ended) = read(self._source)
        if not meta.get("batch"):
            raise CorruptError("the records end too early")
        made = tuple(JobRecord(m["pseudonym"], m["name"], m["type"], content) for m, content in records)
        return Batch(made, meta["next"], tuple(json.loads(ended)), bool(meta["changed"]))


def _exactly(source: IO[bytes], length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise CorruptError("the records end too early")
    return data
