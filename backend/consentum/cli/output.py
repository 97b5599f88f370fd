# SPDX-License-Identifier: Apache-2.0
"""How every command speaks: words for people, one JSON object with --json, progress on standard error."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from consentum.settings import home_folder

# Exit codes of a command that did its part but is not through: 1 where something was refused, 3 where the same command
# may succeed later.
REFUSED, LATER = 1, 3

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of words.")
home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=home_folder,
    help="Your home folder; default: $CONSENTUM_HOME, else ~/.consentum.",
)


def show(data: Mapping[str, Any], lines: Iterable[str], as_json: bool) -> None:
    """The one output of a command: `data` with --json, else `lines`."""
    if as_json:
        click.echo(json.dumps(data, indent=2))
        return
    for line in lines:
        click.echo(line)


@contextmanager
def progress(what: str, total: int, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where that is a terminal; gives a function that advances it."""
    from rich.console import Console  # noqa: PLC0415 - few commands draw a bar
    from rich.progress import (  # noqa: PLC0415 - as above
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    done = (DownloadColumn(), TransferSpeedColumn()) if in_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *done, TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
