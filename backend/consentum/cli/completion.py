# SPDX-License-Identifier: Apache-2.0
"""`consentum completion SHELL`: the script that completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from consentum.cli.output import json_option, show


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@click.pass_context
def command(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script of a shell.

    For bash, for example: consentum completion bash > ~/.local/share/bash-completion/completions/consentum
    """
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(context.find_root().command, {}, "consentum", "_CONSENTUM_COMPLETE").source()
    show({"shell": shell, "script": script}, [script], as_json)
