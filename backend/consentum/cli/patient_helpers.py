# SPDX-License-Identifier: Apache-2.0
"""Who may act for a patient: `consentum patient delegate`, `guardian`, `recovery`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from consentum.cli.custodian import ID
from consentum.cli.output import home_option, json_option, show
from consentum.cli.patient_consents import show_told
from consentum.cli.settling import settled

days_option = click.option("--days", type=int, default=365, show_default=True, help="How long they may.")
role_option = click.option(
    "--for",
    "role",
    type=click.Choice(["consent", "assertion", "recovery"]),
    default="consent",
    show_default=True,
    help="consent: grant and revoke; assertion: sign in; recovery: help replace a lost key.",
)


def _identity(home: Path) -> Any:
    from consentum.sdk.helpers import Identity  # noqa: PLC0415 - slow to load; help is not
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    return Identity(connect(home))


def _show(home: Path, answer: dict[str, Any], what: str, as_json: bool) -> None:
    from consentum.wiring.client import connect  # noqa: PLC0415 - as above

    if "id" in answer:
        answer |= settled(answer, lambda: connect(home).gateway.get(f"/v1/relayed/{answer['id']}"))
    show(answer, [f"{answer.get('state')}: {what}"], as_json)


@click.group("delegate")
def delegate() -> None:
    """Who may grant and revoke for you, sign in for you, or help you recover."""


@delegate.command("add")
@click.argument("address")
@role_option
@days_option
@home_option
@json_option
def delegate_add(address: str, role: str, days: int, home: Path, as_json: bool) -> None:
    """Name a delegate."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.add_delegate(_identity(home), role, address, days), f"{role} delegate {address}", as_json)


@delegate.command("remove")
@click.argument("address")
@role_option
@home_option
@json_option
def delegate_remove(address: str, role: str, home: Path, as_json: bool) -> None:
    """End a delegate: at once, a recovery delegate after three days."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(
        home, helpers.remove_delegate(_identity(home), role, address), f"no longer {role} delegate {address}", as_json
    )


@click.group("guardian")
def guardian() -> None:
    """Who may only end: revoke and freeze, never grant."""


@guardian.command("add")
@click.argument("address")
@days_option
@home_option
@json_option
def guardian_add(address: str, days: int, home: Path, as_json: bool) -> None:
    """Name a guardian."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.add_delegate(_identity(home), "guardian", address, days), f"guardian {address}", as_json)


@guardian.command("remove")
@click.argument("address")
@home_option
@json_option
def guardian_remove(address: str, home: Path, as_json: bool) -> None:
    """End a guardian, after three days: a thief must not send away at once who could stop him."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.remove_delegate(_identity(home), "guardian", address), f"no longer guardian {address}", as_json)


@guardian.command("revoke-for")
@click.argument("subject")
@click.argument("commitment", type=ID, required=False)
@home_option
@json_option
def guardian_revoke(subject: str, commitment: bytes | None, home: Path, as_json: bool) -> None:
    """As somebody's guardian: end one consent of hers, or without a commitment all of them."""
    from consentum.sdk import ending  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    opened, whose = open_patient(home), _address(subject)
    told = ending.stop(opened, whose) if commitment is None else ending.revoke(opened, commitment, whose)
    show_told(told, as_json)


@guardian.command("freeze-for")
@click.argument("subject")
@click.option("--days", type=int, required=True, help="1 to 30; it cannot be taken back.")
@home_option
@json_option
def guardian_freeze(subject: str, days: int, home: Path, as_json: bool) -> None:
    """As somebody's guardian: stop every release of her records for some days."""
    from consentum.sdk import ending  # noqa: PLC0415 - as above
    from consentum.wiring.patient import open_patient  # noqa: PLC0415 - as above

    show_told(ending.freeze(open_patient(home), days, _address(subject)), as_json)


def _address(text: str) -> str:
    from consentum.crypto.typed import address_bytes  # noqa: PLC0415 - as above

    return "0x" + address_bytes(text).hex()


@click.group("recovery")
def recovery() -> None:
    """A new key for an identity whose key is lost: proposed by its recovery delegates together, final after a delay."""


@recovery.command("set")
@click.argument("threshold", type=int)
@home_option
@json_option
def recovery_set(threshold: int, home: Path, as_json: bool) -> None:
    """How many recovery delegates must sign together; 0 for no recovery."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.set_recovery(_identity(home), threshold), f"{threshold} together, three days from now", as_json)


@recovery.command("propose")
@click.argument("identity")
@click.argument("new_owner")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File for the votes; new.")
@home_option
@json_option
def recovery_propose(identity: str, new_owner: str, out: Path, home: Path, as_json: bool) -> None:
    """As a recovery delegate: propose who controls an identity from now on, with your vote."""
    from consentum.errors import ConflictError  # noqa: PLC0415 - as above
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    if out.exists():
        raise ConflictError("there is a file already", field="out")
    who = _identity(home)
    _vote(who, helpers.propose(who, identity, new_owner), out, as_json)


@recovery.command("approve")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
def recovery_approve(file: Path, yes: bool, home: Path, as_json: bool) -> None:
    """As another recovery delegate: add your vote; with enough of them they are handed in."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    who, petition = _identity(home), helpers.Petition.load(file)
    proposal = petition.proposal
    click.echo(f"identity   {proposal.identity}\nnew owner  {proposal.newOwner}", err=True)
    if not yes:
        click.confirm("Have you asked her yourself, and is the new owner hers?", abort=True, err=True)
    _vote(who, helpers.approve(who, petition), file, as_json)


def _vote(who: Any, petition: Any, file: Path, as_json: bool) -> None:
    """Writes the votes down, and hands them in if they are enough."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    petition.save(file)
    data: dict[str, Any] = {"file": str(file), "votes": len(petition.votes)}
    if not helpers.enough(who, petition):
        show(data, [f"{data['votes']} votes in {file}: give it to the next recovery delegate"], as_json)
        return
    answer = helpers.hand_in(who, petition)
    show({**data, **answer}, [f"{answer.get('state')}: handed in; final after the delay, with: finalize"], as_json)


@recovery.command("finalize")
@click.argument("identity")
@home_option
@json_option
def recovery_finalize(identity: str, home: Path, as_json: bool) -> None:
    """Complete a pending change once its delay is over; anybody may."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.finalize(_identity(home), identity), "finalization handed in", as_json)


@recovery.command("cancel")
@home_option
@json_option
def recovery_cancel(home: Path, as_json: bool) -> None:
    """Stop a pending change of your own identity; refused while frozen."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    _show(home, helpers.cancel(_identity(home)), "cancellation handed in", as_json)


@recovery.command("status")
@click.argument("identity", required=False)
@home_option
@json_option
def recovery_status(identity: str | None, home: Path, as_json: bool) -> None:
    """Who controls an identity, and what is pending; yours without an argument."""
    from consentum.sdk import helpers  # noqa: PLC0415 - as above

    who = _identity(home)
    found = dict(helpers.status(who, identity or who.connection.identity))
    show(found, [f"{name}: {value}" for name, value in found.items()], as_json)


COMMANDS = (delegate, guardian, recovery)
