# SPDX-License-Identifier: Apache-2.0
"""`consentum researcher`: make the home folder that studies and jobs are asked for from."""

from __future__ import annotations

import click

from consentum.cli.homes import add_init


@click.group("researcher")
def group() -> None:
    """Ask questions of records you never see."""


add_init(
    group,
    "Create your keys and settings; prints your address, which a study's lead names as a member.",
    "results are sealed to them",
)
