# SPDX-License-Identifier: Apache-2.0
"""Runs a job package over decrypted records in a process of its own, and lets out only what it declared."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

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
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=folder
        )
        answer = _converse(process, records, timeout)
    return _declared(package, answer, max_output_bytes)


def _converse(process: subprocess.Popen[bytes], records: Iterable[JobRecord], timeout: float) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    killer = threading.Timer(timeout, process.kill)
    killer.start()
    try:
        for record in records:
            meta = {"pseudonym": record.pseudonym, "name": record.name, "type": record.content_type}
            frames.write(process.stdin, meta, record.content)
        frames.end(process.stdin)
    except BrokenPipeError:
        pass  # the job ended early; what it says decides
    except BaseException:
        killer.cancel()
        process.kill()
        process.wait()
        raise
    try:
        answer = process.stdout.read()
        process.wait()
    finally:
        killer.cancel()
        process.kill()
        process.stdout.close()
    if process.returncode != 0:
        raise JobFailed("the job's process ended before its outputs, or ran out of time")
    return answer


def _declared(package: JobPackage, answer: bytes, limit: int) -> Mapping[str, Any]:
    if len(answer) > limit:
        raise JobFailed(f"the outputs are larger than {limit} bytes")
    try:
        data = json.loads(answer)
    except ValueError:
        raise JobFailed("the job gave no outputs") from None
    if "error" in data:
        raise JobFailed(f"{data['error']['type']} at {data['error']['line'] or 'its start'}")
    outputs = data["outputs"]
    if not isinstance(outputs, dict) or set(outputs) != set(package.outputs):
        raise JobFailed("the outputs are not those declared")
    for value in outputs.values():
        _plain(value)
    if sum(map(len, _texts(outputs))) > MAX_TEXTS:
        raise JobFailed(f"the texts in the outputs have more than {MAX_TEXTS} characters in all")
    return outputs


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


def _plain(value: Any) -> None:
    """Numbers, short words, lists and tables of them: no room for a copied record."""
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise JobFailed(f"a text in an output is longer than {MAX_TEXT}")
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _plain(part)
    if isinstance(value, dict):
        for key in value:
            _plain(key)


def read_folder(folder: Path, entry: str, categories: int, outputs: Mapping[str, str]) -> JobPackage:
    """The package of a folder of Python files. MalformedError if there are none."""
    files = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*.py"))}
    if not files:
        raise MalformedError("no Python files in the folder", field="files")
    return JobPackage(files, entry, categories, outputs)
