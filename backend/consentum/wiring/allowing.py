# SPDX-License-Identifier: Apache-2.0
"""Whom a local system serves: custodians, people whose messages its gateway pays for, and boards. Kept where the
services read it, in the settings of gateway and runner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from consentum.settings import GatewaySettings, RunnerSettings, ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """custodians, sponsored: addresses; boards: ids; all as 0x text, in any case."""

    custodians: tuple[str, ...] = ()
    sponsored: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.custodians or self.sponsored or self.boards)


def allow(folder: Path, allowed: Allowed) -> list[str]:
    """Adds to the settings of a system's gateway and runner, both checked before either is written; the names of the
    services that must start again to know. Takes nobody away. SettingsError for what is no address or id."""
    gateway, runner = GatewaySettings.load(folder / "gateway"), RunnerSettings.load(folder / "runner")
    changed: dict[str, tuple[ServiceSettings, ServiceSettings]] = {
        "gateway": (
            gateway,
            replace(
                gateway,
                custodians=together(gateway.custodians, allowed.custodians),
                sponsored=together(gateway.sponsored, allowed.sponsored),
                boards=together(gateway.boards, allowed.boards),
            ),
        ),
        "runner": (runner, replace(runner, boards=together(runner.boards, allowed.boards))),
    }
    for _, after in changed.values():
        after.validate()
    names = [name for name, (before, after) in changed.items() if before != after]
    for name in names:
        changed[name][1].save(folder / name)
    return names


def together(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in lower case, the known ones first."""
    return tuple(dict.fromkeys(item.lower() for item in (*known, *more)))
