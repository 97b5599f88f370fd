# SPDX-License-Identifier: Apache-2.0
"""Whom a local system serves: custodians, people whose messages its gateway pays for, and boards. Kept where the
services read it, in their settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from consentum.settings import GatewaySettings, KeyServerSettings, RunnerSettings, ServiceSettings
from consentum.wiring.layout import numbered


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """custodians, sponsored: addresses; boards: ids; all as 0x text, in any case."""

    custodians: tuple[str, ...] = ()
    sponsored: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.custodians or self.sponsored or self.boards)


def allow(folder: Path, allowed: Allowed) -> list[str]:
    """Adds to the settings of a system's services, all checked before any is written; the names of those that must
    start again to know. Takes nobody away. SettingsError for what is no address or id."""
    gateway, runner = GatewaySettings.load(folder / "gateway"), RunnerSettings.load(folder / "runner")
    changed: dict[str, tuple[Path, ServiceSettings, ServiceSettings]] = {
        "gateway": (
            folder / "gateway",
            gateway,
            replace(
                gateway,
                custodians=together(gateway.custodians, allowed.custodians),
                sponsored=together(gateway.sponsored, allowed.sponsored),
                boards=together(gateway.boards, allowed.boards),
            ),
        ),
        "runner": (folder / "runner", runner, replace(runner, boards=together(runner.boards, allowed.boards))),
    }
    for name, path in numbered(folder).items():
        server = KeyServerSettings.load(path)
        changed[name] = path, server, replace(server, custodians=together(server.custodians, allowed.custodians))
    for _, _, after in changed.values():
        after.validate()
    names = [name for name, (_, before, after) in changed.items() if before != after]
    for name in names:
        path, _, after = changed[name]
        after.save(path)
    return names


def together(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in lower case, the known ones first."""
    return tuple(dict.fromkeys(item.lower() for item in (*known, *more)))
