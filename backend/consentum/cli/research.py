# SPDX-License-Identifier: Apache-2.0
"""`consentum study cohort` and `sample`: what a study would get now, and what its records look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consentum.cli.output import home_option, json_option, progress, show


class NameList(click.ParamType[list[str]]):
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        found = [part.strip() for part in str(value).split(",") if part.strip()]
        return found or self.fail("name at least one", param, ctx)


NAMES = NameList()
categories_option = click.option(
    "--categories", type=NAMES, required=True, help="Categories of records, with commas between them."
)
purpose_option = click.option("--purpose", type=NAMES, default=None, help="Default: all of the study's purposes.")
access_option = click.option(
    "--access", type=click.Choice(["aggregate", "compute", "download"]), default="compute", show_default=True
)


@click.command("cohort")
@click.argument("study")
@categories_option
@access_option
@purpose_option
@home_option
@json_option
def cohort(study: str, categories: list[str], home: Path, as_json: bool, **options: Any) -> None:
    """How many records a job of STUDY would get now, and why not the others; rounded."""
    from consentum import Client  # noqa: PLC0415 - slow to load; help is not

    found = Client(home).study(study).cohort(categories, **options)
    show(found.to_json(), str(found).splitlines(), as_json)


@click.command("sample")
@click.argument("study")
@categories_option
@click.option("-n", "--count", type=int, default=50, show_default=True, help="Rows per category.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same rows.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="CSV file to write.")
@home_option
@json_option
def sample(study: str, categories: list[str], out: Path, as_json: bool, **options: Any) -> None:
    """Write synthetic rows of the shape STUDY's records are declared to have; never drawn from records."""
    from consentum import Client  # noqa: PLC0415 - as above

    home, count, seed = options["home"], options["count"], options["seed"]
    with progress("drawing", len(categories)) as advance:
        made = Client(home).study(study).sample(categories, count, seed)
        advance(len(categories))
    made.save(out)
    told = {"synthetic": True, "rows": len(made), "seed": seed, "out": str(out)}
    show(told, [*str(made).splitlines(), f"written to {out}"], as_json)
