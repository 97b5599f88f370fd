# SPDX-License-Identifier: Apache-2.0
"""The job's own process: asks for records over a pipe, reads them from stdin, calls the entry point, writes its outputs
as JSON to stdout.

No sandbox yet: the job can do whatever the runner's account can. What it prints goes nowhere, because prints of health
data would be an output nobody declared; of an exception only its type and
its line in the job's code are reported, and the runner checks even these.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from consentum.jobs.dataset import Dataset
from consentum.jobs.frames import Piped


def main() -> int:
    """argv: the folder of the code, module:function, the descriptor of the pipe to ask on."""
    folder, entry, asking = Path(sys.argv[1]), sys.argv[2], os.fdopen(int(sys.argv[3]), "wb")
    os.set_inheritable(asking.fileno(), False)
    _end_with_the_runner()
    answer = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        outputs = _call(folder, entry, Piped(sys.stdin.buffer, asking))
        text = json.dumps({"outputs": outputs}, allow_nan=False)
    except BaseException as error:  # noqa: BLE001 - a job may raise anything, and it must be told without its message
        text = json.dumps({"error": {"type": type(error).__name__, "line": _line(error, folder)}})
    answer.write(text)
    answer.close()
    with contextlib.suppress(OSError):
        asking.close()
    return 0


def _end_with_the_runner() -> None:
    """Linux: a runner that is killed takes its job with it; nobody would take its outputs."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _call(folder: Path, entry: str, source: Piped) -> Any:
    sys.path.insert(0, str(folder))
    module, _, function = entry.partition(":")
    called = getattr(importlib.import_module(module), function)
    return called(Dataset(source))


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
