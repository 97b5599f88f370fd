# SPDX-License-Identifier: Apache-2.0
"""Runs a job package over decrypted records in a process of its own, and lets out only what it declared."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from consentum import errors
from consentum.domain.package import JobPackage
from consentum.errors import ConsentumError, MalformedError
from consentum.jobs import frames
from consentum.jobs.dataset import JobRecord

MAX_TEXT = 64
MAX_TEXTS = 2_048


class JobFailed(ConsentumError):
    """The job's own code failed, or gave something it had not declared."""

    code = "JOB_FAILED"


def run(package: JobPackage, records: Iterable[JobRecord], timeout: float, max_output_bytes: int) -> Mapping[str, Any]:
    """The declared outputs. timeout in seconds for the whole run. JobFailed: it raised, ran out of time, or its outputs
    are not the declared ones."""
    with tempfile.TemporaryDirectory(prefix="consentum-job-") as name:
        folder = Path(name)
        for path, content in package.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        command = [sys.executable, "-I", "-m", "consentum.jobs.worker", str(folder), package.entry]
        # The runner's environment may hold what is none of the job's business.
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(  # noqa: S603 - the entry point is a checked name, never a shell word
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=folder,
            start_new_session=True,  # so that what the job starts ends with it
        )
        answer = _converse(process, records, timeout, max_output_bytes)
    return _declared(package, answer, max_output_bytes)


def _converse(process: subprocess.Popen[bytes], records: Iterable[JobRecord], timeout: float, limit: int) -> bytes:
    """Feeds the job while its answer is read beside, at most `limit` bytes of it; at the end the whole group of its
    processes is gone, whatever happened."""
    assert process.stdin is not None
    assert process.stdout is not None
    answer: list[bytes] = []
    stdout = process.stdout
    reader = threading.Thread(target=lambda: answer.append(stdout.read(limit + 1)), daemon=True)
    killer = threading.Timer(timeout, _kill, [process])
    reader.start()
    killer.start()
    try:
        _feed(process.stdin, records)
        reader.join()
        process.wait()
    finally:
        killer.cancel()
        _kill(process)
        process.wait()
    if process.returncode != 0 or not answer:
        raise JobFailed("the job's process ended before its outputs, or ran out of time")
    return answer[0]


def _feed(sink: IO[bytes], records: Iterable[JobRecord]) -> None:
    try:
        for record in records:
            meta = {"pseudonym": record.pseudonym, "name": record.name, "type": record.content_type}
            frames.write(sink, meta, record.content)
        frames.end(sink)
    except BrokenPipeError:
        pass  # the job ended early; what it says decides


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _declared(package: JobPackage, answer: bytes, limit: int) -> Mapping[str, Any]:
    if len(answer) > limit:
        raise JobFailed(f"the outputs are larger than {limit} bytes")
    try:
        data = json.loads(answer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise JobFailed("the job gave no outputs") from None
    if isinstance(data, dict) and isinstance(data.get("error"), dict):
        raise JobFailed(f"{_kind(data['error'])} at {_place(package, data['error'])}")
    outputs = data.get("outputs") if isinstance(data, dict) else None
    if not isinstance(outputs, dict) or set(outputs) != set(package.outputs):
        raise JobFailed("the outputs are not those declared")
    texts = list(_texts(outputs))
    if any(len(text) > MAX_TEXT for text in texts):
        raise JobFailed(f"a text in an output is longer than {MAX_TEXT}")
    if sum(map(len, texts)) > MAX_TEXTS:
        raise JobFailed(f"the texts in the outputs have more than {MAX_TEXTS} characters in all")
    return outputs


def _kind(error: Mapping[str, Any]) -> str:
    """The name of an exception of Python's or ours; any other name could be what the job has read."""
    name = error.get("type")
    known = isinstance(name, str) and any(
        isinstance(getattr(module, name, None), type) for module in (builtins, errors)
    )
    return str(name) if known else "an error of the job's own"


def _place(package: JobPackage, error: Mapping[str, Any]) -> str:
    """file:line of the job's own files, and nothing else."""
    path, _, line = str(error.get("line", "")).rpartition(":")
    inside = path in package.files and line.isdecimal() and len(line) < 7
    return f"{path}:{line}" if inside else "its start"


def _no_constant(_: str) -> None:
    raise ValueError


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            yield str(key)
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


def read_folder(folder: Path, entry: str, categories: int, outputs: Mapping[str, str]) -> JobPackage:
    """The package of a folder of Python files. MalformedError if there are none."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.py"))}
    if not files:
        raise MalformedError("no Python files in the folder", field="files")
    return JobPackage(files, entry, categories, outputs)
