# SPDX-License-Identifier: Apache-2.0
"""How a command ends: an exit code, and for failures `CODE: message (field)` and a hint on standard error, or the same
as one JSON object with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

import click

from consentum.cli.hints import hint_of
from consentum.errors import ConsentumError, Reason, RefusedError, UnavailableError

DONE, FAILED, USAGE, LATER, INTERRUPTED = 0, 1, 2, 3, 130
# Refusals that end by themselves or when somebody mends a machine: the same request may succeed later.
_LATER = {
    *(Reason.CHAIN_UNAVAILABLE, Reason.STALE, Reason.CLOCK, Reason.NOT_YET_FINAL),
    *(Reason.LIMIT, Reason.STORE_UNAVAILABLE, Reason.BEHIND_ANCHOR, Reason.TOO_FEW_SHARES),
    *(Reason.NOTICES_UNFETCHED, Reason.DRAINING),
}


def run(command: click.Command, arguments: Sequence[str]) -> int:
    """Runs a command line; the exit code. Says on standard error why it is not 0."""
    as_json = "--json" in arguments
    try:
        code = command.main(list(arguments), prog_name="consentum", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _tell(("INTERRUPTED", "interrupted", None), INTERRUPTED, as_json)
    except click.UsageError as error:
        if error.ctx is not None and not as_json:
            click.echo(error.ctx.get_usage(), err=True)
        parameter = getattr(error, "param", None)
        return _tell(("USAGE", error.format_message(), getattr(parameter, "name", None)), USAGE, as_json)
    except click.ClickException as error:
        return _tell(("USAGE", error.format_message(), None), USAGE, as_json)
    except ConsentumError as error:
        return _tell((error.code, str(error), error.field), exit_code(error), as_json)
    return code if isinstance(code, int) else DONE


def exit_code(error: ConsentumError) -> int:
    """3 where the same command may succeed later, else 1."""
    if isinstance(error, RefusedError):
        return LATER if error.reason in _LATER else FAILED
    return LATER if isinstance(error, UnavailableError) else FAILED


def _tell(failure: tuple[str, str, str | None], code: int, as_json: bool) -> int:
    name, message, field = failure
    if as_json:
        told = {"code": name, "message": message, "field": field, "hint": hint_of(name)}
        click.echo(json.dumps({key: value for key, value in told.items() if value is not None}), err=True)
        return code
    where = f" ({field})" if field else ""
    click.echo(f"{name}: {_one_line(message)}{where}\nhint: {hint_of(name)}", err=True)
    return code


def _one_line(message: str) -> str:
    return " ".join(message.split())


def main(command: click.Command) -> None:
    sys.exit(run(command, sys.argv[1:]))
