# SPDX-License-Identifier: Apache-2.0
"""Whom a local system serves: custodians, people whose messages its gateway pays for, and boards. Kept where the
services read it, in the settings of gateway and runner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from consentum.errors import SettingsError
from consentum.settings import GatewaySettings, RunnerSettings, ServiceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """custodians, sponsored: addresses; boards: ids; all as 0x text, in any case."""

    custodians: tuple[str, ...] = ()
    sponsored: tuple[str, ...] = ()
    boards: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.custodians or self.sponsored or self.boards)


NOBODY = Allowed()


@dataclass(frozen=True, slots=True)
class Change:
    """Who is let in, and who is let in no longer."""

    more: Allowed = NOBODY
    less: Allowed = NOBODY

    def __bool__(self) -> bool:
        return bool(self.more or self.less)


def allow(folder: Path, change: Change) -> list[str]:
    """Changes the settings of a system's gateway and runner, both checked before either is written; the names of the
    services that must start again to know. Nothing is written on an error. SettingsError for what is no address or id,
    for whom the settings do not have and who is to go, and for who is to come and to go."""
    gateway, runner = GatewaySettings.load(folder / "gateway"), RunnerSettings.load(folder / "runner")
    # Boards alone concern the runner; one it knows from elsewhere goes with the gateway's.
    gone = {board.lower() for board in change.less.boards}
    boards = tuple(board for board in together(runner.boards, change.more.boards) if board not in gone)
    changed: dict[str, tuple[ServiceSettings, ServiceSettings]] = {
        "gateway": (
            gateway,
            replace(
                gateway,
                custodians=_changed("custodians", gateway.custodians, change),
                sponsored=_changed("sponsored", gateway.sponsored, change),
                boards=_changed("boards", gateway.boards, change),
            ),
        ),
        "runner": (runner, replace(runner, boards=boards)),
    }
    for _, after in changed.values():
        after.validate()
    names = [name for name, (before, after) in changed.items() if before != after]
    for name in names:
        changed[name][1].save(folder / name)
    return names


def _changed(name: str, known: tuple[str, ...], change: Change) -> tuple[str, ...]:
    """A list of the settings after the change."""
    more, less = (tuple(one.lower() for one in getattr(named, name)) for named in (change.more, change.less))
    if set(more) & set(less):
        raise SettingsError("the same one is to be let in and to go", field=name)
    if missing := set(less) - {one.lower() for one in known}:
        raise SettingsError(f"{min(missing)} is not there, so it cannot go", field=name)
    return tuple(one for one in together(known, more) if one not in less)


def together(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in lower case, the known ones first."""
    return tuple(dict.fromkeys(item.lower() for item in (*known, *more)))
