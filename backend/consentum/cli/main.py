# SPDX-License-Identifier: Apache-2.0
"""The `consentum` command. One module per noun; exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import sys

import click

from consentum.cli import contracts, custodian, gateway, keyserver, patient, runner
from consentum.errors import ConsentumError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="consentum")
def cli() -> None:
    """Patients decide, on a ledger nobody owns, who may learn from their health records."""


for group in (patient.group, custodian.group, contracts.group, keyserver.group, gateway.group, runner.group):
    cli.add_command(group)


def main() -> None:
    """Runs the command; an expected failure is one line with its code."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except ConsentumError as error:
        where = f" ({error.field})" if error.field else ""
        click.echo(f"{error.code}: {error}{where}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
