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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from consentum import errors
from consentum.domain.package import RAISE, JobPackage
from consentum.errors import ConsentChanged, ConsentumError, MalformedError
from consentum.jobs import frames
from consentum.jobs.source import Source

MAX_TEXT = 64
MAX_TEXTS = 2_048
# Isolated from the environment and the current folder, but the same code as the runner's own, wherever that lies.
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from consentum.jobs.worker import main; sys.exit(main())"
WORKER = (sys.executable, "-I", "-c", _START, str(Path(__file__).resolve().parents[2]))


class JobFailed(ConsentumError):
    """The job's own code failed, or gave something it had not declared."""

    code = "JOB_FAILED"


class Halt:
    """Ends a running job from another thread; why is the error it then ends with."""

    def __init__(self) -> None:
        self.why: ConsentumError | None = None
        self._lock = threading.Lock()
        self._kill: Callable[[], None] | None = None

    def stop(self, why: ConsentumError) -> None:
        """Whatever runs is killed, now or as soon as it starts."""
        with self._lock:
            self.why = self.why or why
            if self._kill is not None:
                self._kill()

    def guard(self, kill: Callable[[], None] | None) -> None:
        """What to call to kill; None when it is over."""
        with self._lock:
            self._kill = kill
            if kill is not None and self.why is not None:
                kill()

    def check(self) -> None:
        """Raises why, if it was stopped."""
        if self.why is not None:
            raise self.why


@dataclass(frozen=True, slots=True)
class Bounds:
    """timeout in seconds for the whole run; scratch: where its code lies while it runs."""

    timeout: float
    max_output_bytes: int
    scratch: Path | None = None


def run(package: JobPackage, source: Source, bounds: Bounds, halt: Halt | None = None) -> Mapping[str, Any]:
    """The declared outputs. JobFailed: it raised, ran out of time, or its outputs are not the declared ones;
    ConsentChanged: it did not catch that; whatever `source` raises; and why it was halted."""
    with tempfile.TemporaryDirectory(prefix="consentum-job-", dir=bounds.scratch) as name:
        folder = Path(name).resolve()  # the job starts inside it, where a relative name would lead nowhere
        for path, content in package.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        asked, asking = os.pipe()
        command = [*WORKER, str(folder), package.entry, str(asking)]
        # The runner's environment may hold what is none of the job's business.
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with os.fdopen(asked, "rb") as questions:
            try:
                process = subprocess.Popen(  # noqa: S603 - the entry point is a checked name, never a shell word
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=environment,
                    cwd=folder,
                    pass_fds=(asking,),
                    start_new_session=True,  # so that what the job starts ends with it
                )
            finally:
                os.close(asking)
            answer = _converse(process, (source, questions), bounds, halt or Halt())
    return _declared(package, answer)


def _converse(process: subprocess.Popen[bytes], what: tuple[Source, IO[bytes]], bounds: Bounds, halt: Halt) -> bytes:
    """Serves the job while its answer is read beside, at most so many bytes of it; at the end the whole group of its
    processes is gone, whatever happened."""
    assert process.stdin is not None
    assert process.stdout is not None
    source, questions = what
    answer: list[bytes] = []
    stdin, stdout, limit = process.stdin, process.stdout, bounds.max_output_bytes
    reader = threading.Thread(target=lambda: answer.append(_read(stdout, limit)), daemon=True)
    killer = threading.Timer(bounds.timeout, _kill, [process])
    reader.start()
    killer.start()
    halt.guard(lambda: _kill(process))
    try:
        with contextlib.suppress(BrokenPipeError), questions:  # the job ended early; what it says decides
            frames.serve(source, stdin, questions)
        with contextlib.suppress(BrokenPipeError):
            stdin.close()
        reader.join()
        process.wait()
    finally:
        killer.cancel()
        _kill(process)
        process.wait()
        halt.guard(None)
    halt.check()
    if answer and len(answer[0]) > limit:
        raise JobFailed(f"the outputs are larger than {limit} bytes")
    if process.returncode != 0 or not answer:
        raise JobFailed("the job's process ended before its outputs, or ran out of time")
    return answer[0]


def _read(stdout: IO[bytes], limit: int) -> bytes:
    """What the job says, and at most one byte too many: nobody listens to more, so it does not wait to be heard."""
    with stdout:
        return stdout.read(limit + 1)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _declared(package: JobPackage, answer: bytes) -> Mapping[str, Any]:
    try:
        data = json.loads(answer, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise JobFailed("the job gave no outputs") from None
    if isinstance(data, dict) and isinstance(data.get("error"), dict):
        if data["error"].get("type") == ConsentChanged.__name__:
            raise ConsentChanged
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


def read_folder(
    folder: Path, entry: str, categories: int, outputs: Mapping[str, str], on_consent_change: str = RAISE
) -> JobPackage:
    """The package of a folder of Python files. MalformedError if there are none."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.py"))}
    if not files:
        raise MalformedError("no Python files in the folder", field="files")
    return JobPackage(files, entry, categories, outputs, on_consent_change)
