# SPDX-License-Identifier: Apache-2.0
"""The `consentum` command. One module per noun; how a command ends is in cli.frame."""

from __future__ import annotations

import click

from consentum.cli import (
    board,
    completion,
    contracts,
    custodian,
    doctor,
    explain,
    frame,
    gateway,
    job,
    keyserver,
    patient,
    researcher,
    runner,
    settings,
    study,
    system,
    verify,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="consentum")
def cli() -> None:
    """Patients decide, on a ledger nobody owns, who may learn from their health records."""


GROUPS = (
    *(patient.group, custodian.group, board.group, researcher.group, study.group, job.group),
    *(keyserver.group, gateway.group, runner.group, contracts.group),
)
for group in GROUPS:
    cli.add_command(group)
for command in (system.up, system.down, system.status, doctor.command):
    cli.add_command(command)
for command in (explain.command, settings.command, completion.command, verify.command):
    cli.add_command(command)


def main() -> None:
    """Runs the command and ends with its exit code."""
    frame.main(cli)


if __name__ == "__main__":
    main()
