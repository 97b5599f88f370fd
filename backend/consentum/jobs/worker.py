# SPDX-License-Identifier: Apache-2.0
"""The job's own process: reads records from stdin, calls the entry point, writes its outputs as JSON to stdout.

No sandbox yet: the job can do whatever the runner's account can. What it prints goes nowhere, because prints of health
data would be an output nobody declared; of an exception only its type and
its line in the job's code are reported, and the runner checks even these.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consentum.jobs import frames
from consentum.jobs.dataset import Dataset, JobRecord


def main() -> int:
    """argv: the folder of the code, module:function."""
    folder, entry = Path(sys.argv[1]), sys.argv[2]
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        outputs = _call(folder, entry)
        text = json.dumps({"outputs": outputs}, allow_nan=False)
    except BaseException as error:  # noqa: BLE001 - a job may raise anything, and it must be told without its message
        text = json.dumps({"error": {"type": type(error).__name__, "line": _line(error, folder)}})
    answer.write(text)
    answer.close()
    return 0


def _call(folder: Path, entry: str) -> Any:
    sys.path.insert(0, str(folder))
    module, _, function = entry.partition(":")
    return getattr(importlib.import_module(module), function)(Dataset(_records()))


def _records() -> Iterator[JobRecord]:
    for meta, content in frames.read(sys.stdin.buffer):
        yield JobRecord(meta["pseudonym"], meta["name"], meta["type"], content)


def _line(error: BaseException, folder: Path) -> str:
    """The last line of the job's own code in the traceback, as file:line."""
    place, trace = "", error.__traceback__
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(folder):
            place = f"{path.relative_to(folder)}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


if __name__ == "__main__":
    sys.exit(main())
