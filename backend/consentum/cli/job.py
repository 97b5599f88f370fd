# SPDX-License-Identifier: Apache-2.0
"""`consentum job`: hand code in, watch it run where the records are, take its outputs home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consentum.cli.output import home_option, json_option, progress, show
from consentum.cli.research import access_option, categories_option, purpose_option

RANKS = ("queued", "admitted", "running", "released")
timeout_option = click.option("--timeout", type=float, default=None, help="Seconds to wait at most; default: no end.")


class Declared(click.ParamType[tuple[str, str]]):
    """name=kind"""

    name = "name=kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, found, kind = str(value).partition("=")
        return (name, kind) if found else self.fail("an output is name=kind, as metrics=json", param, ctx)


@click.group("job")
def group() -> None:
    """Jobs: your code goes to the records, declared outputs come back sealed to you."""


@group.command("submit")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--study", required=True, help="Name or id (0x…) of the study.")
@click.option("--entry", required=True, help="module:function, called with the dataset.")
@categories_option
@click.option("--output", "outputs", type=Declared(), multiple=True, required=True, help="name=json; once per output.")
@click.option("--runner", default=None, help="Address; default: the accredited one seen last.")
@access_option
@purpose_option
@click.option("--on-consent-change", type=click.Choice(["raise", "drop"]), default="raise", show_default=True)
@click.option("--deadline-hours", type=float, default=1.0, show_default=True)
@home_option
@json_option
def submit(folder: Path, study: str, home: Path, as_json: bool, **options: Any) -> None:
    """Sign the Python files in FOLDER as they are now and hand the job in; prints its id."""
    from consentum import Client  # noqa: PLC0415 - slow to load; help is not

    options["outputs"] = dict(options["outputs"])
    job = Client(home).study(study).submit(folder, **options)
    show({"id": job.id}, [job.id], as_json)


@group.command("watch")
@click.argument("identity", metavar="ID")
@timeout_option
@home_option
@json_option
def watch(identity: str, timeout: float | None, home: Path, as_json: bool) -> None:
    """Print what happens to a job until it ends; ends as the job does: 0 released, 1 failed or refused."""
    from consentum import Client  # noqa: PLC0415 - as above

    job = Client(home).job(identity)
    seen = []
    for event in job.events(timeout):
        seen.append(event.to_json())
        if not as_json:
            click.echo(str(event))
    if as_json:
        show({"id": job.id, "events": seen}, [], as_json)
    job.result(timeout)


@group.command("result")
@click.argument("identity", metavar="ID")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to.")
@timeout_option
@home_option
@json_option
def result(identity: str, out: Path, timeout: float | None, home: Path, as_json: bool) -> None:
    """Wait for a job, open its outputs and write them, with the manifest, to a folder."""
    from consentum import Client  # noqa: PLC0415 - as above

    job = Client(home).job(identity)
    with progress("job", len(RANKS)) as advance:
        reached = 0
        for event in job.events(timeout):
            rank = RANKS.index(event.state) + 1 if event.state in RANKS else reached
            advance(rank - reached)
            reached = rank
    found = job.result(timeout)
    paths = [str(path) for path in found.save(out)]
    told = {"id": job.id, "released": found.released, "refused": dict(found.refused), "dropped": found.dropped}
    show({**told, "files": paths}, [str(found), *paths], as_json)


@group.command("cancel")
@click.argument("identity", metavar="ID")
@home_option
@json_option
def cancel(identity: str, home: Path, as_json: bool) -> None:
    """End a job. One that ended otherwise stays as it is: STATE."""
    from consentum import Client  # noqa: PLC0415 - as above

    job = Client(home).job(identity)
    job.cancel()
    state = job.state
    show({"id": job.id, "state": state}, [state], as_json)
