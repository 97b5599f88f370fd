# SPDX-License-Identifier: Apache-2.0
"""Logs as JSON, one object a line, on standard error. They name routes and codes, never what was asked or by whom."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="")
# What a line may carry besides its message: nothing that a caller chose but the id, which has a narrow form.
FIELDS = ("method", "route", "status", "milliseconds")


class JsonLines(logging.Formatter):
    """{time, level, logger, message, request?, method?, route?, status?, milliseconds?}."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request"] = request_id.get()
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        return json.dumps(line)


def without_trace(record: logging.LogRecord) -> bool:
    """A traceback's last line is the error's message, which may hold what the caller sent."""
    if record.exc_info:
        kind = record.exc_info[0]
        record.msg, record.args = "unexpected %s", (kind.__name__ if kind else "error",)
        record.exc_info = record.exc_text = None
    record.stack_info = None
    return True


def begin() -> None:
    """From now on the process logs so: ours from level INFO, libraries' from WARNING."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    handler.addFilter(without_trace)
    root = logging.getLogger()
    root.handlers, root.level = [handler], logging.WARNING
    logging.getLogger("consentum").setLevel(logging.INFO)
