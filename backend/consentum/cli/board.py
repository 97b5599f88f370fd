# SPDX-License-Identifier: Apache-2.0
"""`consentum board`: found a board, see what it has before it, vote."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from consentum.cli.homes import add_init
from consentum.cli.output import home_option, json_option, show
from consentum.cli.settling import settled
from consentum.domain.parsing import as_id

Made = dict[str, Any]
until_option = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), required=True, help="A date, in UTC."
)


@click.group("board")
def group() -> None:
    """Ethics boards: members vote, and what a quorum signed goes to the chain."""


add_init(
    group,
    "Create a member's keys and settings; prints her address, which the board is founded with.",
    "your votes are signed with them",
)


@group.command("create")
@home_option
@click.option("--member", "members", multiple=True, required=True, help="Address; once per member.")
@click.option("--quorum", type=click.IntRange(1, 100), required=True, help="How many must agree.")
@json_option
def create(home: Path, members: tuple[str, ...], quorum: int, as_json: bool) -> None:
    """Found a board; prints its id, which patients and studies name."""
    from consentum.flow.client import boards  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    _, body = boards.new_board(members, quorum)
    gateway = connect(home).gateway
    told = gateway.post("/v1/boards", body)
    told |= settled(told, lambda: gateway.get(f"/v1/relayed/{told['id']}"))
    show(told, [f"board {told['board']}", f"{told['state']}; now ask the gateway's operator to accept it"], as_json)


@group.command("motions")
@home_option
@click.argument("board")
@json_option
def motions(home: Path, board: str, as_json: bool) -> None:
    """What the board decides and has decided, with the votes so far."""
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    told = connect(home).gateway.get("/v1/motions", board=board)
    show(told, [line for motion in told["motions"] for line in _lines(motion)] or ["no motions"], as_json)


def _lines(motion: Made) -> list[str]:
    about = motion["message"].get("study") or motion["message"].get("board")
    lines = [f"{motion['motion']}  {motion['kind']} {about}  {len(motion['votes'])} of {motion['quorum']}"]
    lines[0] += f", {motion['state']}"
    return lines + [f"  recused: {member}" for member in motion["recused"]]


@group.command("vote-approve")
@home_option
@click.argument("study")
@until_option
@json_option
def approve(home: Path, study: str, until: datetime, as_json: bool) -> None:
    """Approve a study's newest version until a date. STUDY is its name or id."""
    from consentum.domain.registry_messages import Approve  # noqa: PLC0415 - as above

    connection, told, nonce = _study(home, study)
    version = told["proposed"]["version"] if told["proposed"] else told["version"]
    _vote(connection, told["board"], Approve(as_id(told["study"]), version, _seconds(until), nonce), as_json)


@group.command("vote-reject")
@home_option
@click.argument("study")
@click.option("--reason", required=True, help="A text; its hash is on chain, the text at the gateway.")
@json_option
def reject(home: Path, study: str, reason: str, as_json: bool) -> None:
    """Reject a study's newest version, and say why."""
    from consentum.domain.registry_messages import Reject  # noqa: PLC0415 - as above
    from consentum.errors import NotFoundError  # noqa: PLC0415 - as above

    connection, told, nonce = _study(home, study)
    if not told["proposed"]:
        raise NotFoundError("no version of this study waits for the board", field="study")
    form = connection.gateway.post("/v1/forms", {"text": reason})["form"]
    message = Reject(as_id(told["study"]), told["proposed"]["version"], as_id(form), nonce)
    _vote(connection, told["board"], message, as_json)


@group.command("vote-suspend")
@home_option
@click.argument("study")
@json_option
def suspend(home: Path, study: str, as_json: bool) -> None:
    """Suspend a study; approving it again lifts that."""
    from consentum.domain.registry_messages import Suspend  # noqa: PLC0415 - as above

    connection, told, nonce = _study(home, study)
    _vote(connection, told["board"], Suspend(as_id(told["study"]), nonce), as_json)


@group.command("vote-close")
@home_option
@click.argument("study")
@json_option
def close(home: Path, study: str, as_json: bool) -> None:
    """Close a study for ever."""
    from consentum.domain.registry_messages import Close  # noqa: PLC0415 - as above

    connection, told, nonce = _study(home, study)
    _vote(connection, told["board"], Close(as_id(told["study"]), nonce), as_json)


@group.command("vote-accredit")
@home_option
@click.argument("board")
@click.argument("runner")
@until_option
@json_option
def accredit(home: Path, board: str, runner: str, until: datetime, as_json: bool) -> None:
    """Let a runner run the jobs of the board's studies until a date; a past date ends it."""
    from consentum.domain.registry_messages import Accredit  # noqa: PLC0415 - as above

    connection, nonce = _board(home, board)
    _vote(connection, board, Accredit(as_id(board), runner.lower(), _seconds(until), nonce), as_json)


@group.command("vote-form")
@home_option
@click.argument("board")
@click.option("--form", "form", type=click.Path(path_type=Path, exists=True), required=True, help="A text file.")
@click.option("--drop", is_flag=True, help="Accept it no longer.")
@json_option
def form(home: Path, board: str, form: Path, drop: bool, as_json: bool) -> None:
    """Accept a form for broad consents, those that name the board."""
    from consentum.domain.registry_messages import AcceptForm  # noqa: PLC0415 - as above

    connection, nonce = _board(home, board)
    hashed = connection.gateway.post("/v1/forms", {"text": form.read_text("utf-8")})["form"]
    _vote(connection, board, AcceptForm(as_id(board), as_id(hashed), not drop, nonce), as_json)


@group.command("vote-change")
@home_option
@click.argument("board")
@click.option("--member", "members", multiple=True, required=True, help="Address; once per member.")
@click.option("--quorum", type=click.IntRange(1, 100), required=True, help="How many must agree.")
@json_option
def change(home: Path, board: str, members: tuple[str, ...], quorum: int, as_json: bool) -> None:
    """Change the board's members and quorum, by its present quorum."""
    from consentum.domain.registry_messages import ChangeBoard  # noqa: PLC0415 - as above
    from consentum.flow.client.boards import ascending  # noqa: PLC0415 - as above

    connection, nonce = _board(home, board)
    _vote(connection, board, ChangeBoard(as_id(board), ascending(members), quorum, nonce), as_json)


@group.command("recuse")
@home_option
@click.argument("motion")
@json_option
def recuse(home: Path, motion: str, as_json: bool) -> None:
    """Take yourself out of one decision: your vote is not counted, and everybody sees that you recused yourself."""
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    told = connect(home).gateway.post(f"/v1/motions/{motion}/recusals", {"motion": motion})
    show(told, _lines(told), as_json)


def _study(home: Path, name: str) -> tuple[Any, Made, int]:
    """The connection, the study as the gateway shows it, and the next nonce of its board as the chain has it."""
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    connection = connect(home)
    told = connection.gateway.get(f"/v1/studies/{name}")
    board = connection.registries.study(as_id(told["study"])).board
    return connection, told, connection.registries.board(board).nonce


def _board(home: Path, board: str) -> tuple[Any, int]:
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    connection = connect(home)
    return connection, connection.registries.board(as_id(board)).nonce


def _vote(connection: Any, board: str, message: Any, as_json: bool) -> None:
    from consentum.flow.client import boards  # noqa: PLC0415 - as above

    domain = connection.deployment.study_domain
    told = connection.gateway.post("/v1/motions", boards.vote(domain, connection.key, message))

    def again() -> Made:
        """A motion is read among all of its board's."""
        found = connection.gateway.get("/v1/motions", board=board)["motions"]
        return next(motion for motion in found if motion["motion"] == told["motion"])

    told |= settled(told, again)
    show(told, _lines(told), as_json)


def _seconds(date: datetime) -> int:
    return int(date.replace(tzinfo=UTC).timestamp())
