# SPDX-License-Identifier: Apache-2.0
"""`consentum custodian dictionary`: say what records of a category look like, so that researchers can plan."""

from __future__ import annotations

from pathlib import Path

import click

from consentum.cli.output import home_option, json_option, show


@click.group("dictionary")
def group() -> None:
    """Data dictionaries: declared properties of your records, never data."""


@group.command("put")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--category", required=True, help="The one category these records are of.")
@home_option
@json_option
def put(file: Path, category: str, home: Path, as_json: bool) -> None:
    """Publish FILE (JSON: title, version, contentType, columns); a published version never changes."""
    from consentum.sdk.publishing import publish, read  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    dictionary = read(file)
    told = publish(connect(home), dictionary, category)
    columns = len(dictionary.columns)
    show({**told, "columns": columns}, [f"version {dictionary.version} published: {columns} columns"], as_json)
