# SPDX-License-Identifier: Apache-2.0
"""What `keyserver`, `gateway` and `runner` share: common options, and asking a running one how it is."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx

from consentum.errors import ConsentumError, UnavailableError
from consentum.settings import ServiceSettings

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="The process's own folder."
)


def init_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--rpc, --deployment, --port, --endpoint, --profile."""
    options = (
        click.option("--rpc", required=True, help="URL of your own chain node."),
        click.option(
            "--deployment",
            type=click.Path(path_type=Path, exists=True),
            required=True,
            help="deployments/<chainId>.json",
        ),
        click.option("--port", type=int, required=True),
        click.option("--endpoint", default=None, help="URL others reach it under; default http://localhost:PORT."),
        click.option("--profile", default=None, help="anvil, ganache, ethereum or l2; default: the chain's own."),
        click.option(
            "--unsafe-foreign-rpc", is_flag=True, help="Allow a node that is not yours: it sees every opening."
        ),
        folder_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def common(deployment: Path, port: int, endpoint: str | None, **others: Any) -> dict[str, Any]:
    """The options as settings."""
    where = {"deployment": str(deployment.resolve()), "port": port, "endpoint": endpoint or f"http://localhost:{port}"}
    return {**where, **others}


def print_status(settings: ServiceSettings) -> None:
    """Asks /ready. ConsentumError with every reason why not, so that the exit code says it too."""
    scheme, verify = "http", ssl.create_default_context()
    if settings.tls_certificate is not None:
        # Its own certificate is all that is believed here, whatever name it is for: this asks the process beside.
        scheme, verify = "https", ssl.create_default_context(cafile=settings.tls_certificate)
        verify.check_hostname = False
    url, patience = f"{scheme}://{settings.host}:{settings.port}/ready", 2 * settings.rpc_timeout_seconds + 10
    try:
        answer = httpx.get(url, timeout=patience, verify=verify, trust_env=False)
    except httpx.HTTPError:
        raise UnavailableError(f"nothing answers at {settings.host}:{settings.port}") from None
    if answer.status_code != 200:
        raise ConsentumError("not ready: " + json.dumps(answer.json().get("why", {})))
    click.echo("ready")
    for part, warning in answer.json().get("warnings", {}).items():
        click.echo(f"warning: {part}: {warning}", err=True)
