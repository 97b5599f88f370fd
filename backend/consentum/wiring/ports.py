# SPDX-License-Identifier: Apache-2.0
"""TCP ports of this host: which are free."""

from __future__ import annotations

import socket
from pathlib import Path

from consentum.adapters.store.files import FolderLock
from consentum.errors import PortTakenError


def require_free(host: str, port: int) -> None:
    """PortTakenError, naming the port, if another process listens there (or we may not)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closing connections do not take a port
        try:
            probe.bind((host, port))
        except PermissionError:
            raise PortTakenError(f"port {port} needs rights this process does not have", field="port") from None
        except OSError:
            raise PortTakenError(f"port {port} of {host} is taken", field="port") from None


def require_to_serve(folder: Path, host: str, port: int) -> None:
    """The same before a folder is served. SettingsError if it is the folder's own process that listens there."""
    try:
        require_free(host, port)
    except PortTakenError:
        if (folder / "lock").exists():
            FolderLock(folder).release()
        raise


def is_free(host: str, port: int) -> bool:
    try:
        require_free(host, port)
    except PortTakenError:
        return False
    return True


def free_port() -> int:
    """A port of the loopback address that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
