# SPDX-License-Identifier: Apache-2.0
"""`consentum up`, `down`, `status`: the whole system in one folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from consentum.cli.output import json_option, show
from consentum.errors import ConsentumError, SettingsError, UnavailableError
from consentum.settings import private_key_from_environment, service_environment

if TYPE_CHECKING:
    from consentum.wiring.allowing import Allowed

DEFAULT_FOLDER = Path(".consentum")
DETACHED_SECONDS = 180
DOWN_SECONDS = 60
LOG = "up.log"
ALLOWING = ("--custodian", "--sponsored", "--accept-board")

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Where the system lives.",
)


@click.command("up")
@folder_option
@click.option("--rpc", help="URL of a chain that is there; without it a development chain is started.")
@click.option("--unsafe-foreign-rpc", is_flag=True, help="Allow a node that is not yours: it sees every opening.")
@click.option("--profile", help="anvil, ganache, ethereum or l2; default: the chain's own.")
@click.option("--servers", type=click.IntRange(2, 255), help="How many key servers.  [default: 3]")
@click.option("--threshold", type=click.IntRange(2, 255), help="How many of them open a record.  [default: 2]")
@click.option("--port", type=click.IntRange(1, 65_000), help="First of the ports, one per process.  [default: 8545]")
@click.option("--board", is_flag=True, help="Found a board whose keys are in the folder: for development.")
@click.option("--custodian", "custodians", multiple=True, help="Address that may deposit; once each, at any time.")
@click.option("--sponsored", multiple=True, help="Address whose messages the gateway pays for; once each, at any time.")
@click.option("--accept-board", "boards", multiple=True, help="Id of a board to work for; once each, at any time.")
@click.option("--ipfs", multiple=True, help="RPC URL of an IPFS node (Kubo) for the records; without it: a file.")
@click.option("--detach", is_flag=True, help="Return when everything is ready; end it with `consentum down`.")
@json_option
def up(folder: Path, as_json: bool, detach: bool, board: bool, **options: Any) -> None:
    """Start the whole system in one folder; harmless to repeat, and to repeat with more people and boards to serve.

    Ctrl-C ends it and loses nothing. With --rpc, CONSENTUM_DEPLOYER_KEY pays for the contracts and the services' gas.
    """
    from consentum.wiring.allowing import Allowed  # noqa: PLC0415 - web3 takes a second to load
    from consentum.wiring.supervisor import is_running  # noqa: PLC0415 - as above

    allowed = Allowed(**{name: options.pop(name) for name in ("custodians", "sponsored", "boards")})
    wanted = {name: value for name, value in options.items() if value}
    if "rpc" in wanted:
        wanted["embedded"] = False
    if "ipfs" in wanted:
        wanted["ipfs"] = list(wanted["ipfs"])
    if wanted.get("threshold", 2) > wanted.get("servers", 3) and not (folder / "system.json").exists():
        raise SettingsError("more servers are needed than there are", field="threshold")
    if is_running(folder):
        _already(folder, wanted, allowed, as_json)
    elif detach:
        _detached(folder, wanted, (board, allowed), as_json)
    else:
        _foreground(folder, wanted, (board, allowed), as_json)


def _foreground(folder: Path, wanted: dict[str, Any], serve: tuple[bool, Allowed], as_json: bool) -> None:
    from consentum.wiring.founding import payer_for  # noqa: PLC0415 - as above
    from consentum.wiring.supervisor import Supervisor, merged  # noqa: PLC0415 - as above

    known = merged(folder, wanted)
    key = private_key_from_environment("CONSENTUM_DEPLOYER_KEY")
    payer = None if known.embedded else payer_for(known.rpc, key)
    stop = threading.Event()

    def on_signal(*_: object) -> None:
        if stop.is_set() or not supervisor.known.ready:
            raise KeyboardInterrupt
        stop.set()

    supervisor = Supervisor(folder, wanted, payer, lambda line: click.echo(line, err=True))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, on_signal)
    supervisor.start(*serve)
    try:
        _tell(folder, as_json, "ready; Ctrl-C ends it")
        supervisor.watch(stop)
    finally:
        supervisor.stop()


def _detached(folder: Path, wanted: dict[str, Any], serve: tuple[bool, Allowed], as_json: bool) -> None:
    """The same command again, as a process of its own; its failure becomes ours."""
    from consentum.wiring.inventory import gone  # noqa: PLC0415 - as above

    given = {name: value for name, value in wanted.items() if name not in ("embedded", "unsafe_foreign_rpc", "ipfs")}
    command = [sys.executable, "-m", "consentum.cli.main", "up", "--json", "--folder", str(folder)]
    command += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    board, allowed = serve
    command += ["--unsafe-foreign-rpc"] * bool(wanted.get("unsafe_foreign_rpc")) + ["--board"] * board
    command += [word for node in wanted.get("ipfs", []) for word in ("--ipfs", node)]
    for option, named in zip(ALLOWING, (allowed.custodians, allowed.sponsored, allowed.boards), strict=True):
        command += [word for one in named for word in (option, one)]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / LOG).open("ab") as log:
        start = log.tell()
        process = subprocess.Popen(  # noqa: S603 - our own command line
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True, env=_with_key()
        )

    def waiting() -> bool:
        return process.poll() is None and not _ready(folder, process.pid)

    if not gone(waiting, DETACHED_SECONDS):
        process.terminate()
        raise UnavailableError(f"not ready after {DETACHED_SECONDS} s; see {folder / LOG}")
    if process.poll() is not None:
        raise _failure(folder / LOG, start)
    _tell(folder, as_json, f"ready; log in {folder / LOG}; end it with: consentum down --folder {folder}")


def _with_key() -> dict[str, str]:
    key = private_key_from_environment("CONSENTUM_DEPLOYER_KEY")
    return service_environment() | ({"CONSENTUM_DEPLOYER_KEY": key.hex()} if key else {})


def _ready(folder: Path, pid: int) -> bool:
    from consentum.wiring.inventory import Inventory  # noqa: PLC0415 - as above

    try:
        known = Inventory.load(folder)
    except ConsentumError:
        return False
    return known.ready and known.supervisor is not None and known.supervisor.pid == pid


def _failure(log: Path, start: int) -> ConsentumError:
    """The error that a detached start ended with: the last JSON line of its log."""
    for line in reversed(log.read_bytes()[start:].decode("utf-8", "replace").splitlines()):
        try:
            told = json.loads(line)
            error = ConsentumError(str(told["message"]), field=told.get("field"))
            error.code = str(told["code"])
            return error
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return UnavailableError(f"the start failed; see {log}")


def _already(folder: Path, wanted: dict[str, Any], allowed: Allowed, as_json: bool) -> None:
    """A second `up`: the supervisor starts what is not running, and what has whom to serve anew; we wait until it
    has."""
    from consentum.wiring.health import unready  # noqa: PLC0415 - as above
    from consentum.wiring.inventory import Inventory, gone  # noqa: PLC0415 - as above
    from consentum.wiring.supervisor import allow_now, is_running, merged  # noqa: PLC0415 - as above

    def waiting() -> bool:
        known = Inventory.load(folder)
        return known.supervisor is not None and (not known.ready or bool(unready(known)))

    merged(folder, wanted)
    changed = allow_now(folder, allowed) if allowed and gone(waiting, DETACHED_SECONDS) else []
    if not gone(waiting, DETACHED_SECONDS):
        raise UnavailableError(f"it runs, but {', '.join(unready(Inventory.load(folder)))} is not ready")
    if not is_running(folder):
        raise UnavailableError("the start that was under way failed; run the command again")
    _tell(folder, as_json, f"started again to know it: {', '.join(changed)}" if changed else "it runs already")


def _tell(folder: Path, as_json: bool, last: str) -> None:
    from consentum.wiring.inventory import Inventory  # noqa: PLC0415 - as above

    known = Inventory.load(folder)
    lines = [f"{name}: {part.endpoint}" for name, part in known.parts.items()]
    lines += [f"committee: {known.committee}"] + ([f"board: {known.board}"] if known.board else [])
    show({"folder": str(folder.resolve()), **asdict(known)}, [*lines, last], as_json)


@click.command("down")
@folder_option
@json_option
def down(folder: Path, as_json: bool) -> None:
    """End the system of a folder: its processes and no other. Nothing is lost; `up` goes on where it stood."""
    from consentum.wiring.supervisor import take_down  # noqa: PLC0415 - as above

    ended = take_down(folder, DOWN_SECONDS)
    show({"ended": ended}, [f"ended: {', '.join(ended)}" if ended else "nothing was running"], as_json)


@click.command("status")
@folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show every process: whether it is ready or why not, its address, balance, journal and the chain's block.

    Exit code 0 if all are ready, else 3.
    """
    from consentum.wiring.health import system_status  # noqa: PLC0415 - as above

    told = system_status(folder)
    lines = [f"chain {told['chainId']} at {told['rpc']}, block {told['block']}"]
    for name, part in told["processes"].items():
        why = "; ".join(f"{where}: {reason}" for where, reason in part["why"].items())
        more = [
            f"{key} {part[key]}" for key in ("endpoint", "address", "balance", "journal") if part.get(key) is not None
        ]
        lines.append(f"{name:10} {'ready' if part['ready'] else 'NOT READY (' + why + ')'}  " + "  ".join(more))
    lines += [f"committee {told['committee']}"] + [f"board {told['board']}"] * bool(told["board"])
    show(told, lines, as_json)
    if not told["ready"]:
        raise click.exceptions.Exit(3)
