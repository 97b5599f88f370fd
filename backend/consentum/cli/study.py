# SPDX-License-Identifier: Apache-2.0
"""`consentum study`: cohort, sample."""

from __future__ import annotations

import click

from consentum.cli import research


@click.group("study")
def group() -> None:
    """Studies: what a board approved, and what it would get."""


group.add_command(research.cohort)
group.add_command(research.sample)
