# SPDX-License-Identifier: Apache-2.0
"""What `keyserver`, `gateway` and `runner` share: init's options, serve, and asking a running one how it is."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from consentum.cli.output import json_option, show
from consentum.errors import UnavailableError
from consentum.settings import ServiceSettings

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), required=True, help="The process's own folder."
)


class NotReadyError(UnavailableError):
    """The process answers, and would not do its work now."""

    code = "NOT_READY"


def init_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--rpc, --deployment, --port, --endpoint, --profile, --unsafe-foreign-rpc, --folder, --json."""
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
        json_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def common(deployment: Path, port: int, endpoint: str | None, **others: Any) -> dict[str, Any]:
    """The options as settings."""
    where = {"deployment": str(deployment.resolve()), "port": port, "endpoint": endpoint or f"http://localhost:{port}"}
    return {**where, **others}


def initialise(noun: str, folder: Path, settings: ServiceSettings, as_json: bool) -> None:
    """Makes the folder of a process and says its address."""
    address = import_module(f"consentum.wiring.{noun}").initialise(folder, settings)
    show({"address": address, "folder": str(folder)}, [address], as_json)


def serve_folder(
    noun: str, settings: ServiceSettings, folder: Path, change: Callable[[Any], None] = lambda _: None
) -> None:
    """Serves the process of a folder until stopped. change may alter it before. PortTakenError first of all."""
    from consentum.services.serve import serve  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.ports import require_to_serve  # noqa: PLC0415 - as above

    require_to_serve(folder, settings.host, settings.port)
    process = import_module(f"consentum.wiring.{noun}").build(folder)
    change(process)
    serve(import_module(f"consentum.services.{noun}.app").create_app(process), process.settings)


def add_serve(group: click.Group, noun: str, kind: type[ServiceSettings]) -> None:
    """`serve --folder` of a service without options of its own."""

    @group.command("serve")
    @folder_option
    @json_option
    def serve_command(folder: Path, as_json: bool) -> None:
        """Serve until stopped."""
        del as_json  # it prints nothing but errors, and main looks for the option itself
        serve_folder(noun, kind.load(folder), folder)


def add_status(group: click.Group, kind: type[ServiceSettings]) -> None:
    """`status --folder`: whether the running process would do its work."""

    @group.command("status")
    @folder_option
    @json_option
    def status(folder: Path, as_json: bool) -> None:
        """Say whether it would do its work now, and if not, why."""
        settings = kind.load(folder)
        why, warnings = ask_ready(settings)
        if why and not as_json:
            raise NotReadyError("not ready: " + "; ".join(f"{part}: {reason}" for part, reason in why.items()))
        said = ["ready", *(f"warning: {part}: {warning}" for part, warning in warnings.items())]
        show({"ready": not why, "why": why, "warnings": warnings, "endpoint": settings.endpoint}, said, as_json)
        if why:
            raise click.exceptions.Exit(3)


def ask_ready(settings: ServiceSettings) -> tuple[dict[str, str], dict[str, str]]:
    """Why the process of these settings is not ready, by part (nothing if it is), and its warnings. UnavailableError if
    none answers."""
    import httpx  # noqa: PLC0415 - as above

    scheme, verify = "http", ssl.create_default_context()
    if settings.tls_certificate is not None:
        # Its own certificate is all that is believed here, whatever name it is for: this asks the process beside.
        scheme, verify = "https", ssl.create_default_context(cafile=settings.tls_certificate)
        verify.check_hostname = False
    url, patience = f"{scheme}://{settings.host}:{settings.port}/ready", 5 * settings.rpc_timeout_seconds + 10
    try:
        answer = httpx.get(url, timeout=patience, verify=verify, trust_env=False)
        body = answer.json()
        if answer.status_code == 200:
            return {}, dict(body.get("warnings", {}))
        return {str(part): str(reason) for part, reason in body["why"].items()}, {}
    except httpx.HTTPError:
        raise UnavailableError(f"nothing answers at {settings.host}:{settings.port}") from None
    except (ValueError, KeyError, AttributeError):
        raise UnavailableError(f"what answers at {settings.host}:{settings.port} is no such process") from None
